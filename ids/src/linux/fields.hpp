// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/kernel_info.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

// Structures of the kernel, member by member.
namespace sevmon::ids {

/// Resolves members one after another and keeps the first error.
class MemberResolver {
 public:
  explicit MemberResolver(const KernelInfo& info) : info_{info} {}

  /// The first of `names` that the type has.
  Member operator()(std::string_view type, std::initializer_list<std::string_view> names);
  const std::optional<common::Error>& error() const { return error_; }

 private:
  Member one(std::string_view type, std::string_view member_name);

  const KernelInfo& info_;
  std::optional<common::Error> error_;
};

/// Those that lie close to each other as one: they travel together.
std::vector<Range> coalesce(std::vector<Range> spans);

/// Reads fields and keeps the first error, so that a structure reads like a table.
class FieldReader {
 public:
  FieldReader(Memory& memory, common::Gva base) : memory_{memory}, base_{base} {}

  std::uint64_t number(const Member& member);
  std::int32_t id(const Member& member) { return static_cast<std::int32_t>(number(member)); }
  common::Gva pointer(const Member& member, std::uint64_t offset = 0);
  /// Up to its NUL; without one: all of it, no more.
  std::string text(const Member& member);
  const std::optional<common::Error>& error() const { return error_; }

 private:
  template <typename T>
  bool take(const common::Result<T>& result) {
    if (!result && !error_) error_ = result.error();
    return result.has_value();
  }

  Memory& memory_;
  common::Gva base_;
  std::optional<common::Error> error_;
};

}  // namespace sevmon::ids
