// SPDX-License-Identifier: Apache-2.0
#include "memory/page.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace sevmon::ids {
namespace {

using Bytes = std::vector<std::byte>;

TEST(LinesOf, FirstLastAndAll) {
  EXPECT_EQ(lines_of(0, 1), 1u);
  EXPECT_EQ(lines_of(63, 2), 3u);
  EXPECT_EQ(lines_of(64, 64), 2u);
  EXPECT_EQ(lines_of(4095, 1), 1ull << 63);
  EXPECT_EQ(lines_of(0, 4096), ~0ull);
}

TEST(Page, FirstViewOfALineStays) {
  Page page;
  page.store(64, Bytes(64, std::byte{1}));
  page.store(0, Bytes(192, std::byte{2}));
  EXPECT_EQ(page.bytes(0, 1)[0], std::byte{2});
  EXPECT_EQ(page.bytes(64, 1)[0], std::byte{1});
  EXPECT_EQ(page.bytes(128, 1)[0], std::byte{2});
  EXPECT_TRUE(page.has(7));
  EXPECT_FALSE(page.has(15));
}

TEST(Page, NothingIsMissingOnceItFailed) {
  Page page;
  page.store(0, Bytes(64));
  EXPECT_EQ(page.missing(3), 2u);
  page.fail(SEVMON_STATUS_NOT_MAPPED, 2);
  EXPECT_EQ(page.missing(~0ull), 0u);
  EXPECT_TRUE(page.has(1));
  EXPECT_EQ(page.status(), SEVMON_STATUS_NOT_MAPPED);
  EXPECT_EQ(page.level(), 2);
}

}  // namespace
}  // namespace sevmon::ids
