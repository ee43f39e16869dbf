// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "asio.hpp"
#include "backend.hpp"
#include "relay.hpp"
#include "settings.hpp"
#include "sources.hpp"

namespace sevmon::proxy {

/// Accepts connections and stops them. All members belong to the I/O thread.
class Server : public std::enable_shared_from_this<Server> {
 public:
  /// `settings` stays alive as long as the server does.
  Server(asio::any_io_executor executor, const Settings& settings,
         std::shared_ptr<Backend> backend);

  /// Bind and listen. @return kIo with the address that does not work.
  common::Result<void> listen();
  /// As bound: port 0 in the settings is a real one here.
  std::vector<Endpoint> endpoints() const;

  /// Accept until stop(), then drain: ends when the last connection has closed, at the latest after
  /// the drain deadline.
  asio::awaitable<void> run();
  void stop();

  std::size_t connections() const { return relays_.size(); }
  const Budget& budget() const { return *budget_; }

 private:
  using Acceptor = asio::ip::tcp::acceptor;

  common::Result<Acceptor> bind(const Endpoint& endpoint);
  asio::awaitable<void> accept_all(Acceptor& acceptor);
  bool serve(Relay::Socket socket);
  void serve_waiting(Acceptor& acceptor);
  void refuse(Relay::Socket socket);
  bool make_room(const asio::ip::address& peer);
  asio::awaitable<void> serve_one(std::uint64_t number, std::shared_ptr<Relay> relay);
  asio::awaitable<void> drain();
  asio::awaitable<void> all_gone();

  const asio::any_io_executor executor_;
  const Settings& settings_;
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<Budget> budget_;
  const std::shared_ptr<Sources> sources_;
  const std::shared_ptr<PeerLogs> logs_;
  std::vector<Acceptor> acceptors_;
  struct Served {
    std::shared_ptr<Relay> relay;
    Sources::Place place;
  };
  std::map<std::uint64_t, Served> relays_;  // the oldest first
  std::uint64_t next_number_ = 0;
  bool stopping_ = false;
  Signal stop_;
  Signal one_gone_;
};

}  // namespace sevmon::proxy
