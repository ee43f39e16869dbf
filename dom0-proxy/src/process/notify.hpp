// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace sevmon::proxy {

/// Tell the service manager ("READY=1", "STOPPING=1"). Does nothing where there is none.
/// sd_notify(3) gives the protocol as stable and self-contained; doing it here lets the static
/// build and the dynamic one be the same, since Debian has no static libsystemd.
void notify_manager(std::string_view state);

/// Sockets that the service manager passed (sd_listen_fds(3)), close-on-exec. Empty without any.
std::vector<int> passed_sockets();

}  // namespace sevmon::proxy
