// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <string>

#include "asio.hpp"
#include "backend.hpp"
#include "budget.hpp"
#include "envelope.hpp"
#include "settings.hpp"

namespace sevmon::proxy {

/// Kinds of events that peers can cause, each with its own limited log. Shared by all relays.
struct PeerLogs {
  LimitedLog refused;
  LimitedLog malformed;
  LimitedLog deadline;
  LimitedLog backend;
  LimitedLog connection{std::chrono::seconds{1}, 20};
};

/// One connected IDS. Frames go to the backend as they come and back as they are answered, in any
/// order. Reading stops while this connection's or everybody's budget is used up; a share is given
/// back when its answer's last byte was written, so a peer that does not read holds a bounded
/// amount of memory, and for a bounded time. All members belong to the I/O thread.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  using Socket = asio::ip::tcp::socket;

  Relay(Socket socket, const Settings& settings, std::shared_ptr<Backend> backend,
        std::shared_ptr<Budget> everybody, std::shared_ptr<PeerLogs> logs);

  /// Serve until the peer is done, breaks a rule, or drain() or abort() says so.
  asio::awaitable<void> run();
  /// Take no more frames, answer those that were taken, say that the relay stops, close.
  void drain();
  /// Close now.
  void abort();

  /// Has the agent answered a request of this peer's? Only somebody with a key gets that far; of
  /// anybody else nothing is known but that he can connect.
  bool is_proven() const { return is_proven_; }

 private:
  struct Outgoing {
    EnvelopeBytes envelope;
    std::vector<std::byte> frame;
    Budget::Share own;
    Budget::Share everybodys;
  };
  struct Taken {
    std::uint32_t tag;
    std::vector<std::byte> frame;
    Budget::Share own;
    Budget::Share everybodys;
  };

  asio::awaitable<void> read_until_told();
  asio::awaitable<void> read_frames();
  asio::awaitable<bool> read_one();
  asio::awaitable<bool> read_first_byte(std::span<std::byte> into);
  asio::awaitable<bool> read_exactly(std::span<std::byte> into);
  asio::awaitable<void> idle_too_long();
  asio::awaitable<void> answer(Taken taken);
  asio::awaitable<void> write_answers();
  asio::awaitable<void> write_last_notice();
  asio::awaitable<void> linger();
  void end_with(std::int32_t notice, std::uint32_t tag = 0);
  void queue(Outgoing outgoing);
  void prove();

  Socket socket_;
  const std::string peer_;
  const Settings& settings_;
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<Budget> everybody_;
  const std::shared_ptr<Budget> own_;
  const std::shared_ptr<PeerLogs> logs_;

  std::deque<Outgoing> outgoing_;
  std::size_t unanswered_ = 0;  // frames in answer()
  bool reading_done_ = false;   // no more frames will be taken
  bool aborted_ = false;
  bool is_proven_ = false;
  std::int32_t last_notice_ = 0;  // sent before closing
  std::uint32_t last_tag_ = 0;
  asio::steady_timer::time_point last_activity_;
  Signal stop_reading_;
  Signal output_;  // something to write, or nothing more to wait for
};

}  // namespace sevmon::proxy
