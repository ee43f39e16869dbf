// SPDX-License-Identifier: Apache-2.0
#include "linux/fields.hpp"

#include <algorithm>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;

constexpr std::uint32_t kSpanGapBytes = 64;  // reads nearer than that travel together

}  // namespace

Member MemberResolver::operator()(std::string_view type,
                                  std::initializer_list<std::string_view> names) {
  for (const auto member_name : names)
    if (info_.has_member(type, member_name)) return one(type, member_name);
  return one(type, *names.begin());
}

Member MemberResolver::one(std::string_view type, std::string_view member_name) {
  const auto member = info_.member(type, member_name);
  if (member && member->bit_size == 0) return *member;
  if (!error_)
    error_ = member ? Error{ErrorCode::kUnsupported,
                            std::string{type} + "." + std::string{member_name} + " is a bit-field"}
                    : member.error();
  return {};
}

std::vector<Range> coalesce(std::vector<Range> spans) {
  std::ranges::sort(spans);
  std::vector<Range> merged;
  for (const auto& span : spans) {
    if (!merged.empty()) {
      auto& last = merged.back();
      const auto last_end = last.address.value + last.bytes;
      if (span.address.value <= last_end + kSpanGapBytes) {
        const auto end = std::max(last_end, span.address.value + span.bytes);
        last.bytes = static_cast<std::uint32_t>(end - last.address.value);
        continue;
      }
    }
    merged.push_back(span);
  }
  return merged;
}

std::uint64_t FieldReader::number(const Member& member) {
  const auto bytes = std::min<std::uint32_t>(member.size_bytes, 8);
  const auto value = memory_.read_uint(base_ + member.offset_bytes, bytes);
  return take(value) ? *value : 0;
}

Gva FieldReader::pointer(const Member& member, std::uint64_t offset) {
  const auto value = memory_.read_uint(base_ + member.offset_bytes + offset, 8);
  return take(value) ? Gva{*value} : Gva{};
}

std::string FieldReader::text(const Member& member) {
  const auto bytes = memory_.read({base_ + member.offset_bytes, member.size_bytes});
  if (!take(bytes)) return {};
  const std::string value{reinterpret_cast<const char*>(bytes->data()), bytes->size()};
  return value.substr(0, value.find('\0'));
}

}  // namespace sevmon::ids
