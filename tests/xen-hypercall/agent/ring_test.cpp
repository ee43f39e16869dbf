// SPDX-License-Identifier: Apache-2.0
//
// What standing programs found, until it was seen (ring.c).
#include <gtest/gtest.h>

#include "support/program_fixtures.hpp"

namespace sevmon::tests {
namespace {

TEST_F(Standing, ResultsStayUntilTheyWereSeen) {
  const auto image = load(counting());
  schedule(image);
  ticks(3);
  EXPECT_EQ(client.collect().results.size(), 3u);
  EXPECT_EQ(client.collect().results.size(), 3u) << "that answer may have been lost";
  const auto rest = client.collect(2);
  ASSERT_EQ(rest.results.size(), 1u);
  EXPECT_EQ(rest.results.at(0).first.number, 3u);
  EXPECT_TRUE(client.collect(3).results.empty());
  EXPECT_TRUE(client.collect(~0ULL).results.empty());
  ticks(1);
  EXPECT_EQ(client.collect().results.at(0).first.number, 4u);
}

TEST_F(Standing, WhenNobodyCollectsItSkipsAndSaysSo) {
  constexpr std::uint32_t kBytes = SEVMON_HELPER_MAX_BYTES * 10;
  const auto image = load(counting(kBytes), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image, 10, 10);
  ticks(100);
  auto got = client.collect();
  EXPECT_EQ(got.head.next_number, 101u);
  const auto kept = got.head.results + got.head.waiting;
  EXPECT_EQ(kept, (SEVMON_RING_BYTES - SEVMON_STANDING_MAX_BYTES - 96) / (kBytes + 96) + 1);
  EXPECT_EQ(got.head.skipped, 100 - kept);
  EXPECT_EQ(got.results.at(0).first.number, 1u) << "what was seen first stays";
  for (std::uint64_t last = 0; last < kept;) {
    got = client.collect(last);
    ASSERT_FALSE(got.results.empty());
    for (const auto& [head, bytes] : got.results) {
      EXPECT_EQ(head.number, ++last);
      EXPECT_EQ(bytes.size(), kBytes);
      EXPECT_EQ(tests::load<std::uint64_t>(bytes), last);
    }
  }
  ticks(1);
  got = client.collect(kept);
  ASSERT_EQ(got.results.size(), 1u);
  EXPECT_EQ(got.results.at(0).first.number, 101u);
  EXPECT_EQ(got.results.at(0).first.report.r0, kept + 1) << "what was skipped did not run";
}

TEST_F(Standing, RingKeepsEveryLengthOverItsEnd) {
  BpfProgram program;  // append(map, ++*(u32 *)map % 4000)
  program.load_imm64(1, kMap).add(BPF_LDX | BPF_MEM | BPF_W, 2, 1);
  program.add(BPF_ALU64 | BPF_ADD, 2, 0, 0, 1).add(BPF_STX | BPF_MEM | BPF_W, 1, 2);
  program.add(BPF_ALU64 | BPF_MOD, 2, 0, 0, 4000).call(SEVMON_HELPER_APPEND).exit();
  const auto image = load(std::move(program), 4096);
  schedule(image, 10, 10);
  std::uint64_t last = 0;
  for (unsigned round = 0; round < 60; ++round) {
    ticks(7);
    const auto got = client.collect(last);
    ASSERT_EQ(got.head.skipped, 0u);
    for (const auto& [head, bytes] : got.results) {
      ASSERT_EQ(head.number, ++last);
      ASSERT_EQ(bytes.size(), last % 4000);
      if (bytes.size() >= 4) {
        ASSERT_EQ(tests::load<std::uint32_t>(bytes), last);
      }
      ASSERT_TRUE(bytes.size() < 5 || sevmon_is_zero(bytes.data() + 4, bytes.size() - 4));
    }
  }
  EXPECT_GT(last, 400u);
  const auto& ring = agent.state().ids[0].programs->ring;
  client.collect(~0ULL);
  EXPECT_TRUE(sevmon_is_zero(ring.bytes, sizeof(ring.bytes))) << "nothing of the target's is left";
}

TEST_F(Standing, ASmallClassCollectsWhatFitsAndSaysWhatDoesNot) {
  const auto image = load(counting(5000), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image);
  ticks(1);
  ProgramClient small{agent, {.connection_id = {9}, .size_class = SEVMON_CLASS_1_PAGE}};
  EXPECT_EQ(small.status(SEVMON_ITEM_PROGRAM_COLLECT, bytes_of(sevmon_collect{})),
            SEVMON_STATUS_REFUSED);
  EXPECT_EQ(client.collect().results.size(), 1u);
}

TEST_F(Standing, TheLongestResultFitsOneAnswer) {
  const auto image = load(counting(SEVMON_STANDING_MAX_BYTES), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image);
  ticks(2);
  const auto got = client.collect();
  ASSERT_EQ(got.results.size(), 1u);
  EXPECT_EQ(got.results.at(0).second.size(), SEVMON_STANDING_MAX_BYTES);
  EXPECT_EQ(got.head.waiting, 1u);
}

}  // namespace
}  // namespace sevmon::tests
