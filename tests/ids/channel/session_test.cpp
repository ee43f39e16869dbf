// SPDX-License-Identifier: Apache-2.0
#include "channel/session.hpp"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <vector>

#include <sevmon/cursor.hpp>

namespace sevmon::ids {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kNumber = 7;
constexpr std::uint8_t kClass = SEVMON_CLASS_15_PAGES;

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    keys_.requests.edit()[0] = 1;
    keys_.responses.edit()[0] = 2;
    session_.emplace(keys_, kNumber, kClass, start_);
  }

  sevmon_header answer_header() const {
    return {.type = SEVMON_FRAME_RESPONSE,
            .version = SEVMON_PROTOCOL_VERSION,
            .size_class = kClass,
            .flags = 0,
            .session = kNumber,
            .n = 3};
  }

  /// An answer with a right tag, by this session's keys or by another one's.
  std::vector<std::byte> seal(const sevmon_header& header, const Secret<32>& key) const {
    std::vector<std::byte> frame(SEVMON_RESPONSE_FRAME_BYTES(header.size_class));
    const std::array<std::uint8_t, SEVMON_XNONCE_BYTES> random{9};
    common::Writer writer{frame};
    writer.put(header);
    writer.put(random);
    const std::vector<std::byte> body(SEVMON_RESPONSE_BODY_BYTES(header.size_class));
    Xaes{key}.seal(make_nonce(random, header.n), as_u8(common::bytes_of(header)),
                   as_u8(std::span{body}), as_u8(std::span{frame}.subspan(SEVMON_BODY_OFFSET)));
    return frame;
  }
  bool opens(const sevmon_header& header, const Secret<32>& key) {
    return session_->open(header, seal(header, key)).has_value();
  }

  bool can_send_after(milliseconds age) const { return session_->can_send(start_ + age); }

  TransportKeys keys_;
  const TimePoint start_ = Clock::now();
  std::optional<Session> session_;
};

TEST_F(SessionTest, TakesAnswersOfItsOwn) {
  EXPECT_TRUE(opens(answer_header(), keys_.responses));
}

// The tag is right in all of these: the agent itself would have to send them.
TEST_F(SessionTest, TakesNoAnswerOfAnotherSizeNumberOrType) {
  auto smaller = answer_header();
  smaller.size_class = SEVMON_CLASS_1_PAGE;
  EXPECT_FALSE(opens(smaller, keys_.responses));
  auto others = answer_header();
  ++others.session;
  EXPECT_FALSE(opens(others, keys_.responses));
  auto request = answer_header();
  request.type = SEVMON_FRAME_REQUEST;
  EXPECT_FALSE(opens(request, keys_.responses));
}

TEST_F(SessionTest, TakesNoAnswerUnderTheOtherDirectionsKey) {
  EXPECT_FALSE(opens(answer_header(), keys_.requests));
}

TEST_F(SessionTest, UnconfirmedItEndsBeforeTheAgentForgetsIt) {
  EXPECT_TRUE(can_send_after(milliseconds{0}));
  EXPECT_TRUE(can_send_after(seconds{SEVMON_PENDING_SECONDS - 3}));
  EXPECT_FALSE(can_send_after(seconds{SEVMON_PENDING_SECONDS - 1}));
  EXPECT_FALSE(opens(answer_header(), keys_.requests));  // a forgery confirms nothing
  EXPECT_FALSE(can_send_after(seconds{SEVMON_PENDING_SECONDS - 1}));
}

TEST_F(SessionTest, ConfirmedItEndsBeforeTheAgentForgetsIt) {
  ASSERT_TRUE(opens(answer_header(), keys_.responses));
  EXPECT_TRUE(can_send_after(seconds{SEVMON_PENDING_SECONDS}));
  EXPECT_TRUE(can_send_after(seconds{SEVMON_EXPIRE_SECONDS - 3}));
  EXPECT_FALSE(can_send_after(seconds{SEVMON_EXPIRE_SECONDS - 1}));
}

TEST_F(SessionTest, RetiredItSendsNothing) {
  session_->retire();
  EXPECT_FALSE(can_send_after(milliseconds{0}));
}

TEST_F(SessionTest, NoNumberAndNoRandomPartComesTwice) {
  const sevmon_request_body body{};
  const auto first = session_->seal(body), second = session_->seal(body);
  EXPECT_EQ(first.n, 0u);
  EXPECT_EQ(second.n, 1u);
  const auto random_of = [](const Session::Sealed& sealed) {
    return std::vector(sealed.frame.begin() + sizeof(sevmon_header),
                       sealed.frame.begin() + SEVMON_BODY_OFFSET);
  };
  EXPECT_NE(random_of(first), random_of(second));
}

}  // namespace
}  // namespace sevmon::ids
