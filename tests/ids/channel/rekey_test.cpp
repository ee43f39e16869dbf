// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "ids/channel/channel_fixture.hpp"

namespace sevmon::ids::test {
namespace {

/// Sessions that replace others.
class RekeyTest : public ChannelTest {};

TEST_F(RekeyTest, RekeysUnderLoadUnseen) {
  options_.rekey_after_messages = 5;
  options_.answer_timeout = std::chrono::seconds{20};
  std::mt19937 random{3};
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  expect_right(*channel, reads(300));
  for (int i = 0; i < 20; ++i) expect_right(*channel, reads(3));
  EXPECT_GE(channel->stats().rekeys, 10u);
  EXPECT_EQ(channel->stats().discarded, 0u);
}

TEST_F(RekeyTest, RekeyByTimeToo) {
  options_.rekey_after = std::chrono::seconds{0};
  const auto channel = open();
  expect_right(*channel, reads(3));
  expect_right(*channel, reads(3));
  EXPECT_EQ(channel->stats().rekeys, 2u);
}

TEST_F(RekeyTest, SessionNumbersAreUnderTheNewKeysFromZero) {
  options_.rekey_after_messages = 4;
  const auto channel = open();
  expect_right(*channel, reads(20));
  expect_right(*channel, reads(20));
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> used;
  for (const auto& frame : attack_.sent)
    if (type_of(frame) == SEVMON_FRAME_REQUEST) {
      const auto header = *common::decode_header(frame);
      ++used[{header.session, header.n}];
    }
  EXPECT_EQ(used.size(), 40u);
  EXPECT_TRUE(used.contains({1, 0}));
  EXPECT_TRUE(used.contains({2, 0}));
}

TEST_F(RekeyTest, AnAgentThatStartedAgainMayGiveANumberTwice) {
  options_.rekey_after_messages = 4;
  options_.pipeline_depth = 8;
  options_.answer_timeout = std::chrono::seconds{20};
  attack_.on_send = [&](const Bytes& frame, std::uint32_t) {
    if (type_of(frame) == SEVMON_FRAME_HELLO && agent_.handshakes() == 1) agent_.reboot();
    return std::optional{frame};
  };
  // The first session's answers come late: some when there is a second session, the others when
  // that one has answered too. Something that is none has the channel look around meanwhile.
  Out late;
  const auto bring = [&](std::size_t count, Out& out) {
    for (; count > 0 && !late.empty(); --count) {
      out.push_back(late.front());
      late.pop_front();
    }
  };
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    const bool is_response = type_of(delivery.frame) == SEVMON_FRAME_RESPONSE;
    const bool is_second = agent_.handshakes() == 2;
    (is_response && !is_second ? late : out).push_back(delivery);
    if (is_response && late.size() == options_.pipeline_depth)
      out.push_back(with_frame(delivery, Bytes(20, std::byte{0})));
    if (is_second) bring(is_response ? late.size() : 2, out);
  };
  const auto channel = open();
  expect_right(*channel, reads(12));
  EXPECT_EQ(channel->stats().rekeys, 1u);
  EXPECT_EQ(channel->stats().discarded, 1u);
  std::set<std::pair<std::uint32_t, std::uint64_t>> used;
  std::size_t requests = 0;
  for (const auto& frame : attack_.sent) {
    if (type_of(frame) != SEVMON_FRAME_REQUEST) continue;
    const auto header = *common::decode_header(frame);
    used.emplace(header.session, header.n);
    ++requests;
  }
  EXPECT_LT(used.size(), requests) << "the sessions had different numbers";
}

TEST_F(RekeyTest, RequestsGoOnWhenARekeyFails) {
  options_.rekey_after_messages = 2;
  const auto channel = open();
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    const bool is_handshake = type_of(delivery.frame) == SEVMON_FRAME_CHALLENGE;
    out.push_back(is_handshake ? notice(SEVMON_NOTICE_INTERNAL, delivery.tag) : delivery);
  };
  for (int i = 0; i < 10; ++i) expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().rekeys, 0u);
}

}  // namespace
}  // namespace sevmon::ids::test
