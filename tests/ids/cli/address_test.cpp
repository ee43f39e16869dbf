// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace sevmon::cli {
namespace {

TEST(ParsePlace, WhatIsTaken) {
  const std::pair<const char*, Place> cases[] = {
      {"0x0", {"", 0}},
      {"0xffffffff81000000", {"", 0xffffffff81000000}},
      {"0xFFFFffffFFFFffff", {"", ~0ULL}},
      {"linux_banner", {"linux_banner", 0}},
      {"linux_banner+0x10", {"linux_banner", 16}},
      {"linux_banner+16", {"linux_banner", 16}},
      {"_text+0", {"_text", 0}},
      {".Lx", {".Lx", 0}},
      {"do_syscall_64.cold$1", {"do_syscall_64.cold$1", 0}},
      {"x+18446744073709551615", {"x", ~0ULL}},
  };
  for (const auto& [text, place] : cases) {
    const auto parsed = parse_place(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(*parsed, place) << text;
  }
}

TEST(ParsePlace, WhatIsRefused) {
  const std::string cases[] = {"",
                               " ",
                               "0x",
                               "0xg",
                               "0x10 ",
                               " 0x10",
                               "0x-1",
                               "0x+1",
                               "0X10",
                               "-1",
                               "+1",
                               "10",
                               "81000000",
                               "ffffffff81000000 ",
                               "0x1ffffffff81000000",
                               "0x00000000000000001",
                               "0x10+1",
                               "a+",
                               "a+-1",
                               "a++1",
                               "a+0x",
                               "a+0xg",
                               "a+1 ",
                               "a+ 1",
                               "a-1",
                               "a b",
                               "a+18446744073709551616",
                               "a+1e3",
                               "a+1+1",
                               "a\n",
                               std::string("a\0b", 3),
                               "é",
                               "a/../b",
                               "0x1.0",
                               std::string(513, 'a')};
  for (const auto& text : cases) {
    const auto parsed = parse_place(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, common::ErrorCode::kUsage);
  }
}

TEST(ParsePlace, MessageCannotWriteToTheTerminal) {
  const auto parsed = parse_place("\x1b[2J");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().detail.find('\x1b'), std::string::npos);
}

TEST(ParseLength, WhatIsTakenAndRefused) {
  const std::pair<const char*, std::optional<std::uint64_t>> cases[] = {
      {"1", 1},
      {"0x10", 16},
      {"4K", 4096},
      {"2M", 2U << 20},
      {"1G", 1U << 30},
      {"18446744073709551615", ~0ULL},
      {"0", {}},
      {"0x0", {}},
      {"0K", {}},
      {"", {}},
      {"K", {}},
      {"-1", {}},
      {"+1", {}},
      {" 1", {}},
      {"1 ", {}},
      {"4k", {}},
      {"4KB", {}},
      {"1.5K", {}},
      {"0x1G", {}},
      {"17179869184G", {}},
      {"18446744073709551616", {}}};
  for (const auto& [text, value] : cases) {
    const auto parsed = parse_length(text);
    ASSERT_EQ(parsed.has_value(), value.has_value()) << text;
    if (value) {
      EXPECT_EQ(*parsed, *value) << text;
    }
  }
  EXPECT_TRUE(parse_length("17179869183G"));  // the largest that fits
}

}  // namespace
}  // namespace sevmon::cli
