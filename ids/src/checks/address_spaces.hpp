// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>
#include <sevmon/translation.hpp>

#include "checks/page_tables.hpp"

// Which page tables a target has: what Xen holds, and what its processes say.
namespace sevmon::ids {

struct VcpuState {
  std::uint32_t vcpu = 0;
  sevmon_vcpu_state state{};
  std::vector<sevmon_trap> traps;  // PV only
};

/// Every vCPU that is online, with its trap table where there is one.
/// @return errors of the channel.
common::Result<std::vector<VcpuState>> read_vcpus(Channel& channel, common::DomId domain,
                                                  std::uint32_t count);

struct ProcessRoot {
  std::int32_t pid = 0;
  std::uint64_t frame = 0;
};

struct ProcessRoots {
  std::vector<ProcessRoot> roots;
  std::optional<std::uint64_t> efi;  // efi_mm's
  std::vector<std::string> notes;    // what could not be told of a process
};

/// The page table of each task in `processes` (its mm's, or the one that it borrows), by way of the
/// master table alone.
/// @return kNotFound when the profile lacks what this needs; errors of the channel.
common::Result<ProcessRoots> read_process_roots(Kernel& kernel, PageTables& tables,
                                                const ProcessList& processes);

}  // namespace sevmon::ids
