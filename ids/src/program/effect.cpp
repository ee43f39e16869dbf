// SPDX-License-Identifier: Apache-2.0
#include "program/effect.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <sevmon/program.h>
#include <sevmon/text.hpp>

#include "program/helpers.hpp"

namespace sevmon::ids {
namespace {

constexpr std::uint64_t kMaxEach = 16;  // addresses that are looked at one by one
constexpr std::uint64_t kStackBegin = std::uint64_t{SEVMON_REGION_STACK} << SEVMON_REGION_SHIFT;

}  // namespace

struct Effect::Impl {
  Impl(std::span<const sevmon_bpf_insn> insns, const Regions& regions)
      : insns_{insns}, regions_{regions} {}

  void execute(State& state, std::uint32_t at) {
    const auto& insn = insns_[at];
    auto& to = state.registers[BPF_DST(&insn)];
    switch (BPF_CLASS(insn.code)) {
      case BPF_LD: {
        const auto high = at + 1 < insns_.size() ? insns_[at + 1].imm : 0;
        to = Value::constant(static_cast<std::uint64_t>(static_cast<std::uint32_t>(high)) << 32 |
                             static_cast<std::uint32_t>(insn.imm));
        break;
      }
      case BPF_LDX: {
        Value value = load(state, at);
        to = value.origin == 0 && !value.is_constant() ? with_origin(state, value, at) : value;
        break;
      }
      case BPF_ST:
      case BPF_STX:
        store(state, at);
        break;
      default:
        to = compute(state, insn);
    }
  }

  static Value compute(const State& state, const sevmon_bpf_insn& insn) {
    const bool is_32 = BPF_CLASS(insn.code) == BPF_ALU;
    const auto op = BPF_OP(insn.code);
    if (op == BPF_END)
      return insn.imm == 64 ? Value{}
                            : Value::range(0, (std::uint64_t{1} << (insn.imm == 16 ? 16 : 32)) - 1);
    const Value& a = state.registers[BPF_DST(&insn)];
    Value b = op != BPF_NEG && (insn.code & BPF_X) != 0
                  ? state.registers[BPF_SRC(&insn)]
                  : Value::constant(static_cast<std::uint64_t>(std::int64_t{insn.imm}));
    const bool same = (insn.code & BPF_X) != 0 && BPF_SRC(&insn) == BPF_DST(&insn);
    if (same && (op == BPF_XOR || op == BPF_SUB)) return Value::constant(0);
    Value result = arithmetic(op, a, b, insn.offset, is_32);
    result.is_set = true;
    if (op != BPF_MOV) result.is_length = false;
    if (op == BPF_ADD || op == BPF_SUB) keep_origin(result, a, b, op == BPF_SUB, is_32);
    if (op == BPF_ADD && !is_32 && a.is_constant()) keep_origin(result, b, a, false, false);
    if ((op == BPF_LSH || op == BPF_MUL) && !is_32) scale_origin(result, a, b, op == BPF_LSH);
    return result;
  }

  /// A number moved on by a constant is one of the same origin, if it does not wrap at 32 bits.
  static void keep_origin(Value& result, const Value& a, const Value& b, bool is_minus,
                          bool is_32) {
    if (a.origin == 0 || a.or_zero || !b.is_constant()) return;
    auto by = is_minus ? std::uint64_t{0} - b.low : b.low;
    if (is_32) {
      by = static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(by)});
      const Value moved = arithmetic(BPF_ADD, a, Value::constant(by), 0, false);
      if (a.high > 0xffffffff || moved.high > 0xffffffff) return;
    }
    result.origin = a.origin;
    result.delta = a.delta + by;
    result.scale = a.scale;
  }

  /// Modulo 2^64, as all of this is: what is lost at the top does no harm.
  static void scale_origin(Value& result, const Value& a, const Value& b, bool is_shift) {
    if (a.origin == 0 || a.or_zero || !b.is_constant()) return;
    const auto by = is_shift ? std::uint64_t{1} << (b.low & 63) : b.low;
    if (a.scale * by == 0) return;
    result.origin = a.origin;
    result.delta = a.delta * by;
    result.scale = a.scale * by;
  }

  /// Where the stack is meant: the offset of an address that is known to be inside.
  static std::optional<std::uint32_t> stack_offset(const State& state, std::uint64_t address,
                                                   std::uint64_t bytes) {
    if (address < kStackBegin || address - kStackBegin > state.stack.bytes() ||
        bytes > state.stack.bytes() - (address - kStackBegin))
      return std::nullopt;
    return static_cast<std::uint32_t>(address - kStackBegin);
  }

  Value load(const State& state, std::uint32_t at) {
    const auto& insn = insns_[at];
    const unsigned bytes = sevmon_bpf_bytes(insn.code);
    check_null(at, state.registers[BPF_SRC(&insn)]);
    const Value address = moved(state.registers[BPF_SRC(&insn)], insn.offset);
    check_access(state, at, address, bytes, Access::kRead);
    Value value = bytes == 8 ? Value{} : Value::range(0, (std::uint64_t{1} << (8 * bytes)) - 1);
    if (address.is_constant())
      if (const auto offset = stack_offset(state, address.low, bytes)) {
        if (!state.stack.is_written(*offset, bytes))
          report(true, at, "reads " + of_stack(*offset, bytes) + ", which nothing has written");
        value = state.stack.load(*offset, bytes);
        value.is_set = true;
      }
    if (BPF_MODE(insn.code) == BPF_MEMSX)
      value = arithmetic(BPF_MOV, value, value, static_cast<int>(8 * bytes), false);
    return value;
  }

  static std::string of_stack(std::uint32_t offset, std::uint64_t bytes) {
    const auto frame = offset / SEVMON_BPF_STACK_BYTES;
    const auto below = (frame + 1) * SEVMON_BPF_STACK_BYTES - offset;
    return std::to_string(bytes) + " bytes of the stack at -" + std::to_string(below);
  }

  void store(State& state, std::uint32_t at) {
    const auto& insn = insns_[at];
    const unsigned bytes = sevmon_bpf_bytes(insn.code);
    check_null(at, state.registers[BPF_DST(&insn)]);
    const Value address = moved(state.registers[BPF_DST(&insn)], insn.offset);
    check_access(state, at, address, bytes, Access::kWrite);
    const Value value = BPF_CLASS(insn.code) == BPF_ST
                            ? Value::constant(static_cast<std::uint64_t>(std::int64_t{insn.imm}))
                            : state.registers[BPF_SRC(&insn)];
    if (address.is_constant()) {
      if (const auto offset = stack_offset(state, address.low, bytes))
        state.stack.store(*offset, bytes, value);
      return;
    }
    spoil(state, address, bytes);
  }

  /// Something at `address` is written, and what it is is not known.
  static void spoil(State& state, const Value& address, std::uint64_t bytes) {
    const std::uint64_t end = kStackBegin + state.stack.bytes();
    const std::uint64_t most = std::min<std::uint64_t>(bytes, state.stack.bytes());
    if (address.low >= end || address.high < kStackBegin - most) return;
    const std::uint64_t from = std::max(address.low, kStackBegin);
    const std::uint64_t to = address.high >= end - most ? end : address.high + most;
    if (from < to)
      state.stack.fill(static_cast<std::uint32_t>(from - kStackBegin),
                       static_cast<std::uint32_t>(to - from), false);
  }

  static Value moved(Value base, std::int16_t offset) {
    base.or_zero = false;
    Value sum = arithmetic(
        BPF_ADD, base, Value::constant(static_cast<std::uint64_t>(std::int64_t{offset})), 0, false);
    sum.is_set = base.is_set;
    return sum;
  }

  // ---- Accesses

  enum class Access : std::uint8_t { kRead, kWrite };

  void report(bool is_error, std::uint32_t at, std::string reason) {
    if (reporting_ && told_.insert({at, reason}).second)
      findings_.push_back({is_error, at, std::move(reason)});
  }

  void check_null(std::uint32_t at, const Value& base) {
    if (base.or_zero) report(true, at, "may be a null pointer: compare it with 0 before");
  }

  void check_access(const State& state, std::uint32_t at, const Value& address, std::uint64_t bytes,
                    Access access) {
    if (!reporting_) return;
    // A few places in several regions: one of two variables, say.
    const bool few =
        address.low >> SEVMON_REGION_SHIFT != address.high >> SEVMON_REGION_SHIFT &&
        (address.high - address.low) / std::max<std::uint64_t>(address.step, 1) < kMaxEach;
    if (!few) return check_range(state, at, address, bytes, access);
    for (std::uint64_t one = address.low;; one += std::max<std::uint64_t>(address.step, 1)) {
      check_range(state, at, Value::constant(one), bytes, access);
      if (one == address.high) return;
    }
  }

  void check_range(const State& state, std::uint32_t at, const Value& address, std::uint64_t bytes,
                   Access access) {
    const auto region = address.low >> SEVMON_REGION_SHIFT;
    const std::string what = access == Access::kWrite ? "writes " : "reads ";
    const std::uint64_t base = region << SEVMON_REGION_SHIFT;
    const std::uint64_t from = address.low - base, to = address.high - base;
    // What begins in a region and ends far behind it is an index that nothing bounds.
    if (region == 0 || region > SEVMON_REGION_DATA || from > bytes_of(state, region) ||
        to > std::numeric_limits<std::uint64_t>::max() / 2)
      return report(true, at, what + to_nowhere(address));
    if (region == SEVMON_REGION_DATA && access == Access::kWrite)
      return report(true, at, "writes to a constant");
    if (region == SEVMON_REGION_INPUT) return check_input(state, at, to + bytes, address);
    static constexpr const char* kNames[] = {"", "the stack", "", "the global variables",
                                             "the constants"};
    if (to + bytes > bytes_of(state, region))
      report(true, at,
             what + std::to_string(bytes) + " bytes at " + Value::range(from, to).text() + " of " +
                 kNames[region] + ", whose end is at " + std::to_string(bytes_of(state, region)));
  }

  std::uint64_t bytes_of(const State& state, std::uint64_t region) const {
    switch (region) {
      case SEVMON_REGION_STACK:
        return state.stack.bytes();
      case SEVMON_REGION_INPUT:
        return 0xffffffff;
      case SEVMON_REGION_MAP:
        return regions_.map_bytes;
      default:
        return regions_.data_bytes;
    }
  }

  static std::string to_nowhere(const Value& address) {
    if (address.is_constant() && address.low >> SEVMON_REGION_SHIFT == 0)
      return "at " + address.text() + ": a null pointer";
    if (address.low >> SEVMON_REGION_SHIFT > SEVMON_REGION_DATA)
      return "at " + address.text() +
             ": no address of the program's own; the kernel's memory is "
             "read with sevmon_read()";
    return "at an address that can be " + address.text() +
           ", and so in none or several of the "
           "program's regions";
  }

  void check_input(const State& state, std::uint32_t at, std::uint64_t end, const Value& address) {
    if (end <= state.input_bytes) return;
    report(address.is_constant(), at,
           "touches the input up to its byte " + std::to_string(end) + ", of which " +
               (state.input_bytes == 0 ? std::string{"none is"}
                                       : std::to_string(state.input_bytes) + " are") +
               " known to be there: compare its length before");
  }

  // ---- Helpers

  void call_helper(State& state, std::uint32_t at) {
    const Helper* helper = find_helper(insns_[at].imm);
    Value result;
    if (helper != nullptr) {
      for (unsigned i = 0; i < helper->argument_count(); ++i) use_argument(state, at, *helper, i);
      if (helper->gives == Helper::Gives::kStatus) result = Value::signed_range(-4095, 0);
      if (helper->gives == Helper::Gives::kLength)
        result = Value::signed_range(-4095, SEVMON_HELPER_MAX_BYTES);
    }
    state.registers[0] = with_origin(state, result, at);
    for (unsigned i = 1; i < 6; ++i) state.registers[i] = Value::unset();
  }

  void use_argument(State& state, std::uint32_t at, const Helper& helper, unsigned index) {
    using Kind = HelperArgument::Kind;
    const auto& argument = helper.arguments[index];
    Value value = state.registers[1 + index];
    if (argument.kind == Kind::kWrites || argument.kind == Kind::kReads) {
      check_null(at, value);
      value.or_zero = false;
    }
    const std::string name = std::string{helper.name} + "(), argument " + std::to_string(index + 1);
    switch (argument.kind) {
      case Kind::kWrites:
      case Kind::kReads: {
        const Value bytes = argument.bytes != 0 ? Value::constant(argument.bytes)
                                                : truncate32(state.registers[2 + index]);
        use_place(state, at, name, value, bytes, argument.kind == Kind::kWrites);
        break;
      }
      case Kind::kBytes: {
        const Value bytes = truncate32(value);
        if (bytes.high > SEVMON_HELPER_MAX_BYTES || bytes.low == 0)
          report(bytes.low > SEVMON_HELPER_MAX_BYTES || bytes.high == 0, at,
                 name + ": " + bytes.text() + " bytes; 1 to " +
                     std::to_string(SEVMON_HELPER_MAX_BYTES) + " are taken");
        break;
      }
      case Kind::kAddress: {
        const auto low = value.low >> SEVMON_REGION_SHIFT, high = value.high >> SEVMON_REGION_SHIFT;
        if (low >= SEVMON_REGION_STACK && high <= SEVMON_REGION_DATA)
          report(true, at,
                 name + ": an address of the program's own (" + value.text() +
                     "); one of the kernel's is wanted");
        break;
      }
      default:
        break;
    }
  }

  void use_place(State& state, std::uint32_t at, const std::string& name, const Value& address,
                 const Value& bytes, bool writes) {
    const std::uint64_t most = std::min<std::uint64_t>(bytes.high, SEVMON_HELPER_MAX_BYTES);
    const auto region = address.low >> SEVMON_REGION_SHIFT;
    const bool is_own = region == address.high >> SEVMON_REGION_SHIFT && region != 0 &&
                        region <= SEVMON_REGION_DATA;
    if (!is_own)
      report(true, at,
             name + ": " + (address.is_set ? address.text() : "a register without value") +
                 " is no place of the program's own");
    else
      check_access(state, at, address, most, writes ? Access::kWrite : Access::kRead);
    if (writes) {
      // The shorter of two lengths is what is surely written.
      if (address.is_constant() && bytes.low > 0)
        if (const auto offset = stack_offset(state, address.low, most)) {
          state.stack.fill(*offset, static_cast<std::uint32_t>(most), false);
          state.stack.fill(*offset, static_cast<std::uint32_t>(std::min(bytes.low, most)), true);
          return;
        }
      spoil(state, address, most);
      return;
    }
    if (address.is_constant())
      if (const auto offset = stack_offset(state, address.low, bytes.low))
        if (!state.stack.is_written(*offset, static_cast<std::uint32_t>(bytes.low)))
          report(false, at,
                 name + ": some of the " + std::to_string(bytes.low) + " bytes were never written");
  }

  /// A new number, which instruction `at` brings: those that it brought before are others.
  static Value with_origin(State& state, Value value, std::uint32_t at) {
    each_origin(state, [&](Value& other) {
      if (other.origin == at + 1) {
        other.origin = 0;
        other.delta = 0;
        other.scale = 1;
      }
      return true;
    });
    value.origin = at + 1;
    value.delta = 0;
    value.scale = 1;
    return value;
  }

  std::span<const sevmon_bpf_insn> insns_;
  Regions regions_;
  std::vector<FlowFinding> findings_;
  std::set<std::pair<std::uint32_t, std::string>> told_;
  bool reporting_ = false;
};

Effect::Effect(std::span<const sevmon_bpf_insn> insns, const Regions& regions)
    : impl_{std::make_unique<Impl>(insns, regions)} {}
Effect::~Effect() = default;

void Effect::execute(State& state, std::uint32_t at) {
  impl_->execute(state, at);
}

void Effect::call_helper(State& state, std::uint32_t at) {
  impl_->call_helper(state, at);
}

void Effect::start_reporting() {
  impl_->reporting_ = true;
}

std::vector<FlowFinding> Effect::take_findings() {
  return std::move(impl_->findings_);
}

}  // namespace sevmon::ids
