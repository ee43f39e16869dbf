// SPDX-License-Identifier: Apache-2.0
#include "checks/table_compare.hpp"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checks/page_tables.hpp"
#include "ids/linux/fake_channel.hpp"

namespace sevmon::ids {
namespace {

using common::Frame;
using Kind = TranslationFinding::Kind;

constexpr std::uint64_t kKernelText = 0xffffffff81000000;
constexpr std::uint64_t kUpper = 0xffff800000000000;
constexpr std::uint64_t kTable = 0x63;  // present, writable
constexpr std::uint64_t kData = kTable | 1ULL << 63;
constexpr std::size_t kMany = 1000;

/// Page tables in physical memory, built by hand.
struct Target {
  test::FakeChannel channel;
  std::uint64_t next_table = 0x100;
  unsigned levels = 4;

  std::uint64_t new_table() {
    channel.physical.put(next_table << 12, 0);
    return next_table++;
  }
  std::uint64_t slot(std::uint64_t table, std::uint64_t gva, unsigned level) const {
    return (table << 12) + 8 * (gva >> level_shift(level) & 511);
  }
  std::uint64_t& c_bit() { return c_bit_; }

  void set(std::uint64_t table, std::uint64_t gva, unsigned level, std::uint64_t frame,
           std::uint64_t flags = kTable) {
    channel.physical.put(slot(table, gva, level), frame << 12 | flags | c_bit_);
  }
  /// The table that decides `gva` at `level`, made as far as it is missing.
  std::uint64_t table_of(std::uint64_t root, std::uint64_t gva, unsigned level) {
    auto table = root;
    for (unsigned at = levels; at > level; --at) {
      const auto entry = channel.physical.get(slot(table, gva, at));
      if ((entry & 1) == 0) set(table, gva, at, new_table());
      table = (channel.physical.get(slot(table, gva, at)) & ~c_bit_ & kPteAddress) >> 12;
    }
    return table;
  }
  void map(std::uint64_t root, std::uint64_t gva, std::uint64_t frame, unsigned level = 1,
           std::uint64_t flags = kTable) {
    set(table_of(root, gva, level), gva, level, frame, flags | (level > 1 ? kPteLarge : 0));
  }
  std::uint64_t copy_of(std::uint64_t table) {
    const auto copy = new_table();
    for (unsigned i = 0; i < 512; ++i)
      channel.physical.put((copy << 12) + 8 * i, channel.physical.get((table << 12) + 8 * i));
    return copy;
  }
  /// Tables of its own from the top down to the lowest, saying the same.
  std::uint64_t copy_path(std::uint64_t root, std::uint64_t gva) {
    const auto copy = copy_of(root);
    for (unsigned level = levels; level > 1; --level) {
      const auto table = table_of(copy, gva, level);
      set(table, gva, level, copy_of(table_of(copy, gva, level - 1)));
    }
    return copy;
  }

  std::vector<TranslationFinding> compare(const Comparison& comparison, bool* cut = nullptr,
                                          std::size_t max_tables = kMany,
                                          std::size_t max_findings = kMany) {
    PageTables tables{channel, {}, c_bit_, max_tables};
    TableCompare compare{tables, levels, max_findings};
    compare.add(comparison);
    EXPECT_TRUE(compare.run());
    if (cut != nullptr) *cut = compare.cut();
    return compare.findings();
  }

 private:
  std::uint64_t c_bit_ = 0;
};

/// A master with text in pages of 4 KiB, data in one of 2 MiB, and a copy of its top level.
struct TwoRoots : Target {
  std::uint64_t master = 0;
  std::uint64_t process = 0;

  explicit TwoRoots(unsigned its_levels = 4) {
    levels = its_levels;
    master = new_table();
    for (std::uint64_t i = 0; i < 16; ++i) map(master, kKernelText + (i << 12), 0x1000 + i);
    map(master, kKernelText + 0x200000, 0x1200, 2, kData);
    map(master, kUpper | (levels == 5 ? 0xff11ULL << 48 : 0), 0x1000, 3, kData);
    process = copy_of(master);
    set(process, 0x400000, levels, new_table());  // its own half
  }
  Comparison against_master(std::uint64_t root) const {
    return {.space = 1,
            .root = root,
            .reference = master,
            .range = {levels == 5 ? 0xff00000000000000 : kUpper, UINT64_MAX},
            .same_tables = true,
            .same_access = true};
  }
};

TEST(TableCompare, SharedTablesAreTheSame) {
  for (const unsigned levels : {4U, 5U}) {
    TwoRoots target{levels};
    EXPECT_TRUE(target.compare(target.against_master(target.process)).empty());
  }
}

TEST(TableCompare, ARedirectedPageIsNamed) {
  for (const unsigned levels : {4U, 5U}) {
    TwoRoots target{levels};
    const auto evil = target.copy_path(target.process, kKernelText);
    target.map(evil, kKernelText + 0x3000, 0x6666);
    const auto found = target.compare(target.against_master(evil));
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].kind, Kind::kCopiedTable);
    EXPECT_EQ(found[1].kind, Kind::kRedirected);
    EXPECT_EQ(found[1].address.value, kKernelText + 0x3000);
    EXPECT_EQ(found[1].bytes, 4096U);
    EXPECT_EQ(found[1].expected, Frame{0x1003});
    EXPECT_EQ(found[1].found, Frame{0x6666});
    EXPECT_EQ(found[1].space, 1U);
  }
}

TEST(TableCompare, NeighboursAreOneFinding) {
  TwoRoots target;
  const auto evil = target.copy_path(target.process, kKernelText);
  for (std::uint64_t i = 3; i < 7; ++i) target.map(evil, kKernelText + (i << 12), 0x6660 + i);
  const auto found = target.compare(target.against_master(evil));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[1].bytes, 4U * 4096);
}

TEST(TableCompare, TablesOfItsOwnThatSayTheSame) {
  TwoRoots target;
  const auto evil = target.copy_path(target.process, kKernelText);
  auto comparison = target.against_master(evil);
  const auto found = target.compare(comparison);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Kind::kCopiedTable);
  comparison.same_tables = false;
  EXPECT_TRUE(target.compare(comparison).empty());
}

TEST(TableCompare, ALargePageAgainstItsParts) {
  TwoRoots target;
  const auto evil = target.copy_path(target.process, kKernelText);
  const auto parts = target.new_table();
  target.set(target.table_of(evil, kKernelText + 0x200000, 2), kKernelText + 0x200000, 2, parts);
  for (std::uint64_t i = 0; i < 512; ++i)
    target.set(parts, i << 12, 1, i == 5 ? 0x7777 : 0x1200 + i, kData);
  auto comparison = target.against_master(evil);
  comparison.same_tables = false;
  const auto found = target.compare(comparison);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].address.value, kKernelText + 0x205000);
  EXPECT_EQ(found[0].expected, Frame{0x1205});
  EXPECT_EQ(found[0].found, Frame{0x7777});
}

TEST(TableCompare, WhatIsAddedIsFoundAndWhatIsMissingIsNot) {
  TwoRoots target;
  auto evil = target.copy_of(target.process);
  target.map(evil, 0xffffa00000000000, 0x4444);
  const auto found = target.compare(target.against_master(evil));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].kind, Kind::kCopiedTable);
  EXPECT_FALSE(found[0].expected);
  EXPECT_EQ(found[1].kind, Kind::kAdded);
  EXPECT_EQ(found[1].address.value, 0xffffa00000000000);
  evil = target.copy_of(target.process);
  target.set(evil, kKernelText, 4, 0, 0);
  EXPECT_TRUE(target.compare(target.against_master(evil)).empty());
}

TEST(TableCompare, OtherRightsAreFound) {
  TwoRoots target;
  const auto evil = target.copy_of(target.process);
  const auto shared = target.table_of(target.process, kKernelText, 3);
  for (const std::uint64_t change : {1ULL << 1, 1ULL << 2, 1ULL << 63}) {
    target.set(evil, kKernelText, 4, shared, kTable ^ change);
    const auto found = target.compare(target.against_master(evil));
    ASSERT_EQ(found.size(), 1U) << change;
    EXPECT_EQ(found[0].kind, Kind::kAccess);
  }
  // Accessed, dirty and software bits are no rights.
  target.set(evil, kKernelText, 4, shared, kTable ^ 0x60 ^ 0x600);
  EXPECT_TRUE(target.compare(target.against_master(evil)).empty());
}

TEST(TableCompare, ATableThatIsNoRamIsFound) {
  TwoRoots target;
  const auto evil = target.copy_of(target.process);
  target.set(evil, kKernelText, 4, 0xfffffff);
  const auto found = target.compare(target.against_master(evil));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[1].kind, Kind::kUnreadable);
  EXPECT_EQ(found[1].found, Frame{0xfffffff});
}

TEST(TableCompare, SkippedRangesAreNotLookedAt) {
  TwoRoots target;
  const auto evil = target.copy_of(target.process);
  target.map(evil, 0xffff810000000000, 0x4444);
  auto comparison = target.against_master(evil);
  comparison.range.first = 0xffff880000000000;
  EXPECT_TRUE(target.compare(comparison).empty());
}

TEST(TableCompare, TablesThatPointToThemselvesEnd) {
  TwoRoots target;
  const auto evil = target.copy_of(target.process);
  for (std::uint64_t slot = 256; slot < 512; ++slot) target.set(evil, slot << 39, 4, evil);
  bool cut = false;
  const auto found = target.compare(target.against_master(evil), &cut);
  EXPECT_TRUE(cut);
  EXPECT_EQ(found.size(), kMany);
}

TEST(TableCompare, BoundsAreSaid) {
  TwoRoots target;
  const auto evil = target.copy_path(target.process, kKernelText);
  bool cut = false;
  target.compare(target.against_master(evil), &cut, 5);
  EXPECT_TRUE(cut);
  target.compare(target.against_master(evil), &cut);
  EXPECT_FALSE(cut);
  for (std::uint64_t i = 0; i < 8; ++i) target.map(evil, kKernelText + (i << 13), 0x6000 - i);
  EXPECT_EQ(target.compare(target.against_master(evil), &cut, kMany, 4).size(), 4U);
  EXPECT_TRUE(cut);
}

struct Linear : TwoRoots {
  Comparison text() const {
    return {.space = 0,
            .root = master,
            .reference = {},
            .first_frame = 0x1000,
            .range = {kKernelText, kKernelText + 0xf123},
            .must_map = true};
  }
};

TEST(TableCompare, TheKernelIsInOnePiece) {
  Linear target;
  EXPECT_TRUE(target.compare(target.text()).empty());
  target.map(target.master, kKernelText + 0xf000, 0x1234);
  auto found = target.compare(target.text());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Kind::kRedirected);
  EXPECT_EQ(found[0].expected, Frame{0x100f});
  EXPECT_EQ(found[0].found, Frame{0x1234});
  // What lies behind the range may be anything.
  target.map(target.master, kKernelText + 0xf000, 0x100f);
  target.map(target.master, kKernelText + 0x10000, 0x1234);
  EXPECT_TRUE(target.compare(target.text()).empty());
}

TEST(TableCompare, AHoleInTheKernelIsFoundWhereItMustBeMapped) {
  Linear target;
  target.set(target.table_of(target.master, kKernelText, 1), kKernelText + 0x2000, 1, 0, 0);
  auto found = target.compare(target.text());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, Kind::kMissing);
  EXPECT_EQ(found[0].address.value, kKernelText + 0x2000);
  auto comparison = target.text();
  comparison.must_map = false;
  EXPECT_TRUE(target.compare(comparison).empty());
}

TEST(TableCompare, APartOfALargePage) {
  Linear target;
  Comparison data{.space = 0,
                  .root = target.master,
                  .reference = {},
                  .first_frame = 0x1203,
                  .range = {kKernelText + 0x203000, kKernelText + 0x2fffff}};
  EXPECT_TRUE(target.compare(data).empty());
  data.first_frame = 0x1204;
  const auto found = target.compare(data);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].address.value, kKernelText + 0x203000);
  EXPECT_EQ(found[0].found, Frame{0x1203});
}

TEST(PageTables, TranslateAtEachLevelAndWithTheCBit) {
  for (const std::uint64_t c_bit : {0ULL, 1ULL << 51}) {
    Target target;
    target.c_bit() = c_bit;
    const auto root = target.new_table();
    target.map(root, kKernelText, 0x55);
    target.map(root, kKernelText + 0x200000, 0x1200 | 1, 2);  // PAT's bit in a large page
    target.map(root, kUpper, 0x40000, 3);
    const std::vector<std::uint64_t> addresses{kKernelText, kKernelText + 0x203456, kUpper + 0x5000,
                                               kKernelText + 0x1000, 0};
    PageTables tables{target.channel, {}, c_bit, kMany};
    const auto frames = tables.translate(root, 4, addresses);
    ASSERT_TRUE(frames);
    EXPECT_EQ(*frames, (std::vector<std::optional<std::uint64_t>>{0x55, 0x1203, 0x40005,
                                                                  std::nullopt, std::nullopt}));
  }
}

TEST(PageTables, ALargePageAtTheTopLevelsIsNone) {
  Target target;
  const auto root = target.new_table();
  target.set(root, kKernelText, 4, 0x1000, kTable | kPteLarge);
  PageTables tables{target.channel, {}, 0, kMany};
  const auto frames = tables.translate(root, 4, std::vector<std::uint64_t>{kKernelText});
  ASSERT_TRUE(frames);
  EXPECT_FALSE(frames->front());
}

}  // namespace
}  // namespace sevmon::ids
