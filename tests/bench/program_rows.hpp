// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/rounds.hpp"

namespace sevmon::bench {

/// Instructions of the agent's interpreter beside the same work in C, and a COMMIT with its parts.
/// `runs` of each work in a round.
void add_program_rows(Rounds& rounds, unsigned runs);

}  // namespace sevmon::bench
