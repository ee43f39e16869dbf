// SPDX-License-Identifier: Apache-2.0
#include "program/flow.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <sevmon/program.h>

#include "program/effect.hpp"
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
      : insns_{insns}, effect_{insns, regions}, rounds_{rounds}, loop_of_{loops_of(insns)} {
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
    effect_.start_reporting();
    for (const auto& [place, node] : nodes_) follow(place);
    flow_.findings = effect_.take_findings();
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
        effect_.execute(state, at);
        at += 1 + (is_wide(insn) ? 1 : 0);
        continue;
      }
      const auto op = BPF_OP(insn.code);
      if (op == BPF_EXIT) return leave(place, state);
      if (op == BPF_JA) return reach(next_place(place, at, target_of(at)), state);
      if (op == BPF_CALL) {
        if (BPF_SRC(&insn) == BPF_CALL_LOCAL) return enter(place, state, at);
        effect_.call_helper(state, at);
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

  std::span<const sevmon_bpf_insn> insns_;
  Effect effect_;
  const std::uint32_t rounds_;
  const std::vector<std::uint32_t> loop_of_;
  Flow flow_;
  Thresholds thresholds_;
  const Thresholds none_;
  std::vector<bool> begins_, loops_;
  std::map<Place, Node> nodes_;
  std::set<std::pair<int, Place>> queue_;  // the innermost calls first
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
