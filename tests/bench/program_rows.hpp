// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/rounds.hpp"

namespace sevmon::bench {

/// Instructions of the agent's interpreter beside the same work in C, and a COMMIT with its parts.
/// `runs` of each work in a round. `other` is a shared object with another interpreter
/// (other_interpreter.h), which runs what has no loop, too; empty: none.
void add_program_rows(Rounds& rounds, unsigned runs, const std::string& other);

}  // namespace sevmon::bench
