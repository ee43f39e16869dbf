// SPDX-License-Identifier: Apache-2.0
#include <sevmon/random.hpp>

#include <algorithm>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

namespace sevmon::common {
namespace {

using Bytes = MessageRandom::Bytes;

int calls = 0;
std::set<Bytes> systems;  // what the system gave, as draws

/// Foreseeable, so that what another source adds can be told from it.
bool system_counts(std::span<std::uint8_t> out) {
  ++calls;
  for (std::size_t at = 0; at + sizeof(Bytes) <= out.size(); at += sizeof(Bytes)) {
    Bytes draw{};
    const auto number = systems.size();
    std::memcpy(draw.data(), &number, sizeof(number));
    systems.insert(draw);
    std::ranges::copy(draw, out.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return true;
}
bool draws_nothing(std::span<std::uint8_t>) {
  return false;
}
bool draws_half(std::span<std::uint8_t> out) {
  std::ranges::fill(out.first(out.size() / 2), std::uint8_t{0xcc});
  return false;
}
std::uint32_t drawn = 0;
bool cpu_counts(std::span<std::uint8_t> out) {
  ++drawn;
  std::ranges::fill(out, std::uint8_t{0});
  std::memcpy(out.data() + 8, &drawn, sizeof(drawn));
  return true;
}

class MessageRandomTest : public ::testing::Test {
 protected:
  MessageRandomTest() {
    calls = 0;
    systems.clear();
  }
};

TEST_F(MessageRandomTest, TheSystemIsAskedForManyAtOnce) {
  MessageRandom random{system_counts, cpu_counts};
  std::set<Bytes> seen;
  for (int i = 0; i < 960; ++i) seen.insert(*random.draw());
  EXPECT_EQ(seen.size(), 960u);
  EXPECT_EQ(calls, 30);
  for (const auto& bytes : seen) EXPECT_FALSE(systems.contains(bytes)) << "nothing was mixed in";
}

TEST_F(MessageRandomTest, ACopyIsNoWayToTheSameNumbers) {
  MessageRandom random{system_counts, cpu_counts};
  ASSERT_TRUE(random.draw());
  // As a machine does that its host set back, and a process that was forked.
  MessageRandom same = random;
  for (int i = 0; i < 100; ++i) EXPECT_NE(*random.draw(), *same.draw());
}

TEST_F(MessageRandomTest, WithoutTheCpusEachIsAskedForWhenItIsNeeded) {
  for (const auto cpu : {draws_nothing, draws_half}) {
    calls = 0;
    systems.clear();
    MessageRandom random{system_counts, cpu};
    ASSERT_TRUE(random.draw());
    MessageRandom same = random;
    std::set<Bytes> seen;
    for (int i = 0; i < 100; ++i) seen.merge(std::set{*random.draw(), *same.draw()});
    EXPECT_EQ(seen.size(), 200u);
    EXPECT_GE(calls, 200);
  }
}

TEST_F(MessageRandomTest, WithoutTheSystemsThereAreNone) {
  EXPECT_FALSE((MessageRandom{draws_nothing, cpu_counts}.draw()));
}

TEST_F(MessageRandomTest, WhatTheCpuDrawsDiffers) {
  std::array<std::uint8_t, 100> one{}, other{};
  if (!draw_rdrand(one)) GTEST_SKIP() << "this CPU draws no numbers";
  ASSERT_TRUE(draw_rdrand(other));
  EXPECT_NE(one, other);
  const auto mixed = one;
  ASSERT_TRUE(mix_in(one));
  EXPECT_NE(one, mixed);
}

}  // namespace
}  // namespace sevmon::common
