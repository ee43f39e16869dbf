// SPDX-License-Identifier: Apache-2.0
#include "program/flow.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <sevmon/program.h>
#include <sevmon/text.hpp>

#include "program/helpers.hpp"
#include "program/loops.hpp"
#include "program/state.hpp"

namespace sevmon::ids {
namespace {

constexpr std::uint64_t kMaxSteps = 2'000'000;  // instructions looked at, each time
constexpr std::uint64_t kStepsOfAState = 16;    // what joining costs, for each frame
constexpr std::size_t kMaxFrames = 20'000;      // in all states that are kept
constexpr std::size_t kMaxThresholds = 512;
constexpr unsigned kVisitsBeforeWidening = 4;
constexpr unsigned kVisitsBeforeUnknown = 80;  // then thresholds help no more
constexpr std::uint64_t kMaxEach = 16;         // addresses that are looked at one by one
constexpr std::uint64_t kStackBegin = std::uint64_t{SEVMON_REGION_STACK} << SEVMON_REGION_SHIFT;

/// Rounds of a loop that are looked at each by itself, where joining them all finds errors.
constexpr std::array<std::uint32_t, 3> kRounds = {0, 100, 1100};

/// Which calls led here, the outermost first: of each the round that it is in, and where it is.
using Calls = std::vector<std::uint32_t>;

/// Where, and in which round of the outermost loop there.
struct Place {
  Calls calls;
  std::uint32_t at;
  std::uint32_t round;

  auto operator<=>(const Place&) const = default;
};

bool is_wide(const sevmon_bpf_insn& insn) {
  return insn.code == BPF_LD_IMM64;
}

class Analysis {
 public:
  Analysis(std::span<const sevmon_bpf_insn> insns, const Regions& regions, std::uint32_t rounds)
      : insns_{insns}, regions_{regions}, rounds_{rounds}, loop_of_{loops_of(insns)} {
    flow_.reached.resize(insns.size());
    find_thresholds();
    find_begins();
  }

  Flow run() {
    State first;
    first.registers.fill(Value::unset());
    first.registers[1] = Value::constant(std::uint64_t{SEVMON_REGION_INPUT} << SEVMON_REGION_SHIFT);
    first.registers[2] = Value::range(0, 0xffffffff);
    first.registers[2].is_length = true;
    first.registers[2].origin = static_cast<std::uint32_t>(insns_.size()) + 1;
    first.registers[10] = Value::constant(kStackBegin + SEVMON_BPF_STACK_BYTES);
    reach({{}, 0, 0}, first);
    while (!queue_.empty() && flow_.complete) {
      const Place place = queue_.begin()->second;
      queue_.erase(queue_.begin());
      follow(place);
    }
    if (!flow_.complete) {
      flow_.reached.assign(insns_.size(), true);
      return std::move(flow_);
    }
    // What holds in the end, once: on the way there less may have been known to be possible.
    reporting_ = true;
    for (const auto& [place, node] : nodes_) follow(place);
    std::ranges::stable_sort(flow_.findings, {}, &FlowFinding::insn);
    return std::move(flow_);
  }

 private:
  struct Node {
    State state;
    unsigned visits = 0;
  };
  /// Constants that values are compared with, and their neighbours.
  void find_thresholds() {
    thresholds_ = {0, 1, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
    thresholds_.insert(0x8000000000000000);
    for (std::size_t i = 0; i < insns_.size(); ++i) {
      const auto& insn = insns_[i];
      const auto type = BPF_CLASS(insn.code);
      if ((type == BPF_JMP || type == BPF_JMP32) && (insn.code & BPF_X) == 0) {
        add_threshold(static_cast<std::uint64_t>(std::int64_t{insn.imm}));
        add_threshold(static_cast<std::uint32_t>(insn.imm));
      }
    }
  }
  void add_threshold(std::uint64_t number) {
    if (thresholds_.size() < kMaxThresholds) thresholds_.insert({number - 1, number, number + 1});
  }

  /// Where states are kept: where more than one way can lead, and where ranges must stop to grow.
  void find_begins() {
    begins_.resize(insns_.size());
    loops_.resize(insns_.size());
    for (std::uint32_t at = 0; at < insns_.size(); ++at) {
      const auto type = BPF_CLASS(insns_[at].code);
      if (is_wide(insns_[at])) {
        ++at;
        continue;
      }
      if (type != BPF_JMP && type != BPF_JMP32) continue;
      const auto op = BPF_OP(insns_[at].code);
      if (op == BPF_CALL || op == BPF_EXIT) continue;
      const auto target = target_of(at);
      if (target >= insns_.size()) continue;
      begins_[target] = true;
      if (target <= at) loops_[target] = true;
    }
  }

  std::uint32_t target_of(std::uint32_t at) const {
    const auto& insn = insns_[at];
    const bool is_far = BPF_OP(insn.code) == BPF_CALL || insn.code == (BPF_JMP32 | BPF_JA);
    return static_cast<std::uint32_t>(std::int64_t{at} + 1 + (is_far ? insn.imm : insn.offset));
  }

  /// The place that a jump, or the next instruction, leads to. Backwards in a loop begins a round
  /// of its own, as long as there are some; out of the loop they end.
  Place next_place(const Place& from, std::uint32_t at, std::uint32_t to) const {
    const bool same_loop = to < insns_.size() && loop_of_[to] != 0 && loop_of_[to] == loop_of_[at];
    return {from.calls, to, same_loop ? std::min(from.round + (to <= at ? 1 : 0), rounds_) : 0};
  }

  void reach(const Place& place, const State& state) {
    if (reporting_) return;
    // The agent's verifier has a say about that.
    if (place.at >= insns_.size()) return give_up();
    steps_ += kStepsOfAState * (place.calls.size() / 2 + 1);
    if (place.round > 0) {
      // A round that brings nothing new is the last.
      const auto before = nodes_.find({place.calls, place.at, place.round - 1});
      if (before != nodes_.end() && join(before->second.state, state) == before->second.state)
        return;
    }
    const auto [entry, is_new] = nodes_.try_emplace(place);
    Node& node = entry->second;
    if (is_new) {
      node.state = state;
      frames_ += place.calls.size() / 2 + 1;
      if (frames_ > kMaxFrames) give_up();
    } else {
      State both = join(node.state, state);
      if (both == node.state) return;
      if (++node.visits > kVisitsBeforeWidening && loops_[place.at])
        both = widen(node.state, both, node.visits > kVisitsBeforeUnknown ? none_ : thresholds_);
      node.state = std::move(both);
    }
    queue_.insert({-static_cast<int>(place.calls.size()), place});
  }

  void give_up() { flow_.complete = false; }

  /// From a place with a state to the next ones.
  void follow(const Place& place) {
    State state = nodes_.at(place).state;
    std::uint32_t at = place.at;
    for (std::uint32_t before = at;;) {
      if ((!reporting_ && ++steps_ > kMaxSteps) || at >= insns_.size()) return give_up();
      const Place next = next_place(place, before, at);
      if (at != place.at && (begins_[at] || next.round != place.round)) return reach(next, state);
      flow_.reached[at] = true;
      before = at;
      const auto& insn = insns_[at];
      const auto type = BPF_CLASS(insn.code);
      if (type != BPF_JMP && type != BPF_JMP32) {
        if (is_wide(insn) && at + 1 < insns_.size()) flow_.reached[at + 1] = true;
        execute(state, at);
        at += 1 + (is_wide(insn) ? 1 : 0);
        continue;
      }
      const auto op = BPF_OP(insn.code);
      if (op == BPF_EXIT) return leave(place, state);
      if (op == BPF_JA) return reach(next_place(place, at, target_of(at)), state);
      if (op == BPF_CALL) {
        if (BPF_SRC(&insn) == BPF_CALL_LOCAL) return enter(place, state, at);
        call_helper(state, at);
        ++at;
        continue;
      }
      return branch(place, state, at);
    }
  }

  void branch(const Place& place, const State& state, std::uint32_t at) {
    const auto& insn = insns_[at];
    const bool is_32 = BPF_CLASS(insn.code) == BPF_JMP32;
    const bool has_source = (insn.code & BPF_X) != 0;
    for (const bool taken : {true, false}) {
      State next = state;
      Value& a = next.registers[BPF_DST(&insn)];
      Value constant = Value::constant(is_32 ? static_cast<std::uint32_t>(insn.imm)
                                             : static_cast<std::uint64_t>(std::int64_t{insn.imm}));
      Value& b = has_source ? next.registers[BPF_SRC(&insn)] : constant;
      if (b.is_constant()) add_threshold(b.low);
      if (a.is_constant()) add_threshold(a.low);
      if (&a != &b) {
        const auto operation = taken ? BPF_OP(insn.code) : opposite(BPF_OP(insn.code));
        if (!assume(operation, is_32, a, b)) continue;
        if (!spread(next, Value{a}) || !spread(next, Value{b})) continue;
      }
      reach(next_place(place, at, taken ? target_of(at) : at + 1), next);
    }
  }

  /// What was learnt of one value holds for all of its origin.
  static bool spread(State& state, const Value& learnt) {
    if (learnt.is_length) state.input_bytes = std::max(state.input_bytes, learnt.low);
    if (learnt.origin == 0 || learnt.or_zero) return true;
    return each_origin(state, [&](Value& value) {
      if (value.origin != learnt.origin) return true;
      if (!learn(value, learnt)) return false;
      if (value.is_length) state.input_bytes = std::max(state.input_bytes, value.low);
      return true;
    });
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

  void enter(const Place& place, State& state, std::uint32_t at) {
    Calls inner = place.calls;
    // The round that it comes back to is a part of where.
    inner.push_back(place.round);
    inner.push_back(at);
    if (inner.size() / 2 >= SEVMON_BPF_MAX_DEPTH) return give_up();
    auto& registers = state.registers;
    state.kept.push_back({registers[6], registers[7], registers[8], registers[9]});
    const std::size_t frames = state.kept.size() + 1;
    state.stack.set_frames(frames);
    registers[0] = Value::unset();
    for (unsigned i = 6; i < 10; ++i) registers[i] = Value::unset();
    registers[10] = Value::constant(kStackBegin + frames * SEVMON_BPF_STACK_BYTES);
    reach({inner, target_of(at), 0}, state);
  }

  void leave(const Place& place, State& state) {
    if (place.calls.empty()) return;
    const std::uint32_t call = place.calls.back();
    const std::uint32_t round = place.calls[place.calls.size() - 2];
    const Place outer{{place.calls.begin(), place.calls.end() - 2}, call, round};
    for (unsigned i = 1; i < 6; ++i) state.registers[i] = Value::unset();
    for (unsigned i = 0; i < 4; ++i) state.registers[6 + i] = state.kept.back()[i];
    state.kept.pop_back();
    const std::size_t frames = state.kept.size() + 1;
    state.stack.set_frames(frames);
    state.registers[10] = Value::constant(kStackBegin + frames * SEVMON_BPF_STACK_BYTES);
    reach(next_place(outer, call, call + 1), state);
  }

  // ---- One instruction

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
    if (!reporting_ || !told_.insert({at, reason}).second) return;
    flow_.findings.push_back({is_error, at, std::move(reason)});
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

  std::span<const sevmon_bpf_insn> insns_;
  Regions regions_;
  const std::uint32_t rounds_;
  const std::vector<std::uint32_t> loop_of_;
  Flow flow_;
  Thresholds thresholds_;
  const Thresholds none_;
  std::vector<bool> begins_, loops_;
  std::map<Place, Node> nodes_;
  std::set<std::pair<int, Place>> queue_;  // the innermost calls first
  std::set<std::pair<std::uint32_t, std::string>> told_;
  std::uint64_t steps_ = 0;
  std::size_t frames_ = 0;
  bool reporting_ = false;
};

}  // namespace

bool Flow::has_error() const {
  return std::ranges::any_of(findings, &FlowFinding::is_error);
}

Flow analyse_flow(std::span<const sevmon_bpf_insn> insns, const Regions& regions) {
  Flow best;
  for (const auto rounds : kRounds) {
    Flow flow = Analysis{insns, regions, rounds}.run();
    if (!flow.complete && rounds != kRounds.front()) break;
    best = std::move(flow);
    if (!best.complete || !best.has_error()) break;
  }
  return best;
}

}  // namespace sevmon::ids
