// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>

namespace sevmon::ids {

/// What a register or a place in the stack can hold: numbers from `low` to `high`, `step` apart,
/// that as signed numbers are from `signed_low` to `signed_high`. Addresses of the program's own
/// are numbers like any other: their region is in the upper half (program.h).
struct Value {
  std::uint64_t low = 0;
  std::uint64_t high = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t step = 1;  // 0: one number; else high - low is a multiple
  std::int64_t signed_low = std::numeric_limits<std::int64_t>::min();
  std::int64_t signed_high = std::numeric_limits<std::int64_t>::max();
  bool is_set = true;      // false: perhaps never written
  bool is_length = false;  // r2 at the start, the input's length, or a copy
  bool or_zero = false;    // or 0, beside all that: a pointer that may be null
  /// Each value of an origin is scale * that + delta. 0: no origin is known.
  std::uint32_t origin = 0;
  std::uint64_t delta = 0;
  std::uint64_t scale = 1;

  static Value constant(std::uint64_t number);
  static Value range(std::uint64_t low, std::uint64_t high);
  static Value signed_range(std::int64_t low, std::int64_t high);
  static Value unset();

  bool operator==(const Value&) const = default;
  bool is_constant() const { return low == high; }

  /// Make both ranges say what each knows. @return false when no number is left.
  bool settle();
  std::string text() const;
};

/// Numbers at which a range that grows stops for a while.
using Thresholds = std::set<std::uint64_t>;

Value join(const Value& a, const Value& b);
/// `next` contains `previous`; what grew, grows to a threshold.
Value widen(const Value& previous, const Value& next, const Thresholds& thresholds);

/// The same numbers without or_zero.
Value plain(const Value& value);

/// The lower 32 bits.
Value truncate32(const Value& value);
/// BPF_OP(code) of `a` and `b`, or unknown. `offset` is the instruction's.
Value arithmetic(unsigned operation, const Value& a, const Value& b, int offset, bool is_32);

/// Can `a` compare so with `b`? Narrows both to where they do. `operation` is a BPF_J*, or kNotSet.
constexpr unsigned kNotSet = 0x100;  // BPF_JSET's opposite
bool assume(unsigned operation, bool is_32, Value& a, Value& b);
unsigned opposite(unsigned operation);
/// What is known of a value of the same origin is known of `value`, too. @return false when nothing
/// is left.
bool learn(Value& value, const Value& other);

}  // namespace sevmon::ids
