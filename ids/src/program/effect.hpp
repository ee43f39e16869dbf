// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "program/flow.hpp"
#include "program/state.hpp"

namespace sevmon::ids {

/// What one instruction does to a state, and what there is to say against it.
class Effect {
 public:
  Effect(std::span<const sevmon_bpf_insn> insns, const Regions& regions);
  ~Effect();

  /// Neither a jump nor a call.
  void execute(State& state, std::uint32_t at);
  void call_helper(State& state, std::uint32_t at);

  /// From now on findings are kept, each once.
  void start_reporting();
  std::vector<FlowFinding> take_findings();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sevmon::ids
