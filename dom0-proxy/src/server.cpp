// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <boost/asio/ip/v6_only.hpp>

namespace sevmon::proxy {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// Newcomers that are let in at once, between frames.
constexpr int kMostAccepted = 64;

}  // namespace

Server::Server(asio::any_io_executor executor, const Settings& settings,
               std::shared_ptr<Backend> backend)
    : executor_{std::move(executor)},
      settings_{settings},
      backend_{std::move(backend)},
      budget_{std::make_shared<Budget>(settings.limits.frames, settings.limits.bytes)},
      sources_{std::make_shared<Sources>(settings.limits.connections,
                                         settings.limits.connections_per_source)},
      logs_{std::make_shared<PeerLogs>()},
      stop_{executor_},
      one_gone_{executor_} {}

Result<void> Server::listen() {
  for (const auto& endpoint : settings_.listen) {
    auto acceptor = bind(endpoint);
    if (!acceptor) return acceptor.error();
    acceptors_.push_back(*std::move(acceptor));
  }
  return {};
}

Result<Server::Acceptor> Server::bind(const Endpoint& endpoint) {
  boost::system::error_code error;
  Acceptor acceptor{executor_};
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Acceptor::reuse_address{true}, error);
  // Otherwise "[::]:7100" and "0.0.0.0:7100" would collide, or not, by a sysctl.
  if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only{true}, error);
  if (!error) acceptor.bind(endpoint, error);
  // A peer that is gone again is an error: Asio would else wait for the next one, blocking.
  if (!error) acceptor.set_option(asio::socket_base::enable_connection_aborted{true}, error);
  if (!error) acceptor.non_blocking(true, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Error{ErrorCode::kIo, "cannot listen on " + to_text(endpoint) + ": " + error.message()};
  return acceptor;
}

std::vector<Endpoint> Server::endpoints() const {
  std::vector<Endpoint> endpoints;
  for (const auto& acceptor : acceptors_) endpoints.push_back(acceptor.local_endpoint());
  return endpoints;
}

asio::awaitable<void> Server::run() {
  for (auto& acceptor : acceptors_)
    asio::co_spawn(
        executor_, [self = shared_from_this(), &acceptor] { return self->accept_all(acceptor); },
        ReportException{"accepting"});
  if (!stopping_) co_await stop_.wait();
  boost::system::error_code ignored;
  for (auto& acceptor : acceptors_) acceptor.close(ignored);
  co_await drain();
}

void Server::stop() {
  stopping_ = true;
  stop_.notify();
}

asio::awaitable<void> Server::accept_all(Acceptor& acceptor) {
  while (!stopping_) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (stopping_) co_return;
    if (!error) {
      if (serve(std::move(socket))) serve_waiting(acceptor);
      continue;
    }
    // Mostly: out of descriptors. Waiting lets connections end instead of spinning.
    logs_->refused.log(LogLevel::kError, "accept: " + error.message());
    co_await sleep_for(std::chrono::milliseconds{100});
  }
}

// Each accept that waits is one turn among those of all frames: a crowd of newcomers would wait for
// as many rounds of everybody who is there. Only as long as there are free places: to make room
// takes longer, and whoever has to go for it shall have had a turn.
void Server::serve_waiting(Acceptor& acceptor) {
  boost::system::error_code error;
  for (int i = 0; i < kMostAccepted; ++i) {
    auto socket = acceptor.accept(error);
    if (error) return;  // nobody, mostly; the next accept that waits sees what else
    if (!serve(std::move(socket))) return;
  }
}

/// @return whether there was a place for it without making room.
bool Server::serve(Relay::Socket socket) {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return true;
  auto first = sources_->admit(peer.address());
  const bool was_free = first.has_value();
  auto place =
      first || !make_room(peer.address()) ? std::move(first) : sources_->admit(peer.address());
  if (!place) {
    logs_->refused.log(LogLevel::kWarning, to_text(peer) + " refused: too many connections");
    refuse(std::move(socket));
    return false;
  }
  const auto relay =
      std::make_shared<Relay>(std::move(socket), settings_, backend_, budget_, logs_);
  const auto number = next_number_++;
  relays_.emplace(number, Served{relay, *std::move(place)});
  asio::co_spawn(
      executor_,
      [self = shared_from_this(), number, relay]() mutable {
        return self->serve_one(number, relay);
      },
      ReportException{"serving a peer"});
  return was_free;
}

// A place is worth more to somebody who comes than to somebody who has not shown yet that he has a
// key: his oldest connection goes, if he has more of them than the newcomer. So whoever holds
// connections without end locks nobody out, unless he has as many sources as there are places.
bool Server::make_room(const asio::ip::address& peer) {
  const auto source = Sources::source_of(peer);
  const auto newcomers = sources_->count(source);
  const bool source_is_full = newcomers >= settings_.limits.connections_per_source;
  auto victim = relays_.end();
  std::size_t most = newcomers;
  for (auto at = relays_.begin(); at != relays_.end(); ++at) {
    if (at->second.relay->is_proven()) continue;
    const auto& held_by = at->second.place.source();
    const auto count = sources_->count(held_by);
    if (held_by == source ? victim == relays_.end() : !source_is_full && count > most) {
      victim = at;
      most = std::max(most, count);
    }
  }
  if (victim == relays_.end()) return false;
  const auto relay = victim->second.relay;
  relays_.erase(victim);  // and its place
  relay->abort();
  return true;
}

// Best effort, at once: a peer over the limit shall not hold anything here. Its socket buffer is
// empty, so the notice fits.
void Server::refuse(Relay::Socket socket) {
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(encode_notice(0, SEVMON_NOTICE_LIMIT)), ignored);
  socket.shutdown(Relay::Socket::shutdown_send, ignored);
}

asio::awaitable<void> Server::serve_one(std::uint64_t number, std::shared_ptr<Relay> relay) {
  // Also when run() throws: nothing stays held.
  struct Leave {
    Server& server;
    std::uint64_t number;
    ~Leave() {
      server.relays_.erase(number);
      server.one_gone_.notify();
    }
  };
  const Leave leave{*this, number};
  co_await relay->run();
}

asio::awaitable<void> Server::drain() {
  log(LogLevel::kInfo, "stopping, " + std::to_string(relays_.size()) + " connections to drain");
  for (const auto& [number, served] : relays_) served.relay->drain();
  const bool drained = co_await finished_within(settings_.deadlines.drain, all_gone());
  if (drained) co_return;
  log(LogLevel::kWarning, std::to_string(relays_.size()) + " connections did not end in time");
  for (const auto& [number, served] : relays_) served.relay->abort();
  co_await finished_within(std::chrono::milliseconds{200}, all_gone());
}

asio::awaitable<void> Server::all_gone() {
  while (!relays_.empty()) co_await one_gone_.wait();
}

}  // namespace sevmon::proxy
