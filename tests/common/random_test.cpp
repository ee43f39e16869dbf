// SPDX-License-Identifier: Apache-2.0
#include <sevmon/random.hpp>

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace sevmon::common {
namespace {

int calls = 0;
bool fails = false;

/// Foreseeable, so that what the CPU adds can be told from it.
bool count_up(std::span<std::uint8_t> out) {
  ++calls;
  if (fails) return false;
  std::ranges::fill(out, static_cast<std::uint8_t>(calls));
  return true;
}

class MessageRandomTest : public ::testing::Test {
 protected:
  MessageRandomTest() {
    calls = 0;
    fails = false;
  }
  static bool cpu_draws() {
    std::array<std::uint8_t, 8> bytes{};
    return mix_in_rdrand(bytes);
  }
};

TEST_F(MessageRandomTest, NoTwoAreTheSame) {
  MessageRandom random{count_up};
  std::set<MessageRandom::Bytes> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto drawn = random.draw();
    ASSERT_TRUE(drawn);
    EXPECT_TRUE(seen.insert(*drawn).second);
  }
  EXPECT_LE(calls, 1000 + 1000 / 32 + 1);
}

TEST_F(MessageRandomTest, ACopyIsNoWayToTheSameNumbers) {
  if (!cpu_draws()) GTEST_SKIP() << "this CPU draws no numbers";
  MessageRandom random{count_up};
  ASSERT_TRUE(random.draw());
  // As a machine does that its host set back, and a process that was forked.
  MessageRandom same = random;
  for (int i = 0; i < 100; ++i) EXPECT_NE(*random.draw(), *same.draw());
}

TEST_F(MessageRandomTest, WithoutTheSystemsThereAreNone) {
  fails = true;
  EXPECT_FALSE(MessageRandom{count_up}.draw());
}

}  // namespace
}  // namespace sevmon::common
