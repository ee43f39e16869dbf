// SPDX-License-Identifier: Apache-2.0
#include "program/value.hpp"

#include <algorithm>
#include <numeric>

#include <sevmon/program.h>
#include <sevmon/text.hpp>

#include "program/value_range.hpp"

namespace sevmon::ids {

Value stepped(std::uint64_t low, std::uint64_t high, std::uint64_t step) {
  Value value = Value::range(low, high);
  if (low == high) return Value::constant(low);
  value.step = std::max<std::uint64_t>(step, 1);
  value.high = high - (high - low) % value.step;
  if (value.low == value.high) return Value::constant(value.low);
  value.settle();
  return value;
}

bool clamp(Value& value, std::uint64_t low, std::uint64_t high) {
  if (low > value.high || high < value.low) return false;
  if (low > value.low) {
    const auto step = std::max<std::uint64_t>(value.step, 1);
    const auto up = (low - value.low + step - 1) / step * step;
    if (up > value.high - value.low) return false;
    value.low += up;
  }
  if (high < value.high) {
    if (high < value.low) return false;
    const auto step = std::max<std::uint64_t>(value.step, 1);
    value.high = value.low + (high - value.low) / step * step;
  }
  if (value.low == value.high) value.step = 0;
  return true;
}

bool clamp_signed(Value& value, std::int64_t low, std::int64_t high) {
  value.signed_low = std::max(value.signed_low, low);
  value.signed_high = std::min(value.signed_high, high);
  return value.signed_low <= value.signed_high;
}

Value Value::constant(std::uint64_t number) {
  Value value;
  value.low = value.high = number;
  value.step = 0;
  value.signed_low = value.signed_high = as_signed(number);
  return value;
}

Value Value::range(std::uint64_t low, std::uint64_t high) {
  if (low == high) return constant(low);
  Value value;
  value.low = low;
  value.high = high;
  value.settle();
  return value;
}

Value Value::signed_range(std::int64_t low, std::int64_t high) {
  if (low == high) return constant(as_unsigned(low));
  Value value;
  value.signed_low = low;
  value.signed_high = high;
  value.settle();
  return value;
}

Value Value::unset() {
  Value value;
  value.is_set = false;
  return value;
}

bool Value::settle() {
  if (low > high || signed_low > signed_high) return false;
  if (high <= as_unsigned(kSignedMax) || low > as_unsigned(kSignedMax))
    if (!clamp_signed(*this, as_signed(low), as_signed(high))) return false;
  if (signed_low >= 0 || signed_high < 0)
    if (!clamp(*this, as_unsigned(signed_low), as_unsigned(signed_high))) return false;
  if (low == high) {
    const Value one = constant(low);
    if (one.signed_low < signed_low || one.signed_low > signed_high) return false;
    step = 0;
    signed_low = signed_high = one.signed_low;
  }
  return true;
}

std::string Value::text() const {
  const auto number = [](std::uint64_t of) {
    return of < 1U << 16 ? std::to_string(of) : hex_address(of);
  };
  if (!is_set) return "perhaps nothing";
  if (or_zero) {
    Value pointer = *this;
    pointer.or_zero = false;
    return "0 or " + pointer.text();
  }
  if (is_constant())
    return as_signed(low) < 0 && as_signed(low) > -65536 ? std::to_string(as_signed(low))
                                                         : number(low);
  if (signed_low > -65536 && signed_high < 65536 && signed_low < 0)
    return std::to_string(signed_low) + " to " + std::to_string(signed_high);
  if (low == 0 && high == kMax) return "any number";
  return number(low) + " to " + number(high) +
         (step > 1 ? " in steps of " + std::to_string(step) : "");
}

namespace {

/// 0 beside numbers that are addresses: a null pointer, which must not blur them.
bool is_null(const Value& a, const Value& b) {
  return a.is_constant() && a.low == 0 && !a.or_zero && b.low >> SEVMON_REGION_SHIFT != 0;
}

Value join_null(Value pointer, const Value& a, const Value& b) {
  pointer.or_zero = true;
  return join_origin(pointer, a, b);
}

}  // namespace

Value join_origin(Value both, const Value& a, const Value& b) {
  const bool same = a.origin == b.origin && a.delta == b.delta && a.scale == b.scale;
  both.origin = same ? a.origin : 0;
  both.delta = same ? a.delta : 0;
  both.scale = same ? a.scale : 1;
  both.is_set = a.is_set && b.is_set;
  both.is_length = a.is_length && b.is_length;
  return both;
}

Value plain(const Value& value) {
  if (!value.or_zero) return value;
  Value all = stepped(0, value.high, std::gcd(value.step, value.low));
  all.signed_low = std::min<std::int64_t>(value.signed_low, 0);
  all.signed_high = std::max<std::int64_t>(value.signed_high, 0);
  return join_origin(all, value, value);
}

Value join(const Value& a, const Value& b) {
  if (a == b) return a;
  if (is_null(a, b)) return join_null(b, a, b);
  if (is_null(b, a)) return join_null(a, a, b);
  if (a.or_zero != b.or_zero && (a.or_zero ? b : a).low == 0) return join(plain(a), plain(b));
  Value both =
      stepped(std::min(a.low, b.low), std::max(a.high, b.high),
              std::gcd(std::gcd(a.step, b.step), std::max(a.low, b.low) - std::min(a.low, b.low)));
  both.signed_low = std::min(a.signed_low, b.signed_low);
  both.signed_high = std::max(a.signed_high, b.signed_high);
  both.or_zero = a.or_zero || b.or_zero;
  return join_origin(both, a, b);
}

Value widen(const Value& previous, const Value& next, const Thresholds& thresholds) {
  Value wide = next;
  if (next.high > previous.high) {
    const auto at = thresholds.lower_bound(next.high);
    const auto step = std::max<std::uint64_t>(next.step, 1);
    wide.high = at == thresholds.end() ? kMax : *at;
    wide.high -= (wide.high - wide.low) % step;
  }
  if (next.low < previous.low) {
    auto at = thresholds.upper_bound(next.low);
    const std::uint64_t to = at == thresholds.begin() ? 0 : *std::prev(at);
    const auto step = std::max<std::uint64_t>(next.step, 1);
    wide.low -= (wide.low - to) / step * step;
  }
  const auto grow = [&](std::int64_t from, bool up) {
    std::int64_t best = up ? kSignedMax : kSignedMin;
    for (const auto number : thresholds) {
      const auto candidate = as_signed(number);
      if (up ? candidate >= from && candidate < best : candidate <= from && candidate > best)
        best = candidate;
    }
    return best;
  };
  if (next.signed_high > previous.signed_high) wide.signed_high = grow(next.signed_high, true);
  if (next.signed_low < previous.signed_low) wide.signed_low = grow(next.signed_low, false);
  if (wide.low != wide.high && wide.step == 0) wide.step = 1;
  return wide;
}

}  // namespace sevmon::ids
