// SPDX-License-Identifier: Apache-2.0
//
// What a jump that is taken, or is not, tells of the values it compares.
#include <utility>

#include "bpf.h"
#include "program/value_range.hpp"

namespace sevmon::ids {
namespace {

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
