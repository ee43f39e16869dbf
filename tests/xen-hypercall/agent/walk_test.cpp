// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/fake_host.hpp"
#include "walk.h"

namespace sevmon::tests {
namespace {

struct Walked {
  unsigned status;
  std::uint8_t level;
  sevmon_translation translation;
};

Walked walk(const FakeHost& host, std::uint64_t gva) {
  sevmon_target target{};
  EXPECT_EQ(host.table()->target_get(SEVMON_DOMID_DOM0, &target), SEVMON_ANSWER_OK);
  const sevmon_root root{host.guest.root(), static_cast<std::uint8_t>(host.guest.levels())};
  Walked walked{};
  walked.status =
      sevmon_walk(host.table(), &target, &root, gva, &walked.translation, &walked.level);
  host.table()->target_put(&target);
  return walked;
}

constexpr std::uint64_t kGva = 0xffffffff81234000;

class Levels : public ::testing::TestWithParam<unsigned> {};

TEST_P(Levels, FindsAPageAndReadsEachTableOnce) {
  FakeHost host{GetParam()};
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame, 1, kWrite | kGlobal);
  const auto walked = walk(host, kGva + 0x123);
  EXPECT_EQ(walked.status, SEVMON_STATUS_OK);
  EXPECT_EQ(walked.level, 1);
  EXPECT_EQ(walked.translation.frame, frame);
  EXPECT_EQ(walked.translation.page_shift, 12);
  EXPECT_EQ(walked.translation.levels, GetParam());
  EXPECT_EQ(walked.translation.reached, GetParam());
  EXPECT_EQ(walked.translation.entry[GetParam() - 1], host.guest.entry(kGva, 1));
  EXPECT_EQ(host.frames_mapped, GetParam());
}

TEST_P(Levels, SaysAtWhichLevelNothingIsMapped) {
  for (unsigned level = 1; level <= GetParam(); ++level) {
    FakeHost host{GetParam()};
    host.guest.map_frame(kGva, host.guest.add_frame());
    host.guest.entry(kGva, level) &= ~kPresent;
    const auto walked = walk(host, kGva);
    EXPECT_EQ(walked.status, SEVMON_STATUS_NOT_MAPPED) << level;
    EXPECT_EQ(walked.level, level);
    EXPECT_EQ(walked.translation.reached, GetParam() - level + 1) << "the absent entry was read";
    EXPECT_EQ(walked.translation.frame, 0u);
    EXPECT_EQ(walked.translation.flags, 0u);
  }
}

TEST_P(Levels, SaysAtWhichLevelATableIsNotTheTargetsRam) {
  for (unsigned level = 1; level <= GetParam(); ++level) {
    FakeHost host{GetParam()};
    host.guest.map_frame(kGva, host.guest.add_frame());
    const auto table = level == GetParam() ? host.guest.root()
                                           : host.guest.entry(kGva, level + 1) >> 12 & 0xffffffffff;
    host.guest.remove_frame(table);
    const auto walked = walk(host, kGva);
    EXPECT_EQ(walked.status, SEVMON_STATUS_NO_FRAME) << level;
    EXPECT_EQ(walked.level, level);
    EXPECT_EQ(walked.translation.reached, GetParam() - level);
  }
}

TEST_P(Levels, LargePageBitIsReservedAboveLevelThree) {
  for (unsigned level = 4; level <= GetParam(); ++level) {
    FakeHost host{GetParam()};
    host.guest.map_frame(kGva, host.guest.add_frame());
    host.guest.entry(kGva, level) |= kLarge;
    const auto walked = walk(host, kGva);
    EXPECT_EQ(walked.status, SEVMON_STATUS_BAD_TABLE) << level;
    EXPECT_EQ(walked.level, level);
  }
}

INSTANTIATE_TEST_SUITE_P(FourAndFive, Levels, ::testing::Values(4u, 5u));

TEST(Walk, LargePagesAreSplit) {
  for (const unsigned level : {2u, 3u}) {
    FakeHost host;
    const std::uint64_t frames = level == 2 ? 512 : 512 * 512;
    const std::uint64_t base = 16 * frames;
    const std::uint64_t gva = 0xffff888000000000;
    host.guest.map_frame(gva, base, level);
    for (const std::uint64_t page : {std::uint64_t{0}, std::uint64_t{1}, frames - 1}) {
      const auto walked = walk(host, gva + page * 4096 + 5);
      EXPECT_EQ(walked.status, SEVMON_STATUS_OK);
      EXPECT_EQ(walked.level, level);
      EXPECT_EQ(walked.translation.frame, base + page);
      EXPECT_EQ(walked.translation.page_shift, level == 2 ? 21 : 30);
    }
    // PAT of a large page is the lowest bit of the address field: not part of the frame.
    host.guest.entry(gva, level) |= 1 << 12;
    EXPECT_EQ(walk(host, gva).translation.frame, base);
  }
}

TEST(Walk, AtLevelOneTheLargeBitIsPat) {
  FakeHost host;
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame, 1, kLarge);
  EXPECT_EQ(walk(host, kGva).translation.frame, frame);
}

TEST(Walk, CanonicalDependsOnTheLevels) {
  struct Case {
    std::uint64_t gva;
    bool four, five;
  };
  for (const auto& c :
       {Case{0x00007fffffffffff, true, true}, Case{0x0000800000000000, false, true},
        Case{0xffff7fffffffffff, false, true}, Case{0xffff800000000000, true, true},
        Case{0x00ffffffffffffff, false, true}, Case{0x0100000000000000, false, false},
        Case{0xfeffffffffffffff, false, false}, Case{0xff00000000000000, false, true},
        Case{0x8000000000000000, false, false}}) {
    for (const unsigned levels : {4u, 5u}) {
      FakeHost host{levels};
      const auto walked = walk(host, c.gva);
      const bool canonical = levels == 4 ? c.four : c.five;
      EXPECT_EQ(walked.status, canonical ? SEVMON_STATUS_NOT_MAPPED : SEVMON_STATUS_NOT_CANONICAL)
          << std::hex << c.gva << " with " << levels;
      if (!canonical) {
        EXPECT_EQ(walked.translation.reached + walked.level, 0);
      }
    }
  }
}

TEST(Walk, XensRangeIsRefusedWithoutLooking) {
  FakeHost host;
  host.forbidden_start = 0xffff800000000000;
  host.forbidden_end = 0xffff880000000000;
  host.guest.map(0xffff7ffffffff000 + 0x1000, "mapped, and yet");
  host.guest.map(0xffff880000000000, "the guest's");
  for (const auto gva : {0xffff800000000000, 0xffff800000000123, 0xffff87ffffffffff})
    EXPECT_EQ(walk(host, gva).status, SEVMON_STATUS_XEN) << std::hex << gva;
  EXPECT_EQ(host.frames_mapped, 0u);
  EXPECT_EQ(walk(host, 0xffff880000000000).status, SEVMON_STATUS_OK);
  EXPECT_EQ(walk(host, 0x00007ffffffff000).status, SEVMON_STATUS_NOT_MAPPED);
}

TEST(Walk, AnUnalignedEdgeOfXensRangeTakesItsWholePage) {
  FakeHost host;
  host.forbidden_start = 0xffff800000000800;
  host.forbidden_end = 0xffff800000001800;
  EXPECT_EQ(walk(host, 0xffff800000000000).status, SEVMON_STATUS_XEN);
  EXPECT_EQ(walk(host, 0xffff800000001fff).status, SEVMON_STATUS_XEN);
  EXPECT_EQ(walk(host, 0xffff800000002000).status, SEVMON_STATUS_NOT_MAPPED);
}

TEST(Walk, TheCBitIsNotPartOfAFrame) {
  for (const unsigned bit : {47u, 51u}) {
    FakeHost host;
    const auto frame = host.guest.add_frame();
    host.guest.map_frame(kGva, frame);
    for (unsigned level = 1; level <= 4; ++level) host.guest.entry(kGva, level) |= 1ULL << bit;
    EXPECT_EQ(walk(host, kGva).status, SEVMON_STATUS_NO_FRAME) << "it would lead nowhere";
    host.c_bit_mask = 1ULL << bit;
    const auto walked = walk(host, kGva);
    EXPECT_EQ(walked.status, SEVMON_STATUS_OK);
    EXPECT_EQ(walked.translation.frame, frame);
    EXPECT_EQ(walked.translation.entry[0] >> bit & 1, 0u);
  }
}

TEST(Walk, FlagsAreWhatAllLevelsAllow) {
  struct Case {
    unsigned level;
    std::uint64_t clear, set, expected;
  };
  for (const auto& c : {Case{1, 0, 0, SEVMON_PTE_WRITE | SEVMON_PTE_USER},
                        Case{3, kWrite, 0, SEVMON_PTE_USER}, Case{2, kUser, 0, SEVMON_PTE_WRITE},
                        Case{4, 0, kNoExecute, SEVMON_PTE_WRITE | SEVMON_PTE_USER | SEVMON_PTE_NX},
                        Case{1, 0, kGlobal, SEVMON_PTE_WRITE | SEVMON_PTE_USER | SEVMON_PTE_GLOBAL},
                        Case{2, 0, kGlobal, SEVMON_PTE_WRITE | SEVMON_PTE_USER}}) {
    FakeHost host;
    host.guest.map_frame(kGva, host.guest.add_frame(), 1, kWrite | kUser);
    auto& entry = host.guest.entry(kGva, c.level);
    entry = (entry & ~c.clear) | c.set;
    EXPECT_EQ(walk(host, kGva).translation.flags, c.expected) << c.level;
  }
}

TEST(Walk, EntriesThatPointAtThemselvesEnd) {
  FakeHost host;
  host.guest.page(host.guest.root()).entry(511) = host.guest.root() << 12 | kPresent | kWrite;
  const auto walked = walk(host, 0xffffffffffffffff);
  EXPECT_EQ(walked.status, SEVMON_STATUS_OK);
  EXPECT_EQ(walked.translation.frame, host.guest.root());
  EXPECT_EQ(host.frames_mapped, 4u);
}

/// What decides is the entry as it was read, whatever it becomes meanwhile.
TEST(Walk, AnEntryIsReadOnce) {
  FakeHost host;
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame);
  const auto table = host.guest.entry(kGva, 2) >> 12 & 0xffffffffff;
  host.on_map = [&](std::uint64_t mapped) {
    // The upper level was read: too late to take it away.
    if (mapped == table) host.guest.page(host.guest.root()).bytes.fill(0);
  };
  EXPECT_EQ(walk(host, kGva).translation.frame, frame);
}

TEST(Map, FramesThatNoEntryCanHoldAreNotAskedFor) {
  FakeHost host;
  host.on_map = [](std::uint64_t) { FAIL() << "the host was asked"; };
  sevmon_target target{};
  sevmon_frame frame{};
  for (const auto number : {1ULL << 40, 1ULL << 52, ~0ULL})
    EXPECT_EQ(sevmon_map(host.table(), &target, number, &frame), SEVMON_STATUS_NO_FRAME);
}

}  // namespace
}  // namespace sevmon::tests
