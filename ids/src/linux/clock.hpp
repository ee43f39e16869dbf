// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sevmon/kernel.hpp>

namespace sevmon::ids {

/// Ranges, as linked, that read_boot_time() reads; none when the profile does not say where.
std::vector<Range> clock_ranges(const KernelInfo& info);

/// Unix time of the target's boot in ns, by the target's own clock. None when it cannot be told or
/// is no possible time: whoever shows it can do without.
std::optional<std::int64_t> read_boot_time(const Kernel& kernel, Memory& memory);

}  // namespace sevmon::ids
