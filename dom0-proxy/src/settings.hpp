// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "process/log.hpp"

#include <sevmon/result.hpp>

namespace sevmon::proxy {

using Endpoint = boost::asio::ip::tcp::endpoint;

struct Limits {
  std::size_t connections = 64;
  std::size_t connections_per_source = 8;  // an IPv4 address, or an IPv6 /64
  std::size_t frames_per_connection = 16;  // taken and not yet answered to the last byte
  std::size_t frames_unproven = 2;         // of these, until the agent has answered a request
  std::size_t bytes_per_connection = 2U << 20;
  std::size_t frames = 256;  // of all connections together
  std::size_t bytes = 32U << 20;
};

struct Deadlines {
  std::chrono::milliseconds idle{300'000};  // between frames, with none unanswered
  std::chrono::milliseconds frame{10'000};  // from a frame's first byte to its last
  std::chrono::milliseconds answer{5'000};  // the agent's
  std::chrono::milliseconds write{10'000};  // of one answer to the peer
  std::chrono::milliseconds drain{5'000};   // from SIGTERM to the end
};

enum class BackendKind { kXen, kImage };

struct Settings {
  std::vector<Endpoint> listen;
  BackendKind backend = BackendKind::kXen;
  std::string helper_socket = "/run/dom0-proxy/helper.sock";
  std::string image_file;
  std::string image_format = "auto";
  std::string image_key_file;
  std::size_t image_threads = 2;
  std::string image_lanes;  // a file; empty: none
  Limits limits;
  Deadlines deadlines;
  LogLevel log_level = LogLevel::kInfo;
};

/// "127.0.0.1:7100", "[::1]:7100": numbers only, so that nothing is looked up. @return kUsage.
common::Result<Endpoint> parse_endpoint(std::string_view text);
std::string to_text(const Endpoint& endpoint);

}  // namespace sevmon::proxy
