// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>

#include "session.hpp"

namespace sevmon::cli {

struct ListingOptions {
  ids::ProcessMethod method = ids::ProcessMethod::kProgram;
  bool threads = false;  // by pages only
  bool atomic = false;   // by program only: with the target's vCPUs paused
};

struct Listing {
  ids::ProcessList list;
  std::optional<std::string> fallback;    // why the list is by pages, when it was not to be
  std::uint64_t loading_round_trips = 0;  // to send the program to the agent
  std::uint64_t list_round_trips = 0;     // of the list itself
};

/// List the processes of the session's target. What keeps the program from being used (the agent,
/// or a kernel without what it needs) makes it a list by pages.
/// @return as ids::list_processes().
common::Result<Listing> list_by_method(Session& session, const ListingOptions& options);

}  // namespace sevmon::cli
