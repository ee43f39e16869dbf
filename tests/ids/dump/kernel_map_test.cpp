// SPDX-License-Identifier: Apache-2.0
#include "dump/kernel_map.hpp"

#include <gtest/gtest.h>

#include "ids/linux/fake_channel.hpp"

namespace sevmon::ids::test {
namespace {

constexpr std::uint64_t kText = 0xffffffff81000000;
constexpr std::uint64_t kTextGpa = 0x1000000;
constexpr std::uint64_t kDirect = 0xffff8d1940000000;
constexpr std::uint64_t kP2m = 0xffffc90000000000;
constexpr Root kRoot{.kind = Root::Kind::kFrame, .vcpu = 0, .frame = {0x1234}, .levels = 4};

/// A kernel of 16 pages, whose variables lie in its last one.
class KernelMapTest : public ::testing::Test {
 protected:
  KernelMapTest() {
    info_.symbols_ = {{"_text", kText},
                      {"_end", kText + 0x10000},
                      {"linux_banner", kText + 0x2000},
                      {"page_offset_base", kText + 0xf000},
                      {"vmcoreinfo_data", kText + 0xf008},
                      {"vmcoreinfo_size", kText + 0xf010},
                      {"xen_p2m_addr", kText + 0xf018},
                      {"xen_p2m_size", kText + 0xf020}};
    channel_.map(0x1234, 4, kText, kTextGpa, 0x10000);
    channel_.map(0x1234, 4, kDirect, 0, 0x2000000);
    set(kTextGpa + 0xf000, kDirect);
    set(kTextGpa + 0xf008, kDirect + 0x3000);
    set(kTextGpa + 0xf010, text_.size());
    channel_.physical.put_text(0x3000, text_);
  }

  void set(std::uint64_t gpa, std::uint64_t value) { channel_.physical.put(gpa, value); }

  KernelMap read() {
    Kernel kernel{info_, kRoot, 0, [this] { return open_epoch(channel_, {}, kRoot); }};
    auto map = read_kernel_map(channel_, {}, kernel);
    EXPECT_TRUE(map);
    return map ? *map : KernelMap{};
  }

  FakeInfo info_;
  FakeChannel channel_;
  std::string text_ = "OSRELEASE=9.9.9-fake\nPAGESIZE=4096\n";
};

TEST_F(KernelMapTest, WhatProcVmcoreHas) {
  const auto map = read();
  EXPECT_EQ(map.lacks, std::vector<std::string>{});
  EXPECT_EQ(map.text, (std::vector<Mapping>{{kText, kTextGpa, 0x10000}}));
  EXPECT_EQ(map.direct, (std::vector<Mapping>{{kDirect, 0, 1ULL << 46}}));
  EXPECT_EQ(
      std::string(reinterpret_cast<const char*>(map.vmcoreinfo.data()), map.vmcoreinfo.size()),
      text_);
}

TEST_F(KernelMapTest, VmcoreinfoThatCannotBeIsLeftOut) {
  for (const std::uint64_t bytes : {0ULL, 16 * 1024 + 1ULL, ~0ULL}) {
    set(kTextGpa + 0xf010, bytes);
    const auto map = read();
    EXPECT_TRUE(map.vmcoreinfo.empty());
    ASSERT_EQ(map.lacks.size(), 1u);
    EXPECT_NE(map.lacks[0].find("VMCOREINFO: too large"), std::string::npos) << map.lacks[0];
    EXPECT_FALSE(map.direct.empty());
  }
  set(kTextGpa + 0xf010, text_.size());
  channel_.physical.put_text(0x3000 + 5, "\x1b");
  EXPECT_TRUE(read().vmcoreinfo.empty());
  set(kTextGpa + 0xf008, 0x1000);  // not mapped
  EXPECT_TRUE(read().vmcoreinfo.empty());
  set(kTextGpa + 0xf008, ~0ULL - 3);
  EXPECT_TRUE(read().vmcoreinfo.empty());
}

TEST_F(KernelMapTest, ADirectMapThatThePageTableDoesNotHaveIsLeftOut) {
  info_.symbols_.erase("xen_p2m_addr");
  for (const auto offset :
       std::array<std::uint64_t, 6>{0, kDirect + 1, kDirect + 0x40000000, ~std::uint64_t{0} << 30,
                                    kText, std::uint64_t{1} << 40}) {
    set(kTextGpa + 0xf000, offset);
    const auto map = read();
    EXPECT_TRUE(map.direct.empty()) << offset;
    EXPECT_EQ(map.lacks.size(), 1u);
  }
}

TEST_F(KernelMapTest, APvKernelsDirectMapIsByItsOwnFrames) {
  // pfn 0, 1: frames 0x55, 0x56; 2: none; 3: another domain's; 4: 0x20.
  set(kTextGpa + 0xf018, kP2m);
  set(kTextGpa + 0xf020, 5);
  channel_.map(0x1234, 4, kP2m, 0x7000, 0x1000);
  const std::uint64_t entries[] = {0x55, 0x56, ~0ULL, 1ULL << 63 | 0x57, 0x20};
  for (unsigned i = 0; i < 5; ++i) set(0x7000 + i * 8, entries[i]);
  channel_.map(0x1234, 4, kDirect, 0x55000, 0x2000);
  // The text of such a kernel is where the direct map does not have it by machine frames.
  channel_.tables[{0x1234, 4}].erase((kDirect + kTextGpa + 0x2000) >> 12);
  channel_.map(0x1234, 4, kDirect + 0x3000, 0x3000, 0x1000);
  const auto map = read();
  EXPECT_EQ(map.direct, (std::vector<Mapping>{{kDirect + 0x4000, 0x20000, 0x1000},
                                              {kDirect, 0x55000, 0x2000}}));
  // The table is larger than there is memory.
  info_.symbols_["max_pfn"] = kText + 0xf028;
  set(kTextGpa + 0xf028, 2);
  EXPECT_EQ(read().direct, (std::vector<Mapping>{{kDirect, 0x55000, 0x2000}}));
  info_.symbols_.erase("max_pfn");
  // Sizes and places of the table that cannot be.
  for (const std::uint64_t size : {0ULL, (1ULL << 28) + 1, ~0ULL}) {
    set(kTextGpa + 0xf020, size);
    EXPECT_TRUE(read().direct.empty());
  }
  set(kTextGpa + 0xf020, 5);
  for (const std::uint64_t place : {0ULL, 0x1000ULL, ~0ULL}) {
    set(kTextGpa + 0xf018, place);
    EXPECT_TRUE(read().direct.empty());
  }
}

TEST_F(KernelMapTest, AKernelImageWithHolesIsInPieces) {
  channel_.tables[{0x1234, 4}].erase((kText + 0x5000) >> 12);
  const auto map = read();
  EXPECT_EQ(map.text, (std::vector<Mapping>{{kText, kTextGpa, 0x5000},
                                            {kText + 0x6000, kTextGpa + 0x6000, 0xa000}}));
}

TEST_F(KernelMapTest, AProfileThatCannotBeIsNoReasonToFail) {
  for (const auto end : std::array{kText, kText - 1, kText + (std::uint64_t{1} << 31)}) {
    info_.symbols_["_end"] = end;
    EXPECT_TRUE(read().text.empty());
  }
  info_.symbols_.clear();
  EXPECT_EQ(read().lacks.size(), 3u);
}

}  // namespace
}  // namespace sevmon::ids::test
