// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sevmon/kernel.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>

#include "linux/id_table.hpp"
#include "linux/passes.hpp"
#include "linux/task.hpp"

namespace sevmon::ids {

/// Where a kernel has what a process list needs.
struct ProcessLayouts {
  IdTableLayout ids;
  TaskLayout task;
  common::Gva idr{};        // of init_pid_ns, as linked
  common::Gva init_task{};  // as linked

  /// @return kNotFound naming what the profile lacks.
  static common::Result<ProcessLayouts> resolve(const KernelInfo& info);
};

using ProcessPass = ListPass<ProcessList>;  // but for the time of boot, too

/// One pass over one epoch, both methods: see list_processes().
common::Result<ProcessPass> run_process_pass(const Kernel& kernel, const ProcessLayouts& layouts,
                                             Memory& memory, const ProcessOptions& options);

}  // namespace sevmon::ids
