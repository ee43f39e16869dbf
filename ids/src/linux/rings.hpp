// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

#include "linux/record_runs.hpp"

// The kernel's lists: rings of struct list_head, whose members have always been next, prev.
namespace sevmon::ids {

constexpr std::uint32_t kListHeadBytes = 16;

struct Ring {
  common::Gva head{};
  std::string_view what;  // "the list of modules": for tears
  std::uint32_t max_entries = 0;
  /// More that is wanted with a link at this address.
  std::function<void(common::Gva entry, std::vector<Range>& ranges)> append_ranges{};

  std::vector<common::Gva> entries{};  // found: links, in order, without the head
  bool is_torn = false;                // there may be more of them
};

/// All `rings` at once, each from both ends, so that a wave of reads brings two links of each.
/// Every link must lead back to where it was come from: so a ring that runs into itself is met as a
/// tear, and so is one with more than its most entries; what was found until then stays.
/// @return the tears; errors of the channel.
common::Result<std::vector<RecordTear>> read_rings(Memory& memory, std::span<Ring> rings);

}  // namespace sevmon::ids
