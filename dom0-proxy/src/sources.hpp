// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>

namespace sevmon::proxy {

/// Counts connections, together and per source. For one thread.
class Sources : public std::enable_shared_from_this<Sources> {
 public:
  Sources(std::size_t total, std::size_t per_source) : total_{total}, per_source_{per_source} {}

  /// One connection's place; free again when it goes.
  class Place {
   public:
    Place(std::shared_ptr<Sources> sources, boost::asio::ip::address source)
        : sources_{std::move(sources)}, source_{std::move(source)} {}
    Place(Place&&) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place();

    const boost::asio::ip::address& source() const { return source_; }

   private:
    std::shared_ptr<Sources> sources_;
    boost::asio::ip::address source_;
  };

  /// Nothing when the table is full or this source has its share.
  std::optional<Place> admit(const boost::asio::ip::address& peer);

  std::size_t connected() const { return connected_; }
  /// How many this source has.
  std::size_t count(const boost::asio::ip::address& source) const;
  /// What counts as one source: an IPv4 address, mapped or not, or an IPv6 /64, which one machine
  /// usually has to itself.
  static boost::asio::ip::address source_of(const boost::asio::ip::address& peer);

 private:
  const std::size_t total_;
  const std::size_t per_source_;
  std::size_t connected_ = 0;
  std::map<boost::asio::ip::address, std::size_t> counts_;
};

}  // namespace sevmon::proxy
