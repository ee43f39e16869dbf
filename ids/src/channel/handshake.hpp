// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>
#include <sevmon/result.hpp>
#include <sevmon/transport.hpp>

#include "channel/noise.hpp"
#include "channel/session.hpp"

namespace sevmon::ids {

/// Hello and handshake as docs/protocol.md, 4.2 has them, without I/O: the caller sends what poll()
/// gives and hands in what arrives, until result() is there. So a rekey runs beside requests in the
/// same loop.
class Handshake {
 public:
  Handshake(const Key& key, const common::IdBytes& connection_id, std::uint8_t size_class,
            std::chrono::milliseconds answer_timeout, TimePoint now);

  /// A frame that is due, to be sent with tag `tag`; or a deadline passes, and there is a result.
  std::optional<std::vector<std::byte>> poll(TimePoint now, std::uint32_t tag);
  /// When poll() has something to do next.
  TimePoint wake() const { return wake_; }

  enum class Verdict {
    kTaken,
    kNotMine,  // not a frame of a handshake, or a notice about another frame
    kJunk,     // a frame of a handshake that is not the one waited for
    kForged,   // the one waited for, and it does not verify
  };
  Verdict take(const Delivery& delivery, TimePoint now);

  struct Opened {
    std::unique_ptr<Session> session;
    common::IdBytes boot_nonce{};
    std::uint64_t agent_time_ns = 0;
  };
  std::optional<common::Result<Opened>>& result() { return result_; }

 private:
  enum class State { kHello, kChallenge, kInitiate, kAccept, kOver };

  std::vector<std::byte> initiate();
  Verdict take_notice(const Delivery& delivery, TimePoint now);
  Verdict take_challenge(const Delivery& delivery, TimePoint now);
  Verdict take_accept(const Delivery& delivery, TimePoint now);
  Verdict take_payload(const NoiseInitiator::Finished& finished, TimePoint now);
  Verdict junk(std::string why);
  Verdict forged(std::string why);
  void await(State state, TimePoint now, std::uint32_t tag);
  void retry(std::int32_t notice, TimePoint now);
  void wait_for_place(TimePoint now);
  std::string describe_junk() const;
  void expire();
  void fail(common::ErrorCode code, std::string detail);

  const Key& key_;
  common::IdBytes connection_id_;
  std::uint8_t size_class_;
  std::chrono::milliseconds answer_timeout_;
  TimePoint deadline_;  // of the whole
  State state_ = State::kHello;
  TimePoint wake_;
  std::uint32_t tag_ = 0;  // of the frame whose answer is waited for
  unsigned tries_ = 0;
  bool is_full_ = false;  // the agent has no place for another connection of this IDS
  std::int32_t last_notice_ = 0;
  std::uint64_t junk_count_ = 0;
  std::string last_junk_;
  std::optional<common::IdBytes> other_agent_;  // whose challenge came instead
  TimePoint initiated_{};
  sevmon_challenge challenge_{};
  std::optional<NoiseInitiator> noise_;
  std::optional<common::Result<Opened>> result_;
};

/// "the agent did not take the frame", …: what a relay's notice claims.
std::string describe_notice(std::int32_t notice);

/// Uniform between half and one and a half of `mean` × 2^`step`, so that two that got in each
/// other's way do not do so again.
std::chrono::milliseconds backoff(std::chrono::milliseconds mean, unsigned step);

}  // namespace sevmon::ids
