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

#include <sevmon/kernel_info.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// What the IDS knows of one kernel build, from its trusted vmlinuz alone. Immutable.
class Profile final : public KernelInfo {
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
  ~Profile() override;

  /// "Linux version 6.1.0-56-amd64 (debian-kernel@…) … (2026-…)", without newline.
  const std::string& banner() const override;
  /// "6.1.0-56-amd64"
  const std::string& release() const override;
  const std::string& build_id() const override;                      // 40 hex digits, or empty
  const std::array<std::uint8_t, 32>& file_sha256() const override;  // of the vmlinuz file
  std::uint64_t file_bytes() const;

  /// First symbol of that name. @return kNotFound naming symbol and kernel.
  common::Result<common::Gva> symbol(std::string_view name) const override;
  bool has_symbol(std::string_view name) const override;
  std::size_t symbol_count() const;
  /// The symbol at or before `address` (as linked), if one is within 1 MiB.
  std::optional<Symbol> symbol_at(common::Gva address) const override;
  void for_each_symbol(const std::function<void(const Symbol&)>& visit) const;

  /// As KernelInfo says. Typedefs name their types too.
  common::Result<Member> member(std::string_view type, std::string_view path) const override;
  bool has_member(std::string_view type, std::string_view path) const override;
  /// Of a struct, union or enum.
  common::Result<std::uint32_t> size_of(std::string_view type) const override;
  common::Result<std::int64_t> enumerator(std::string_view name) const override;
  std::size_t type_count() const;
  /// Raw BTF, as in the kernel's .BTF section.
  std::span<const std::byte> btf() const;

 private:
  Profile();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sevmon::ids
