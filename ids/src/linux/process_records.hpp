// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

#include "linux/record_runs.hpp"
#include "programs/processes.h"

// What ids/programs/processes.bpf.c gives.
namespace sevmon::ids {

struct ProcessRecords {
  std::vector<sevmon_process_record> records;  // ids ascend
  /// Where init_task's place in the ring of tasks leads to; none: it cannot be read.
  struct Ring {
    common::Gva next{}, previous{};
  };
  std::optional<Ring> ring;
  std::vector<RecordTear> tears;  // with any of them the records may lack some
  ProgramUse use;
};

/// All records, over as many runs as it takes; at most `max_records`, and a bounded number of runs.
/// What a run gives is the target's data: whatever it is, it is taken as records or as tears.
/// @return kUnsupported when the program does not know such a table; errors of `run`.
common::Result<ProcessRecords> read_process_records(const RunProgram& run,
                                                    std::uint32_t max_records);

}  // namespace sevmon::ids
