// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/codec.hpp>
#include <sevmon/random.hpp>

#include "channel/noise.hpp"
#include "channel/xaes.hpp"

namespace sevmon::ids {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// A request that was sent and not yet answered.
struct Waiting {
  std::size_t index = 0;  // of the request in its batch
  std::uint32_t tag = 0;
  TimePoint deadline;
  sevmon_request_body request{};  // an answer's layout follows from it
  std::vector<std::byte> frame;   // to send again, as it is, when the agent was busy
  std::optional<TimePoint> resend_at;
  unsigned resends = 0;
};

/// One session with the agent: its two keys, its message numbers, and which of those are waited
/// for. Nonces never repeat: numbers only grow, and each frame has 12 fresh random bytes.
class Session {
 public:
  /// `started`: when INITIATE was sent, so that we never think it younger than the agent does.
  Session(const TransportKeys& keys, std::uint32_t number, std::uint8_t size_class,
          TimePoint started);

  std::uint32_t number() const { return number_; }
  /// Whether the agent will still take a request that is sent now.
  bool can_send(TimePoint now) const;
  /// Numbers used so far.
  std::uint64_t sent() const { return next_n_; }
  TimePoint started() const { return started_; }
  /// Half of what the cipher may take in a direction is used up.
  bool is_worn() const;
  /// Use it no more: the agent or the relay does not take its frames.
  void retire() { is_retired_ = true; }

  struct Sealed {
    std::uint64_t n;
    std::vector<std::byte> frame;
  };
  /// Seal `body` under the next number. can_send() must hold.
  Sealed seal(const sevmon_request_body& body);

  /// The body of a RESPONSE whose header decode_header() took. Its header is authenticated, the
  /// sealed body not yet looked at.
  /// @return nothing when it is not this session's or its tag is wrong.
  std::optional<std::vector<std::byte>> open(const sevmon_header& header,
                                             std::span<const std::byte> frame);

  /// Whether open() would look at such a frame's tag.
  bool is_for(const sevmon_header& header) const {
    return header.type == SEVMON_FRAME_RESPONSE && header.session == number_ &&
           header.size_class == size_class_;
  }
  /// The same in the frame's own memory: body_in() is then in clear. @return false as open() gives
  /// nothing; a frame whose tag was wrong is spoilt.
  [[nodiscard]] bool open_in_place(const sevmon_header& header, std::span<std::byte> frame);
  static constexpr std::size_t kBodyOffset = SEVMON_BODY_OFFSET;
  /// Of a whole RESPONSE.
  static std::span<const std::byte> body_in(std::span<const std::byte> frame) {
    return frame.subspan(kBodyOffset, frame.size() - SEVMON_SEALED_OVERHEAD);
  }

  std::map<std::uint64_t, Waiting> waiting;  // by n

 private:
  Xaes requests_;
  Xaes responses_;
  common::MessageRandom random_{draw_random};
  std::uint32_t number_;
  std::uint8_t size_class_;
  TimePoint started_;
  std::uint64_t next_n_ = 0;
  bool is_confirmed_ = false;  // an answer has verified, so the agent keeps the session
  bool is_retired_ = false;
};

}  // namespace sevmon::ids
