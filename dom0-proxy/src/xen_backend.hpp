// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "backend.hpp"

namespace sevmon::proxy {

/// The agent in Xen, through dom0-proxy-helper. Connects when the first frame comes and again after
/// the helper went away; frames that were under way then fail with EPIPE. At most `max_calls` are
/// under way, counting those whose waiter has given up; more fail with EBUSY.
std::shared_ptr<Backend> make_xen_backend(const boost::asio::any_io_executor& executor,
                                          std::string helper_socket, std::size_t max_calls);

}  // namespace sevmon::proxy
