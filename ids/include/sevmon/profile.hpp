// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// Where a member lies in its structure; nested anonymous structures and unions are looked through.
struct Member {
  std::uint32_t offset_bytes = 0;
  std::uint32_t size_bytes = 0;  // of the whole member: an array's all elements; 0 for a bit-field
  std::uint32_t bit_offset = 0;  // with a bit-field: from the structure's start
  std::uint32_t bit_size = 0;    // 0: not a bit-field
};

struct Symbol {
  std::string name;
  common::Gva address{};  // as linked: without KASLR slide
  char type = '?';        // as nm(1) and /proc/kallsyms
};

/// What the IDS knows of one kernel build, from its trusted vmlinuz alone. Immutable.
class Profile {
 public:
  /// Build from a vmlinuz (any usual compression) or an uncompressed vmlinux.
  /// @return kIo; kTruncated, kMalformed, kUnsupported with what was being looked for and where;
  ///         kNotFound when the kernel has no BTF or no kallsyms.
  static common::Result<Profile> build(const std::string& vmlinuz_path);
  /// Load a file that save() wrote. @return kIo, kTruncated, kMalformed, kUnsupported (version).
  static common::Result<Profile> load(const std::string& path);
  /// Write atomically. @return kIo.
  common::Result<void> save(const std::string& path) const;

  Profile(Profile&&) noexcept;
  Profile& operator=(Profile&&) noexcept;
  ~Profile();

  /// "Linux version 6.1.0-56-amd64 (debian-kernel@…) … (2026-…)", without newline.
  const std::string& banner() const;
  /// "6.1.0-56-amd64"
  const std::string& release() const;
  const std::string& build_id() const;  // 40 hex digits, or empty
  const std::array<std::uint8_t, 32>& file_sha256() const;  // of the vmlinuz file
  std::uint64_t file_bytes() const;

  /// First symbol of that name. @return kNotFound naming symbol and kernel.
  common::Result<common::Gva> symbol(std::string_view name) const;
  bool has_symbol(std::string_view name) const;
  std::size_t symbol_count() const;
  /// The symbol at or before `address` (as linked), if one is within 1 MiB.
  std::optional<Symbol> symbol_at(common::Gva address) const;
  void for_each_symbol(const std::function<void(const Symbol&)>& visit) const;

  /// `path` is a member, or a chain "thread_pid.numbers". @return kNotFound naming both.
  common::Result<Member> member(std::string_view type, std::string_view path) const;
  bool has_member(std::string_view type, std::string_view path) const;
  common::Result<std::uint32_t> size_of(std::string_view type) const;  // struct, union or enum
  common::Result<std::int64_t> enumerator(std::string_view name) const;
  std::size_t type_count() const;
  /// Raw BTF, as in the kernel's .BTF section.
  std::span<const std::byte> btf() const;

 private:
  Profile();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sevmon::ids
