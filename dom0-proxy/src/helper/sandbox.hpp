// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// From here on this process and its threads can serve sockets that are open, start threads, and
/// issue the one ioctl that carries hypercalls; everything else fails with EPERM. No file, no exec,
/// no network, no process.
///
/// The filter sees the ioctl's number, not the hypercall inside it: what keeps this process to our
/// hypercall is its size, not the kernel.
/// @return kIo when the kernel has no seccomp.
common::Result<void> enter_sandbox();

}  // namespace sevmon::proxy
