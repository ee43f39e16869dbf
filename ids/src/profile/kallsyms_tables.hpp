// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "profile/kallsyms.hpp"

namespace sevmon::ids {

/// All positions are offsets in `region.bytes`; all tables lie in one section.

/// kallsyms_token_table and kallsyms_token_index: what each byte of a name stands for.
struct TokenTable {
  KernelRegion region;
  std::size_t at;
  std::size_t index_end;
  std::array<std::string_view, 256> tokens;
};

/// kallsyms_num_syms, kallsyms_names, kallsyms_markers.
struct NameTable {
  std::size_t count_at;
  std::uint32_t count;
  std::size_t names_at;
  bool has_long_lengths;  // ULEB128 in two bytes from 128; before 6.1 one byte up to 255
  std::size_t markers_at;
};

/// The offset of the first place at or after `at` whose address is a multiple of `alignment`.
std::size_t align_in(const KernelRegion& region, std::size_t at, std::size_t alignment);

/// Step over the name at `at`. @return its tokens and sets `at` behind it; empty if it is not
/// whole.
ByteSpan next_name(ByteSpan bytes, std::size_t& at, bool has_long_lengths);

std::optional<TokenTable> find_tokens(const KernelRegion& region);
std::optional<NameTable> find_names(const TokenTable& tokens);

}  // namespace sevmon::ids
