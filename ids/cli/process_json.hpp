// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sevmon/kernel.hpp>
#include <sevmon/processes.hpp>

#include "output.hpp"

namespace sevmon::cli {

/// The result of `ps`, as docs/json.md has it.
Json to_json(const ids::ProcessList& list, const ids::Kernel& kernel);
/// "hidden-from-pids: pid 7 at 0x…: …"
std::string describe(const ids::ProcessNote& note);
/// kExitFindings when it has hidden processes or the methods differ, also if it is torn; else
/// kExitUnknown when it is torn.
int exit_code(const ids::ProcessList& list);

}  // namespace sevmon::cli
