// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf.h"

namespace sevmon::ids {

/// Of each instruction the outermost loop that it is in, by a number; 0: none.
std::vector<std::uint32_t> loops_of(std::span<const sevmon_bpf_insn> insns);

/// Loops that nothing obvious ends: no way out of them compares a register that only
/// additions of constants in them move on. Each by its first instruction. Jumps must be inside
/// `insns`.
std::vector<std::uint32_t> unbounded_loops(std::span<const sevmon_bpf_insn> insns);

}  // namespace sevmon::ids
