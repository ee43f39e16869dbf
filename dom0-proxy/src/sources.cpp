// SPDX-License-Identifier: Apache-2.0
#include "sources.hpp"

#include <algorithm>

namespace sevmon::proxy {

namespace ip = boost::asio::ip;

Sources::Place::~Place() {
  if (!sources_) return;
  const auto count = sources_->counts_.find(source_);
  if (--count->second == 0) sources_->counts_.erase(count);
  --sources_->connected_;
}

std::optional<Sources::Place> Sources::admit(const ip::address& peer) {
  if (connected_ >= total_) return std::nullopt;
  const auto source = source_of(peer);
  const auto count = counts_.find(source);
  if (count != counts_.end() && count->second >= per_source_) return std::nullopt;
  ++counts_[source];
  ++connected_;
  return std::optional<Place>{std::in_place, shared_from_this(), source};
}

std::size_t Sources::count(const ip::address& source) const {
  const auto count = counts_.find(source);
  return count == counts_.end() ? 0 : count->second;
}

ip::address Sources::source_of(const ip::address& peer) {
  if (peer.is_v4()) return peer;
  const auto v6 = peer.to_v6();
  if (v6.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, v6);
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  // Link-local addresses of different interfaces are different machines.
  return ip::address_v6{bytes, v6.scope_id()};
}

}  // namespace sevmon::proxy
