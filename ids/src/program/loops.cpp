// SPDX-License-Identifier: Apache-2.0
#include "program/loops.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace sevmon::ids {
namespace {

using Insns = std::span<const sevmon_bpf_insn>;

bool is_jump(const sevmon_bpf_insn& insn) {
  const auto type = BPF_CLASS(insn.code);
  const auto op = BPF_OP(insn.code);
  return (type == BPF_JMP || type == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

/// Where an instruction leads within its function; calls come back.
std::vector<std::uint32_t> next_of(Insns insns, std::uint32_t at) {
  const auto& insn = insns[at];
  std::vector<std::uint32_t> next;
  const auto add = [&](std::int64_t to) {
    if (to >= 0 && to < static_cast<std::int64_t>(insns.size()))
      next.push_back(static_cast<std::uint32_t>(to));
  };
  const bool is_always = is_jump(insn) && BPF_OP(insn.code) == BPF_JA;
  if (is_jump(insn))
    add(std::int64_t{at} + 1 + (insn.code == (BPF_JMP32 | BPF_JA) ? insn.imm : insn.offset));
  if (!is_always && insn.code != (BPF_JMP | BPF_EXIT))
    add(std::int64_t{at} + (insn.code == BPF_LD_IMM64 ? 2 : 1));
  return next;
}

/// Tarjan's strongly connected components, without recursion: a program can be one long chain.
class Components {
 public:
  explicit Components(Insns insns)
      : insns_{insns}, number_(insns.size()), low_(insns.size()), component_(insns.size()) {
    for (std::uint32_t at = 0; at < insns.size(); ++at)
      if (number_[at] == 0) visit(at);
  }

  /// Those with a way from an instruction back to itself.
  std::vector<std::vector<std::uint32_t>> loops() const {
    std::vector<std::vector<std::uint32_t>> members(count_);
    for (std::uint32_t at = 0; at < insns_.size(); ++at) members[component_[at] - 1].push_back(at);
    std::erase_if(members, [&](const auto& of) {
      const auto next = next_of(insns_, of.front());
      return of.size() == 1 && std::ranges::find(next, of.front()) == next.end();
    });
    return members;
  }
  std::uint32_t of(std::uint32_t at) const { return component_[at]; }

 private:
  void visit(std::uint32_t root) {
    struct Frame {
      std::uint32_t at;
      std::vector<std::uint32_t> next;
      std::size_t done = 0;
    };
    std::vector<Frame> path;
    const auto open = [&](std::uint32_t at) {
      number_[at] = low_[at] = ++visited_;
      open_.push_back(at);
      path.push_back({at, next_of(insns_, at)});
    };
    open(root);
    while (!path.empty()) {
      Frame& frame = path.back();
      if (frame.done < frame.next.size()) {
        const auto to = frame.next[frame.done++];
        if (number_[to] == 0)
          open(to);
        else if (component_[to] == 0)
          low_[frame.at] = std::min(low_[frame.at], number_[to]);
        continue;
      }
      const auto at = frame.at;
      path.pop_back();
      if (!path.empty()) low_[path.back().at] = std::min(low_[path.back().at], low_[at]);
      if (low_[at] == number_[at]) close(at);
    }
  }

  void close(std::uint32_t first) {
    ++count_;
    for (std::uint32_t at = first + 1; at != first;) {
      at = open_.back();
      open_.pop_back();
      component_[at] = count_;
    }
  }

  Insns insns_;
  std::vector<std::uint32_t> number_, low_, component_, open_;
  std::uint32_t visited_ = 0, count_ = 0;
};

/// Registers, and the places in the stack that they are kept at, that nothing in a loop writes but
/// additions of constants, and copies among themselves: what counts.
class Counters {
 public:
  Counters(Insns insns, const std::vector<std::uint32_t>& loop) {
    for (const auto at : loop) note(insns[at]);
    for (bool changed = true; changed;) {
      changed = false;
      for (const auto& [to, from] : copies_)
        if (is_counter(to) && !is_counter(from)) changed = spoilt_.insert(to).second || changed;
    }
    counts_ = std::ranges::any_of(added_, [&](unsigned what) { return is_counter(what); });
  }
  bool has(unsigned reg) const { return counts_ && is_counter(reg); }

 private:
  bool is_counter(unsigned what) const {
    return written_.contains(what) && !spoilt_.contains(what);
  }

  static unsigned slot(std::int16_t offset) { return 16U + static_cast<std::uint16_t>(offset); }

  void note(const sevmon_bpf_insn& insn) {
    const unsigned to = BPF_DST(&insn), from = BPF_SRC(&insn);
    switch (BPF_CLASS(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64:
        return note_arithmetic(insn);
      case BPF_LDX:
        return from == 10 ? copy(to, slot(insn.offset)) : spoil(to);
      case BPF_STX:
        if (to == 10) copy(slot(insn.offset), from);
        return;
      case BPF_LD:
        return spoil(to);
      default:
        if (insn.code == (BPF_JMP | BPF_CALL))
          for (unsigned reg = 0; reg < 6; ++reg) spoil(reg);
    }
  }

  void note_arithmetic(const sevmon_bpf_insn& insn) {
    const unsigned to = BPF_DST(&insn);
    const auto op = BPF_OP(insn.code);
    const bool has_source = (insn.code & BPF_X) != 0;
    if (op == BPF_MOV && has_source && insn.offset == 0) return copy(to, BPF_SRC(&insn));
    if (has_source || (op != BPF_ADD && op != BPF_SUB)) return spoil(to);
    written_.insert(to);
    added_.insert(to);
  }

  void copy(unsigned to, unsigned from) {
    written_.insert(to);
    copies_.emplace_back(to, from);
  }
  void spoil(unsigned what) {
    written_.insert(what);
    spoilt_.insert(what);
  }

  std::set<unsigned> written_, spoilt_, added_;
  std::vector<std::pair<unsigned, unsigned>> copies_;  // to, from
  bool counts_ = false;
};

}  // namespace

std::vector<std::uint32_t> loops_of(Insns insns) {
  std::vector<std::uint32_t> numbers(insns.size());
  std::uint32_t number = 0;
  for (const auto& loop : Components{insns}.loops()) {
    ++number;
    for (const auto at : loop) numbers[at] = number;
  }
  return numbers;
}

std::vector<std::uint32_t> unbounded_loops(Insns insns) {
  const Components components{insns};
  std::vector<std::uint32_t> unbounded;
  for (const auto& loop : components.loops()) {
    const Counters counters{insns, loop};
    const bool ends = std::ranges::any_of(loop, [&](std::uint32_t at) {
      const auto& insn = insns[at];
      if (!is_jump(insn) || BPF_OP(insn.code) == BPF_JA) return false;
      const auto next = next_of(insns, at);
      const bool leaves = std::ranges::any_of(
          next, [&](std::uint32_t to) { return components.of(to) != components.of(at); });
      return leaves && (counters.has(BPF_DST(&insn)) ||
                        ((insn.code & BPF_X) != 0 && counters.has(BPF_SRC(&insn))));
    });
    if (!ends) unbounded.push_back(loop.front());
  }
  return unbounded;
}

}  // namespace sevmon::ids
