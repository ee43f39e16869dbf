// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sevmon/channel.hpp>

#include "ids/channel/hostile_wire.hpp"

namespace sevmon::ids::test {

using common::ErrorCode;
using std::chrono::milliseconds;
using Out = std::deque<Delivery>;

/// One request that reads 64 bytes at `address`.
inline Request read_at(std::uint64_t address) {
  return {{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 64, 0, address}}};
}

inline std::vector<Request> reads(std::size_t count) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) requests.push_back(read_at(0x1000 + 64 * i));
  return requests;
}

inline bool is_right(const Request& request, const Response& response) {
  if (response.head.status != SEVMON_ANSWER_OK || response.items.size() != request.items.size())
    return false;
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    const auto& item = request.items[i];
    const auto& result = response.items[i];
    const bool is_there = is_mapped(item.address);
    if ((result.status == SEVMON_STATUS_OK) != is_there || result.bytes.size() != item.bytes)
      return false;
    for (std::size_t j = 0; j < item.bytes; ++j)
      if (result.bytes[j] != (is_there ? byte_at(item.address + j) : std::byte{0})) return false;
  }
  return true;
}

///   Channel ── HostileWire (the test's relay) ── ModelAgent
///
/// Whatever the relay does, an exchange ends with the right answer or a clear error.
class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() {
    options_.size_class = SEVMON_CLASS_1_PAGE;
    options_.answer_timeout = milliseconds{300};
  }

  common::Result<std::unique_ptr<Channel>> try_open(std::uint8_t psk_byte = 0x11) {
    return Channel::open(std::make_unique<HostileWire>(agent_, attack_),
                         *Key::parse(key_file(psk_byte)), options_);
  }

  std::unique_ptr<Channel> open() {
    auto channel = try_open();
    if (!channel) throw std::runtime_error{channel.error().message()};
    return *std::move(channel);
  }

  static void expect_right(Channel& channel, const std::vector<Request>& requests) {
    const auto responses = channel.exchange(requests);
    ASSERT_TRUE(responses) << responses.error().message();
    ASSERT_EQ(responses->size(), requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i)
      EXPECT_TRUE(is_right(requests[i], (*responses)[i])) << "request " << i;
  }

  static void expect_error(Channel& channel, const std::vector<Request>& requests, ErrorCode code) {
    const auto responses = channel.exchange(requests);
    ASSERT_FALSE(responses);
    EXPECT_EQ(responses.error().code, code) << responses.error().message();
  }

  /// `count` junk deliveries made from the answer, then the answer itself.
  void precede(std::uint8_t type, std::function<void(const Delivery&, Out&)> make_junk) {
    attack_.on_answer = [=](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) == type) make_junk(delivery, out);
      out.push_back(delivery);
    };
  }

  ModelAgent agent_;
  Attack attack_;
  ChannelOptions options_;
};

inline Delivery with_frame(const Delivery& delivery, Bytes frame) {
  return {delivery.tag, 0, std::move(frame)};
}

inline void append_truncated(const Delivery& delivery, Out& out) {
  for (std::size_t bytes = 0; bytes < delivery.frame.size(); ++bytes)
    out.push_back(with_frame(delivery, {delivery.frame.begin(), delivery.frame.begin() + bytes}));
}

inline Bytes flip(Bytes frame, std::size_t bit) {
  frame[bit / 8] ^= std::byte{1} << bit % 8;
  return frame;
}

}  // namespace sevmon::ids::test
