// SPDX-License-Identifier: Apache-2.0
#include <bpf/btf.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <memory>

#include <sevmon/program.hpp>

#include "profile/btf.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

struct DumpFree {
  void operator()(btf_dump* dump) const { btf_dump__free(dump); }
};

/// What is between two lines fits; libbpf prints in small pieces.
void print_piece(void* out, const char* format, va_list args) {
  std::array<char, 4096> piece;
  const int length = std::vsnprintf(piece.data(), piece.size(), format, args);
  if (length > 0)
    static_cast<std::string*>(out)->append(
        piece.data(), std::min<std::size_t>(static_cast<std::size_t>(length), piece.size() - 1));
}

constexpr std::string_view kBegin =
    "#ifndef __VMLINUX_H__\n"
    "#define __VMLINUX_H__\n\n"
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
    "#endif\n\n";
constexpr std::string_view kEnd =
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute pop\n"
    "#endif\n\n"
    "#endif /* __VMLINUX_H__ */\n";

}  // namespace

Result<std::string> types_as_c(std::span<const std::byte> btf) {
  const auto types = Btf::parse(btf);
  if (!types) return types.error();
  std::string out{kBegin};
  const std::unique_ptr<btf_dump, DumpFree> dump{
      btf_dump__new(types->handle(), print_piece, &out, nullptr)};
  if (!dump) return Error{ErrorCode::kInternal, "libbpf cannot print types"};
  for (std::uint32_t id = 1; id < btf__type_cnt(types->handle()); ++id)
    if (const int error = btf_dump__dump_type(dump.get(), id); error != 0)
      return Error{ErrorCode::kMalformed,
                   "type " + std::to_string(id) + " cannot be printed: " + std::to_string(error)};
  out += kEnd;
  return out;
}

}  // namespace sevmon::ids
