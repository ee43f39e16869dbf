// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sevmon/program.hpp>

#include "program/object.hpp"

namespace sevmon::ids {

/// An instruction that asks for what the kernel has not. `insns` has a call of nothing in its
/// place.
struct Unresolved {
  std::uint32_t insn;
  sevmon_bpf_insn original;
  std::string what;  // "task_struct.state"
};

/// Relocate by type (CO-RE) from the object's types to the kernel's, in `insns`, which are the
/// object's own so far.
/// @return those that have no answer; kMalformed, kUnsupported; kNotFound without the kernel's
///         types.
common::Result<std::vector<Unresolved>> relocate_types(const ProgramObject::Impl& object,
                                                       const ProgramTarget& target,
                                                       std::vector<sevmon_bpf_insn>& insns);

}  // namespace sevmon::ids
