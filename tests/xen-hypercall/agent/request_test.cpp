// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {
TEST(Request, ReadsAndSaysNotMapped) {
  FakeHost host;
  FakeAgent agent{host};
  host.guest.map(0xffffffff81000010, "Linux version 6.1");
  const auto session = shake_hands(agent);
  const auto response = ask(
      agent, session, 0,
      request_body({read_virtual(0xffffffff81000010, 17), read_virtual(0xffffffff82000000, 8)}));
  EXPECT_EQ(response.head.status, SEVMON_ANSWER_OK);
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(to_hex(response.item(0)), to_hex(from_text("Linux version 6.1")));
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NOT_MAPPED);
}
}  // namespace
}  // namespace sevmon::tests
