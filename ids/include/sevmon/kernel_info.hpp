// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// Where a member lies in its structure; nested anonymous structures and unions are looked through.
struct Member {
  std::uint32_t offset_bytes = 0;
  std::uint32_t size_bytes = 0;  // of the whole member: an array's all elements; 0 for a bit-field
  std::uint32_t bit_offset = 0;  // with a bit-field: from the structure's start
  std::uint32_t bit_size = 0;    // 0: not a bit-field

  bool operator==(const Member&) const = default;
};

struct Symbol {
  std::string name;
  common::Gva address{};  // as linked: without KASLR slide
  char type = '?';        // as nm(1) and /proc/kallsyms
};

/// What analyses ask about one kernel build: who it is, where its symbols are, how its types lie.
/// Profile answers from a trusted vmlinuz; tests answer for kernels made up in code.
class KernelInfo {
 public:
  virtual ~KernelInfo() = default;

  /// "Linux version 6.1.0-56-amd64 (debian-kernel@…) … (2026-…)", without newline.
  virtual const std::string& banner() const = 0;
  /// "6.1.0-56-amd64"
  virtual const std::string& release() const = 0;
  virtual const std::string& build_id() const = 0;                      // 40 hex digits, or empty
  virtual const std::array<std::uint8_t, 32>& file_sha256() const = 0;  // of the vmlinuz file

  /// First symbol of that name, as linked. @return kNotFound naming symbol and kernel.
  virtual common::Result<common::Gva> symbol(std::string_view name) const = 0;
  virtual bool has_symbol(std::string_view name) const = 0;
  /// The symbol at or before `address` (as linked), if one is within 1 MiB.
  virtual std::optional<Symbol> symbol_at(common::Gva address) const = 0;

  /// `path` is a member, or a chain "se.sum_exec_runtime" through structures that lie inside; an
  /// array in a chain stands for its first element ("numbers.nr"); pointers are not followed.
  /// @return kNotFound naming both; kMalformed when several types of that name disagree.
  virtual common::Result<Member> member(std::string_view type, std::string_view path) const = 0;
  virtual bool has_member(std::string_view type, std::string_view path) const = 0;
  /// Size of a struct, union, enum or typedef. @return kNotFound, kMalformed likewise.
  virtual common::Result<std::uint32_t> size_of(std::string_view type) const = 0;
  /// @return kNotFound, kMalformed likewise.
  virtual common::Result<std::int64_t> enumerator(std::string_view name) const = 0;

 protected:
  KernelInfo() = default;
  KernelInfo(const KernelInfo&) = default;
  KernelInfo(KernelInfo&&) = default;
  KernelInfo& operator=(const KernelInfo&) = default;
  KernelInfo& operator=(KernelInfo&&) = default;
};

}  // namespace sevmon::ids
