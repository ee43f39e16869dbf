// SPDX-License-Identifier: Apache-2.0
#include "envelope.hpp"

#include <errno.h>
#include <gtest/gtest.h>

namespace sevmon::proxy {
namespace {

TEST(Envelope, ErrorsHaveTheNoticesOfTheProtocol) {
  // docs/protocol.md, section 8.
  EXPECT_EQ(notice_for(EBADMSG), SEVMON_NOTICE_REJECTED);
  EXPECT_EQ(notice_for(EINVAL), SEVMON_NOTICE_REJECTED);
  EXPECT_EQ(notice_for(ENOSYS), SEVMON_NOTICE_NO_AGENT);
  EXPECT_EQ(notice_for(ENODEV), SEVMON_NOTICE_NO_AGENT);
  EXPECT_EQ(notice_for(EPERM), SEVMON_NOTICE_NO_AGENT);
  EXPECT_EQ(notice_for(EBUSY), SEVMON_NOTICE_BUSY);
  EXPECT_EQ(notice_for(ETIMEDOUT), SEVMON_NOTICE_TIMEOUT);
  EXPECT_EQ(notice_for(EFAULT), SEVMON_NOTICE_INTERNAL);
  EXPECT_EQ(notice_for(EPIPE), SEVMON_NOTICE_INTERNAL);
  EXPECT_EQ(notice_for(4095), SEVMON_NOTICE_INTERNAL);
}

TEST(Envelope, WhatIsSentIsWhatTheIdsAccepts) {
  const auto answer = common::decode_envelope(encode_answer(7, 62'012), common::Direction::kToIds);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->tag, 7U);
  EXPECT_EQ(answer->bytes, 62'012U);
  EXPECT_EQ(answer->status, 0);
  for (std::int32_t notice = SEVMON_NOTICE_REJECTED; notice <= SEVMON_NOTICE_INTERNAL; ++notice) {
    const auto decoded =
        common::decode_envelope(encode_notice(9, notice), common::Direction::kToIds);
    ASSERT_TRUE(decoded) << notice;
    EXPECT_EQ(decoded->status, notice);
    EXPECT_EQ(decoded->bytes, 0U);
    EXPECT_EQ(decoded->tag, 9U);
  }
}

}  // namespace
}  // namespace sevmon::proxy
