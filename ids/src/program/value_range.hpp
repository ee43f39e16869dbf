// SPDX-License-Identifier: Apache-2.0
//
// What the parts of Value share: its limits, and ranges made narrower or by steps.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "program/value.hpp"

namespace sevmon::ids {

constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
constexpr auto kSignedMax = std::numeric_limits<std::int64_t>::max();
constexpr auto kSignedMin = std::numeric_limits<std::int64_t>::min();
constexpr std::uint64_t kMax32 = 0xffffffff;

constexpr std::uint64_t as_unsigned(std::int64_t number) {
  return static_cast<std::uint64_t>(number);
}
constexpr std::int64_t as_signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number);
}

/// All ones up to the highest bit of `number`.
constexpr std::uint64_t bits_of(std::uint64_t number) {
  return number == 0 ? 0 : kMax >> std::countl_zero(number);
}

/// All numbers from low to high, `step` apart; high is lowered to one of them.
Value stepped(std::uint64_t low, std::uint64_t high, std::uint64_t step);
/// Leave of `value` what is from `low` to `high`. @return false when that is nothing.
bool clamp(Value& value, std::uint64_t low, std::uint64_t high);
bool clamp_signed(Value& value, std::int64_t low, std::int64_t high);
/// `both` with what `a` and `b` agree on besides their numbers.
Value join_origin(Value both, const Value& a, const Value& b);

Value add(const Value& a, const Value& b);
Value multiply(const Value& a, const Value& b);

}  // namespace sevmon::ids
