// SPDX-License-Identifier: Apache-2.0
#include "program/value.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include <sevmon/program.h>
#include <sevmon/text.hpp>

#include "bpf.h"

namespace sevmon::ids {
namespace {

constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
constexpr auto kSignedMax = std::numeric_limits<std::int64_t>::max();
constexpr auto kSignedMin = std::numeric_limits<std::int64_t>::min();
constexpr std::uint64_t kMax32 = 0xffffffff;

std::uint64_t as_unsigned(std::int64_t number) {
  return static_cast<std::uint64_t>(number);
}
std::int64_t as_signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number);
}

/// All numbers from low to high, `step` apart; high is lowered to one of them.
Value stepped(std::uint64_t low, std::uint64_t high, std::uint64_t step) {
  Value value = Value::range(low, high);
  if (low == high) return Value::constant(low);
  value.step = std::max<std::uint64_t>(step, 1);
  value.high = high - (high - low) % value.step;
  if (value.low == value.high) return Value::constant(value.low);
  value.settle();
  return value;
}

/// All ones up to the highest bit of `number`.
std::uint64_t bits_of(std::uint64_t number) {
  return number == 0 ? 0 : kMax >> std::countl_zero(number);
}

Value add(const Value& a, const Value& b) {
  const bool low_wraps = a.low + b.low < a.low, high_wraps = a.high + b.high < a.high;
  Value sum;
  if (low_wraps == high_wraps)
    sum = stepped(a.low + b.low, a.high + b.high, std::gcd(a.step, b.step));
  std::int64_t low = 0, high = 0;
  if (!__builtin_add_overflow(a.signed_low, b.signed_low, &low) &&
      !__builtin_add_overflow(a.signed_high, b.signed_high, &high)) {
    sum.signed_low = std::max(sum.signed_low, low);
    sum.signed_high = std::min(sum.signed_high, high);
  }
  sum.settle();
  return sum;
}

Value subtract(const Value& a, const Value& b) {
  const bool low_wraps = a.low < b.high, high_wraps = a.high < b.low;
  Value difference;
  if (low_wraps == high_wraps)
    difference = stepped(a.low - b.high, a.high - b.low, std::gcd(a.step, b.step));
  std::int64_t low = 0, high = 0;
  if (!__builtin_sub_overflow(a.signed_low, b.signed_high, &low) &&
      !__builtin_sub_overflow(a.signed_high, b.signed_low, &high)) {
    difference.signed_low = std::max(difference.signed_low, low);
    difference.signed_high = std::min(difference.signed_high, high);
  }
  difference.settle();
  return difference;
}

Value multiply(const Value& a, const Value& b) {
  std::uint64_t high = 0;
  if (__builtin_mul_overflow(a.high, b.high, &high)) {
    if (a.is_constant() && b.is_constant()) return Value::constant(a.low * b.low);
    return {};
  }
  // Each product is at most `high`, so none of these overflows.
  const auto step = std::gcd(std::gcd(a.low * b.step, b.low * a.step), a.step * b.step);
  return stepped(a.low * b.low, high, step);
}

Value shift_right(const Value& a, unsigned by) {
  const std::uint64_t unit = std::uint64_t{1} << by;
  const bool exact = a.low % unit == 0 && a.step % unit == 0;
  return stepped(a.low >> by, a.high >> by, exact ? a.step >> by : 1);
}

Value bit_and(const Value& a, const Value& b) {
  if (a.is_constant() && b.is_constant()) return Value::constant(a.low & b.low);
  if (b.is_constant() && bits_of(b.low) == b.low && a.high <= b.low) return a;
  if (a.is_constant() && bits_of(a.low) == a.low && b.high <= a.low) return b;
  const std::uint64_t mask = b.is_constant() ? b.low : a.is_constant() ? a.low : 1;
  if (mask == 0) return Value::constant(0);
  return stepped(0, std::min(a.high, b.high), std::uint64_t{1} << std::countr_zero(mask));
}

Value sign_extend(const Value& a, unsigned bits) {
  const std::int64_t most = (std::int64_t{1} << (bits - 1)) - 1;
  if (a.high <= as_unsigned(most)) return a;
  if (a.is_constant())
    return Value::constant(as_unsigned(as_signed(a.low << (64 - bits)) >> (64 - bits)));
  return Value::signed_range(-most - 1, most);
}

Value divide(const Value& a, const Value& b) {
  if (b.is_constant() && b.low == 0) return Value::constant(0);
  // Division by 0 gives 0.
  return Value::range(b.low == 0 ? 0 : a.low / b.high, b.low == 0 ? a.high : a.high / b.low);
}

Value modulo(const Value& a, const Value& b) {
  if (b.low > a.high || b.high == 0) return a;
  // Modulo 0 gives the number itself.
  return Value::range(0, b.low == 0 ? a.high : std::min(a.high, b.high - 1));
}

Value shift(unsigned operation, const Value& a, const Value& b, bool is_32) {
  if (!b.is_constant()) return is_32 ? Value::range(0, kMax32) : Value{};
  const auto by = static_cast<unsigned>(b.low & (is_32 ? 31 : 63));
  if (operation == BPF_LSH) return multiply(a, Value::constant(std::uint64_t{1} << by));
  if (operation == BPF_RSH) return shift_right(a, by);
  if (is_32)
    return a.high <= kMax32 / 2 ? shift_right(a, by)
           : a.is_constant()
               ? Value::constant(as_unsigned(std::int64_t{static_cast<std::int32_t>(a.low)} >> by))
               : Value::range(0, kMax32);
  return Value::signed_range(a.signed_low >> by, a.signed_high >> by);
}

Value operate(unsigned operation, const Value& a, const Value& b, int offset, bool is_32) {
  switch (operation) {
    case BPF_MOV:
      return offset == 0 ? b : sign_extend(b, static_cast<unsigned>(offset));
    case BPF_ADD:
      return add(a, b);
    case BPF_SUB:
      return subtract(a, b);
    case BPF_MUL:
      return multiply(a, b);
    case BPF_DIV:
      return offset == 0 ? divide(a, b) : Value{};
    case BPF_MOD:
      return offset == 0 ? modulo(a, b) : Value{};
    case BPF_AND:
      return bit_and(a, b);
    case BPF_OR:
      if (a.is_constant() && b.is_constant()) return Value::constant(a.low | b.low);
      return Value::range(std::max(a.low, b.low), bits_of(a.high | b.high));
    case BPF_XOR:
      if (a.is_constant() && b.is_constant()) return Value::constant(a.low ^ b.low);
      return Value::range(0, bits_of(a.high | b.high));
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
      return shift(operation, a, b, is_32);
    case BPF_NEG:
      return subtract(Value::constant(0), a);
    default:
      return {};
  }
}

/// Leave of `value` what is from `low` to `high`. @return false when that is nothing.
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

bool exclude(Value& value, std::uint64_t number) {
  if (value.is_constant()) return value.low != number;
  if (value.low == number) return clamp(value, number + 1, kMax);
  if (value.high == number) return clamp(value, 0, number - 1);
  return true;
}

/// a > b, or a >= b.
bool assume_over(Value& a, Value& b, bool or_equal) {
  const std::uint64_t apart = or_equal ? 0 : 1;
  if (apart > kMax - b.low || a.high < apart) return false;
  return clamp(a, b.low + apart, kMax) && clamp(b, 0, a.high - apart);
}

bool assume_signed_over(Value& a, Value& b, bool or_equal) {
  const std::int64_t apart = or_equal ? 0 : 1;
  if ((apart != 0 && b.signed_low == kSignedMax) || (apart != 0 && a.signed_high == kSignedMin))
    return false;
  return clamp_signed(a, b.signed_low + apart, kSignedMax) &&
         clamp_signed(b, kSignedMin, a.signed_high - apart);
}

bool compare(unsigned operation, Value& a, Value& b) {
  switch (operation) {
    case BPF_JEQ:
      return clamp(a, b.low, b.high) && clamp(b, a.low, a.high) &&
             clamp_signed(a, b.signed_low, b.signed_high) &&
             clamp_signed(b, a.signed_low, a.signed_high);
    case BPF_JNE:
      return (!b.is_constant() || exclude(a, b.low)) && (!a.is_constant() || exclude(b, a.low));
    case BPF_JGT:
      return assume_over(a, b, false);
    case BPF_JGE:
      return assume_over(a, b, true);
    case BPF_JLT:
      return assume_over(b, a, false);
    case BPF_JLE:
      return assume_over(b, a, true);
    case BPF_JSGT:
      return assume_signed_over(a, b, false);
    case BPF_JSGE:
      return assume_signed_over(a, b, true);
    case BPF_JSLT:
      return assume_signed_over(b, a, false);
    case BPF_JSLE:
      return assume_signed_over(b, a, true);
    case BPF_JSET:
      return a.is_constant() && b.is_constant() ? (a.low & b.low) != 0
                                                : (bits_of(a.high) & bits_of(b.high)) != 0;
    case kNotSet:
      return !a.is_constant() || !b.is_constant() || (a.low & b.low) == 0;
    default:
      return true;
  }
}

bool is_signed_comparison(unsigned operation) {
  return operation == BPF_JSGT || operation == BPF_JSGE || operation == BPF_JSLT ||
         operation == BPF_JSLE;
}

}  // namespace

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

Value join_origin(Value both, const Value& a, const Value& b) {
  const bool same = a.origin == b.origin && a.delta == b.delta && a.scale == b.scale;
  both.origin = same ? a.origin : 0;
  both.delta = same ? a.delta : 0;
  both.scale = same ? a.scale : 1;
  both.is_set = a.is_set && b.is_set;
  both.is_length = a.is_length && b.is_length;
  return both;
}

Value join_null(Value pointer, const Value& a, const Value& b) {
  pointer.or_zero = true;
  return join_origin(pointer, a, b);
}

}  // namespace

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

Value truncate32(const Value& value) {
  if (value.high <= kMax32) {
    Value same = value;
    same.settle();
    return same;
  }
  if (value.low >> 32 == value.high >> 32)
    return stepped(value.low & kMax32, value.high & kMax32, value.step);
  const auto step = std::gcd(value.step, std::uint64_t{1} << 32);
  return stepped((value.low & kMax32) % step, kMax32, step);
}

Value arithmetic(unsigned operation, const Value& a_or_null, const Value& b_or_null, int offset,
                 bool is_32) {
  if (operation == BPF_MOV && offset == 0 && !is_32) return b_or_null;
  const Value a = plain(a_or_null), b = plain(b_or_null);
  if (!is_32) return operate(operation, a, b, offset, false);
  Value result = truncate32(operate(operation, truncate32(a), truncate32(b), offset, true));
  // Of the input's length the lower half is the length, when it is a copy.
  if (operation != BPF_MOV || offset != 0) result.is_length = false;
  return result;
}

bool assume(unsigned operation, bool is_32, Value& a, Value& b) {
  if (a.or_zero && b.is_constant() && b.low == 0 && !b.or_zero && !is_32) {
    if (operation == BPF_JNE) a.or_zero = false;
    if (operation == BPF_JNE) return true;
    if (operation == BPF_JEQ) a = join_origin(Value::constant(0), a, a);
    if (operation == BPF_JEQ) return true;
  }
  a = plain(a);
  b = plain(b);
  const std::uint64_t most = is_signed_comparison(operation) ? kMax32 / 2 : kMax32;
  if (!is_32 || (a.high <= most && b.high <= most))
    return compare(operation, a, b) && a.settle() && b.settle();
  if (is_signed_comparison(operation)) return true;
  Value low_a = truncate32(a), low_b = truncate32(b);
  return compare(operation, low_a, low_b);
}

bool learn(Value& value, const Value& other) {
  Value known;
  if (value.scale == other.scale)
    known = add(other, Value::constant(value.delta - other.delta));
  else if (other.scale == 1)
    known =
        add(multiply(add(other, Value::constant(0 - other.delta)), Value::constant(value.scale)),
            Value::constant(value.delta));
  else
    return true;
  if (value.or_zero) {
    if (known.or_zero || known.low == 0) return true;
    value.or_zero = false;
  }
  return compare(BPF_JEQ, value, known) && value.settle();
}

unsigned opposite(unsigned operation) {
  switch (operation) {
    case BPF_JEQ:
      return BPF_JNE;
    case BPF_JNE:
      return BPF_JEQ;
    case BPF_JGT:
      return BPF_JLE;
    case BPF_JLE:
      return BPF_JGT;
    case BPF_JGE:
      return BPF_JLT;
    case BPF_JLT:
      return BPF_JGE;
    case BPF_JSGT:
      return BPF_JSLE;
    case BPF_JSLE:
      return BPF_JSGT;
    case BPF_JSGE:
      return BPF_JSLT;
    case BPF_JSLT:
      return BPF_JSGE;
    default:
      return kNotSet;
  }
}

}  // namespace sevmon::ids
