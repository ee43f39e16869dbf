// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>
#include <sevmon/result.hpp>
#include <sevmon/transport.hpp>

#include "channel/handshake.hpp"
#include "channel/session.hpp"

namespace sevmon::ids {

/// One connection of docs/protocol.md, 4: the sessions it goes through, and the one loop in which
/// requests, answers, notices and rekeys take turns. Not thread-safe, except for stats().
class Connection {
 public:
  /// What a run sends, and where the answers go.
  class Work {
   public:
    virtual ~Work() = default;
    /// The next request, if there is one now. `may_wait`: nothing else happens until there is.
    virtual common::Result<std::optional<sevmon_request_body>> next(bool may_wait) = 0;
    /// next() has none left.
    virtual bool is_over() const = 0;
    virtual common::Result<void> put(std::size_t index, Response response) = 0;
    /// For messages and progress: as far as is known.
    virtual std::size_t total(std::size_t sent) const { return sent; }
  };

  Connection(std::unique_ptr<FrameTransport> transport, Key key, const ChannelOptions& options);

  /// Make sure there is a session that takes requests.
  common::Result<void> establish();
  /// Send all of `requests`, wait for all answers.
  common::Result<std::vector<Response>> run(std::span<const sevmon_request_body> requests);
  /// Send all that `work` has, as it has it.
  common::Result<void> run(Work& work);
  /// Tell the agent that this connection is over, as far as `timeout` allows.
  void close(std::chrono::milliseconds timeout);

  const common::IdBytes& boot_nonce() const { return boot_nonce_; }
  const ChannelStats& stats() const { return stats_; }
  std::string describe() const { return transport_->describe(); }

 private:
  struct Batch {
    Work& work;
    std::optional<sevmon_request_body> next{};  // made, not sent yet
    std::size_t sent = 0;
    std::size_t done = 0;
    std::uint64_t forged = 0;
    std::string last_forged{};
    bool needs_session = false;  // even without requests
    bool all_sent() const { return !next && work.is_over(); }
    std::size_t total() const { return work.total(sent); }
  };

  common::Result<void> pump(Batch& batch);
  common::Result<void> send(std::span<const std::byte> frame, std::uint32_t tag, TimePoint now);
  common::Result<void> send_more(Batch& batch, TimePoint now);
  common::Result<void> look_at_waiting(const Batch& batch, TimePoint now);
  common::Result<void> resend_due(TimePoint now);
  common::Result<void> check_deadlines(const Batch& batch, TimePoint now) const;
  common::Result<void> take(Batch& batch, Delivery delivery);
  common::Result<void> take_notice(const Delivery& delivery);
  common::Result<void> take_answer(Batch& batch, Session& session, std::uint64_t n,
                                   FrameBytes opened);
  void discard_forged(Batch& batch, std::string why);

  void maybe_start_handshake(const Batch& batch, TimePoint now);
  common::Result<void> advance_handshake(const Batch& batch, TimePoint now);
  bool wants_rekey(TimePoint now) const;

  bool has_session(TimePoint now) const { return !sessions_.empty() && current().can_send(now); }
  Session& current() const { return *sessions_.back(); }
  std::size_t waiting() const;
  TimePoint wake() const;
  void for_each_waiting(const std::function<void(Session&, Waiting&)>& visit) const;
  common::Error broken(common::Error error);

  std::unique_ptr<FrameTransport> transport_;
  Key key_;
  ChannelOptions options_;
  common::IdBytes connection_id_;
  common::IdBytes boot_nonce_{};
  std::vector<std::unique_ptr<Session>> sessions_;  // the last is current, the others finish
  std::optional<Handshake> handshake_;
  TimePoint next_rekey_{};
  TimePoint next_look_{};  // at what waits; nothing of it comes due before
  std::uint32_t next_tag_ = 1;
  ChannelStats stats_;
  std::optional<common::Error> broken_;  // the transport is gone: nothing works any more
  bool is_closing_ = false;
};

}  // namespace sevmon::ids
