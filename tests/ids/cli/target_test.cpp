// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <string>

#include <gtest/gtest.h>

namespace sevmon::cli {
namespace {

using Kind = Target::Kind;

TEST(ParseTarget, WhatIsTaken) {
  const std::pair<const char*, Target> cases[] = {
      {"tcp:host:7100", {Kind::kTcp, "host", "7100", ""}},
      {"tcp:[::1]:7100", {Kind::kTcp, "::1", "7100", ""}},
      {"tcp:::1:7100", {Kind::kTcp, "::1", "7100", ""}},
      {"shm:/dev/shm/x", {Kind::kShm, "", "", "/dev/shm/x"}},
      {"shm:/sys/bus/pci/devices/0000:00:04.0/resource2",
       {Kind::kShm, "", "", "/sys/bus/pci/devices/0000:00:04.0/resource2"}},
      {"image:a:b", {Kind::kImage, "", "", "a:b"}},
      {"image:tcp:", {Kind::kImage, "", "", "tcp:"}},
  };
  for (const auto& [text, target] : cases) {
    const auto parsed = parse_target(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(*parsed, target) << text;
    EXPECT_EQ(parsed->needs_key(), target.kind != Kind::kImage);
  }
}

TEST(ParseTarget, WhatIsRefused) {
  const std::string cases[] = {
      "",        ":",      "tcp",    "shm",     "image",      "tcp:",
      "shm:",    "image:", "tcp:a",  "tcp::1",  "tcp:host:",  "tcp:[]:1",
      "udp:a:1", "shm",    "SHM:/x", " shm:/x", "/dev/shm/x", std::string{"shm:a\0b", 7}};
  for (const auto& text : cases) {
    const auto parsed = parse_target(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, common::ErrorCode::kUsage) << text;
    EXPECT_NE(parsed.error().detail.find("is needed"), std::string::npos);
  }
}

}  // namespace
}  // namespace sevmon::cli
