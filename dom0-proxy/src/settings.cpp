// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include <charconv>

namespace sevmon::proxy {

using common::Error;
using common::ErrorCode;

common::Result<Endpoint> parse_endpoint(std::string_view text) {
  const Error bad{ErrorCode::kUsage, "'" + std::string{text} + "' is not ADDRESS:PORT in numbers"};
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, conversion] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (conversion != std::errc{} || end != port_text.data() + port_text.size()) return bad;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string{host}, error);
  if (error || address.is_v6() != bracketed) return bad;
  return Endpoint{address, port};
}

std::string to_text(const Endpoint& endpoint) {
  const auto host = endpoint.address().to_string();
  const auto port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + host + "]:" + port : host + ":" + port;
}

}  // namespace sevmon::proxy
