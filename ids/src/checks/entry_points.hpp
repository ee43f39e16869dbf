// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/result.hpp>
#include <sevmon/translation.hpp>

#include "checks/address_spaces.hpp"
#include "checks/page_tables.hpp"

namespace sevmon::ids {

/// Where vCPUs enter the kernel, as Xen or the CPU has it, must be in the kernel's text; the IDT
/// must be the kernel's, wherever it is mapped. Findings are of the master (space 0).
/// @return kNotFound when the profile lacks what this needs; errors of the channel.
common::Result<std::vector<TranslationFinding>> check_entry_points(
    const Kernel& kernel, PageTables& tables, const std::vector<VcpuState>& vcpus);

}  // namespace sevmon::ids
