// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <optional>

#include "ids/channel/channel_fixture.hpp"

namespace sevmon::ids::test {
namespace {

/// What the relay says of frames, truly or not.
class NoticesTest : public ChannelTest {};

TEST_F(NoticesTest, BusyFramesAreSentAgainAsTheyAre) {
  std::map<Bytes, int> times;
  attack_.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    if (type_of(frame) == SEVMON_FRAME_REQUEST && ++times[frame] < 3) return std::nullopt;
    return frame;
  };
  std::optional<std::uint32_t> unanswered;
  const auto inner = attack_.on_send;
  attack_.on_send = [&, inner](const Bytes& frame, std::uint32_t tag) {
    auto given = inner(frame, tag);
    if (!given) unanswered = tag;
    return given;
  };
  attack_.on_receive = [&](Out& out) {
    if (unanswered) out.push_back(notice(SEVMON_NOTICE_BUSY, *unanswered));
    unanswered.reset();
  };
  options_.answer_timeout = std::chrono::seconds{5};
  const auto channel = open();
  expect_right(*channel, reads(1));
  ASSERT_EQ(times.size(), 1u);
  EXPECT_EQ(times.begin()->second, 3);
}

TEST_F(NoticesTest, BusyForeverIsRefused) {
  options_.answer_timeout = milliseconds{100};
  const auto channel = open();
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    out.push_back(notice(SEVMON_NOTICE_BUSY, delivery.tag));
  };
  expect_error(*channel, reads(3), ErrorCode::kRefused);
}

TEST_F(NoticesTest, RejectedRequestIsRefusedAndTheNextExchangeStartsAnew) {
  const auto channel = open();
  expect_right(*channel, reads(1));
  const auto before = channel->boot_nonce();
  agent_.reboot();
  expect_error(*channel, reads(1), ErrorCode::kRefused);
  EXPECT_EQ(channel->boot_nonce(), before);
  expect_right(*channel, reads(1));
  EXPECT_NE(channel->boot_nonce(), before);  // proved by a handshake, and only then
  EXPECT_EQ(channel->stats().rekeys, 1u);
}

TEST_F(NoticesTest, NoticesAboutOtherFramesAreSkipped) {
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery& delivery, Out& out) {
    for (const auto code : {SEVMON_NOTICE_REJECTED, SEVMON_NOTICE_NO_AGENT, SEVMON_NOTICE_BUSY,
                            SEVMON_NOTICE_INTERNAL})
      out.push_back(notice(code, delivery.tag + 1000));
  });
  const auto channel = open();
  expect_right(*channel, reads(10));
  EXPECT_EQ(channel->stats().discarded, 40u);
}

TEST_F(NoticesTest, NoticesThatEndTheConnectionStick) {
  const std::pair<int, ErrorCode> cases[] = {{SEVMON_NOTICE_MALFORMED, ErrorCode::kRefused},
                                             {SEVMON_NOTICE_LIMIT, ErrorCode::kRefused},
                                             {SEVMON_NOTICE_TIMEOUT, ErrorCode::kTimeout},
                                             {SEVMON_NOTICE_SHUTDOWN, ErrorCode::kConnect}};
  for (const auto& [code, expected] : cases) {
    attack_ = {};
    const auto channel = open();
    attack_.on_answer = [code = code](const Delivery&, Out& out) {
      out.push_back(notice(code, 0));
    };
    expect_error(*channel, reads(1), expected);
    attack_.on_answer = nullptr;
    expect_error(*channel, reads(1), expected);
  }
}

TEST_F(NoticesTest, ReasonForClosingIsFoundBehindTheClosedConnection) {
  const auto channel = open();
  attack_.on_receive = [](Out& out) { out.push_back(notice(SEVMON_NOTICE_LIMIT, 0)); };
  attack_.is_closed = true;
  expect_error(*channel, reads(1), ErrorCode::kRefused);
}

TEST_F(NoticesTest, ClosedConnectionSticks) {
  const auto channel = open();
  attack_.is_closed = true;
  expect_error(*channel, reads(1), ErrorCode::kConnect);
  attack_.is_closed = false;
  expect_error(*channel, reads(1), ErrorCode::kConnect);
}

}  // namespace
}  // namespace sevmon::ids::test
