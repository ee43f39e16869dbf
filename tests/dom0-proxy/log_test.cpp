// SPDX-License-Identifier: Apache-2.0
#include "process/log.hpp"

#include <gtest/gtest.h>

namespace sevmon::proxy {
namespace {

using std::chrono::milliseconds;

TEST(LimitedLog, ABurstThenOneLinePerIntervalWithTheNumberLeftOut) {
  LimitedLog log{milliseconds{100}, 3};
  LimitedLog::Clock::time_point now{std::chrono::hours{1}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(log.admit(now), 0U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(log.admit(now), std::nullopt);
  now += milliseconds{100};
  EXPECT_EQ(log.admit(now), 1000U);
  EXPECT_EQ(log.admit(now), std::nullopt);
  now += milliseconds{1'000'000};
  EXPECT_EQ(log.admit(now), 1U);
  EXPECT_EQ(log.admit(now), 0U);
  EXPECT_EQ(log.admit(now), 0U);
  EXPECT_EQ(log.admit(now), std::nullopt);
}

}  // namespace
}  // namespace sevmon::proxy
