// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "asio.hpp"
#include "backend.hpp"
#include "budget.hpp"
#include "envelope.hpp"
#include "settings.hpp"

#include <sevmon/wire.h>

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
/// order: as many as have come with one call, as many answers as there are with one. No frame is
/// taken, and nothing more is read, while this connection's or everybody's budget is used up; a
/// share is given back when its answer's last byte was written, so a peer that does not read holds
/// a bounded amount of memory, and for a bounded time. All members belong to the I/O thread.
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
  /// An envelope and its frame, in in_.
  struct Unit {
    std::uint32_t tag;
    std::span<const std::byte> frame;
    std::size_t size() const { return sizeof(sevmon_envelope) + frame.size(); }
  };
  /// What a frame holds of both budgets.
  struct Shares {
    Budget::Share own;
    Budget::Share everybodys;
  };
  struct Outgoing {
    EnvelopeBytes envelope;
    AnswerFrame frame;
    Shares shares;
    std::size_t size() const { return envelope.size() + frame.size(); }
  };

  asio::awaitable<void> read_until_told();
  asio::awaitable<void> read_frames();
  asio::awaitable<bool> take_frames();
  std::optional<Unit> next_unit(std::span<const std::byte> in);
  void keep_rest(std::size_t taken);
  std::optional<Shares> try_take_shares();
  asio::awaitable<Shares> take_shares();
  asio::awaitable<void> watch_silence();
  asio::steady_timer::time_point silence_ends() const;
  void submit(const Unit& unit, Shares shares);
  asio::awaitable<void> answer_later(std::uint32_t tag, asio::awaitable<BackendAnswer> wait,
                                     Shares shares);
  void answer(std::uint32_t tag, BackendAnswer answer, Shares shares);
  asio::awaitable<void> write_answers();
  void flush();
  void drop_written(std::size_t bytes);
  asio::awaitable<void> write_last_notice();
  asio::awaitable<void> linger();
  void end_with(std::int32_t notice, std::uint32_t tag = 0);
  void prove();

  Socket socket_;
  const std::string peer_;
  const Settings& settings_;
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<Budget> everybody_;
  const std::shared_ptr<Budget> own_;
  const std::shared_ptr<PeerLogs> logs_;

  // As many frames at once as the pipeline of an IDS usually has. Pages of it that are never used
  // are never there.
  static constexpr std::size_t kUnitBytes = sizeof(sevmon_envelope) + SEVMON_REQUEST_FRAME_BYTES;
  std::array<std::byte, 16 * kUnitBytes> in_;
  std::size_t in_bytes_ = 0;
  bool is_reading_ = false;                                   // not waiting for the budget
  std::optional<asio::steady_timer::time_point> part_since_;  // of a frame in in_

  std::deque<Outgoing> outgoing_;
  std::size_t front_written_ = 0;                              // bytes of the first of these
  std::optional<asio::steady_timer::time_point> front_since_;  // since when it waits for the peer
  bool is_full_ = false;                                       // the socket
  std::size_t unanswered_ = 0;                                 // frames with the backend
  bool reading_done_ = false;                                  // no more frames will be taken
  bool aborted_ = false;
  bool is_proven_ = false;
  std::int32_t last_notice_ = 0;  // sent before closing
  std::uint32_t last_tag_ = 0;
  asio::steady_timer::time_point last_activity_;
  Signal stop_reading_;
  Signal part_;    // of a frame has come: its time runs
  Signal output_;  // something to write, or nothing more to wait for
};

}  // namespace sevmon::proxy
