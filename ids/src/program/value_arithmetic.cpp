// SPDX-License-Identifier: Apache-2.0
//
// Values that an instruction computes.
#include <algorithm>
#include <numeric>

#include "bpf.h"
#include "program/value_range.hpp"

namespace sevmon::ids {

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

namespace {

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

}  // namespace

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

}  // namespace sevmon::ids
