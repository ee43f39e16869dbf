// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bpf.h"

namespace sevmon::ids {

/// Sizes of what a program sees as memory.
struct Regions {
  std::uint32_t map_bytes = 0;
  std::uint32_t data_bytes = 0;
};

struct FlowFinding {
  bool is_error;
  std::uint32_t insn;
  std::string reason;
};

struct Flow {
  std::vector<bool> reached;  // by instruction; all, when not complete
  std::vector<FlowFinding> findings;
  bool complete = true;  // false: over the bound, so nothing follows from what was not found

  bool has_error() const;
};

/// Follow what registers and stack can hold along every way through `insns`, which the agent's
/// verifier accepts but for calls of helpers that do not exist. Bounded; see check.cpp's rules.
Flow analyse_flow(std::span<const sevmon_bpf_insn> insns, const Regions& regions);

}  // namespace sevmon::ids
