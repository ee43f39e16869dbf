// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>

#include "listing.hpp"
#include "session.hpp"

namespace sevmon::cli {

struct ProcessListingOptions {
  ids::ListMethod method = ids::ListMethod::kProgram;
  bool threads = false;  // by pages only
  bool atomic = false;   // by program only: with the target's vCPUs paused
};

/// List the processes of the session's target. @return as ids::list_processes().
common::Result<Listing<ids::ProcessList>> list_processes(Session& session,
                                                         const ProcessListingOptions& options);

}  // namespace sevmon::cli
