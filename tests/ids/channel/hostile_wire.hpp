// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <sevmon/transport.hpp>

#include "ids/channel/model_agent.hpp"

namespace sevmon::ids::test {

/// What a test sees of a wire and does to it; the channel owns the wire itself.
struct Attack {
  /// A frame on its way to the agent. @return what the relay gives the agent, or nothing.
  std::function<std::optional<Bytes>(const Bytes& frame, std::uint32_t tag)> on_send;
  /// What came of it, the agent's answer or a notice. Puts into `out` what the IDS shall get.
  std::function<void(const Delivery& delivery, std::deque<Delivery>& out)> on_answer;
  /// Just before the IDS takes the next delivery.
  std::function<void(std::deque<Delivery>& out)> on_receive;

  std::vector<Bytes> sent;  // every frame of the IDS
  bool is_closed = false;   // the peer is gone
};

inline Delivery notice(std::int32_t code, std::uint32_t tag) {
  return {tag, code, {}};
}

inline std::uint8_t type_of(const Bytes& frame) {
  return frame.empty() ? 0 : std::to_integer<std::uint8_t>(frame[0]);
}

/// A relay in this process.
class HostileWire : public FrameTransport {
 public:
  HostileWire(Responder& agent, Attack& attack) : agent_{agent}, attack_{attack} {}

  common::Result<void> send(std::span<const std::byte> frame, std::uint32_t tag,
                            Deadline) override {
    if (attack_.is_closed) return common::Error{common::ErrorCode::kConnect, "closed"};
    Bytes copy{frame.begin(), frame.end()};
    attack_.sent.push_back(copy);
    if (attack_.on_send) {
      auto given = attack_.on_send(copy, tag);
      if (!given) return {};
      copy = *std::move(given);
    }
    auto answer = agent_.answer(copy);
    const auto delivery =
        answer ? Delivery{tag, 0, *std::move(answer)} : notice(SEVMON_NOTICE_REJECTED, tag);
    if (attack_.on_answer)
      attack_.on_answer(delivery, queue_);
    else
      queue_.push_back(delivery);
    return {};
  }

  common::Result<Delivery> receive(Deadline deadline) override {
    if (attack_.on_receive) attack_.on_receive(queue_);
    if (queue_.empty() && attack_.is_closed)
      return common::Error{common::ErrorCode::kConnect, "closed"};
    if (queue_.empty()) {
      std::this_thread::sleep_until(deadline);
      return common::Error{common::ErrorCode::kTimeout, "nothing"};
    }
    auto delivery = std::move(queue_.front());
    queue_.pop_front();
    return delivery;
  }

  std::string describe() const override { return "test:wire"; }

 private:
  Responder& agent_;
  Attack& attack_;
  std::deque<Delivery> queue_;
};

}  // namespace sevmon::ids::test
