// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

namespace sevmon::ids {

/// Pages of a shared mapping go away when somebody cuts the file, and the next look at them is a
/// SIGBUS. From here on such a page of these `bytes` at `start` becomes one of zeros instead. Other
/// signals of that kind go where they went before.
/// @return the guard's place, for unguard_pages(); nothing when too many are guarded.
std::optional<unsigned> guard_pages(const void* start, std::size_t bytes);
void unguard_pages(unsigned place);

}  // namespace sevmon::ids
