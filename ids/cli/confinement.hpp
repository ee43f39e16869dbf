// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sevmon/result.hpp>

#include "system_calls.hpp"

namespace sevmon::cli {

/// At the start: no core file, no debugger of the same user.
void protect_memory();

/// Before the first byte from outside is parsed, with everything open that will be needed: whoever
/// takes this process over by what it reads shall have nothing of it. Root becomes `user` (empty:
/// "nobody"; "root" stays root), then system calls are restricted. Once: later calls do nothing.
/// @return kUsage: no such user; kIo: what the system refuses.
common::Result<void> confine(SystemCalls allowed, const std::string& user);

}  // namespace sevmon::cli
