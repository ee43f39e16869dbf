// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sevmon/result.hpp>

namespace sevmon::cli {

enum class SystemCalls : std::uint8_t {
  kSettled,     // with the descriptors that there are: no file, no socket more
  kReconnects,  // and new connections: sockets, names to look up, files to read
};

/// From here on all threads of this process can make the calls of that set and no others: these
/// fail with EPERM; starting a program, or touching another process, ends the process. For good:
/// neither it nor a child can gain privileges any more.
/// @return kIo when the kernel refuses (no seccomp).
common::Result<void> restrict_system_calls(SystemCalls allowed);

}  // namespace sevmon::cli
