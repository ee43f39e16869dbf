// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>

#include "linux/module.hpp"

// What ids/programs/modules.bpf.c gives.
namespace sevmon::ids {

/// All of it, over as many runs as it takes; at most `max_modules` of the list, and a bounded
/// number of runs. What a run gives is the target's data: whatever it is, it is taken as sightings
/// or as tears. @return errors of `run`.
common::Result<ModuleSightings> read_module_records(const RunProgram& run,
                                                    std::uint32_t max_modules);

}  // namespace sevmon::ids
