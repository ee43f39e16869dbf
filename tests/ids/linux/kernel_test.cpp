// SPDX-License-Identifier: Apache-2.0
#include <sevmon/kernel.hpp>

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include <sevmon/text.hpp>

#include "ids/linux/fake_channel.hpp"
#include "linux/locate.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using test::FakeChannel;
using test::FakeInfo;

constexpr std::uint64_t kMap = 0xffffffff80000000;
constexpr std::uint64_t kText = kMap + 0x1000000;
constexpr std::uint64_t kBanner = kMap + 0x1600fe0;  // across a page
constexpr std::uint64_t kRootTable = kMap + 0x2010000;
constexpr std::uint64_t kFlag = kMap + 0x2020010;
constexpr std::uint64_t kEntryPv = kMap + 0x2300180;
constexpr std::uint64_t kEntryPvh = kMap + 0x1000560;

FakeInfo info_of(const std::string& release, std::uint8_t digest) {
  FakeInfo info;
  info.release_ = release;
  info.banner_ = "Linux version " + release + " (builder@example.org) #1 SMP";
  info.build_id_ = std::string(40, static_cast<char>('0' + digest));
  info.sha256_.fill(digest);
  info.symbols_ = {{"_text", kText},
                   {"linux_banner", kBanner},
                   {"init_top_pgt", kRootTable},
                   {"__pgtable_l5_enabled", kFlag},
                   {"startup_xen", kEntryPv},
                   {"pvh_start_xen", kEntryPvh}};
  return info;
}

struct Target {
  FakeInfo info = info_of("6.1.0-fake", 1);
  FakeInfo other = info_of("6.2.0-other", 2);
  std::vector<const KernelInfo*> candidates{&other, &info};
  FakeChannel channel;

  Target() {
    other.symbols_["linux_banner"] += 0x40;
    channel.status.target_kind = SEVMON_TARGET_IMAGE;
    channel.status.target_frames = 0x10000;  // 256 MiB
    channel.record.emplace();
  }

  /// `info`'s kernel in physical memory, mapped by its master table.
  void load(std::uint64_t load_delta, std::uint64_t slide, std::uint8_t levels = 4) {
    const auto gpa = [&](std::uint64_t linked) { return linked - kMap + load_delta; };
    channel.physical.put_text(gpa(kBanner), info.banner() + "\n");
    channel.physical.put(gpa(kFlag), levels == 5 ? 1 : 0, 4);
    channel.map(gpa(kRootTable) >> 12, levels, kBanner + slide, gpa(kBanner), 128);
  }
  /// As Xen would have started it.
  void booted(std::uint32_t origin, std::uint64_t address, std::uint64_t frame) {
    channel.status.target_kind = origin == SEVMON_ORIGIN_PV ? SEVMON_TARGET_PV : SEVMON_TARGET_HVM;
    channel.record->origin = origin;
    channel.record->origin_address = address;
    channel.record->origin_frame = frame;
    channel.record->kernel.bytes = 8'000'000;
    std::ranges::fill(channel.record->kernel.sha256, std::uint8_t{1});
  }
  void load_pv(std::uint64_t first_frame) {
    const auto frame = [&](std::uint64_t linked) { return first_frame + ((linked - kText) >> 12); };
    channel.physical.put_text(frame(kBanner) << 12 | (kBanner & 4095), info.banner() + "\n");
    channel.map(frame(kRootTable), 4, kBanner, frame(kBanner) << 12 | (kBanner & 4095), 128);
    booted(SEVMON_ORIGIN_PV, kEntryPv, frame(kEntryPv));
  }
  common::Result<Kernel> attach() { return Kernel::attach(channel, candidates); }
  void expect_found(std::uint64_t root_gpa, std::uint64_t slide, std::uint8_t levels = 4) {
    const auto kernel = attach();
    ASSERT_TRUE(kernel) << kernel.error().message();
    EXPECT_EQ(kernel->info().release(), "6.1.0-fake");
    EXPECT_EQ(kernel->root().frame.value, root_gpa >> 12);
    EXPECT_EQ(kernel->root().levels, levels);
    EXPECT_EQ(kernel->root().kind, Root::Kind::kFrame);
    EXPECT_EQ(kernel->slide_bytes(), slide);
  }
  std::string expect_mismatch() {
    const auto kernel = attach();
    if (kernel) {
      ADD_FAILURE() << "attached to " << kernel->info().release();
      return {};
    }
    EXPECT_EQ(kernel.error().code, ErrorCode::kMismatch) << kernel.error().message();
    return kernel.error().detail;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Attach, PvRootFollowsFromWhereXenPutTheKernel) {
  Target target;
  target.load_pv(0x70000);
  target.expect_found((0x70000ULL << 12) + (kRootTable - kText), 0);
  EXPECT_EQ(target.channel.exchanges, 2U);  // facts; banner
}

TEST(Attach, PvFirstRangesCostNoExchange) {
  Target target;
  target.load_pv(0x70000);
  AttachOptions options;
  options.first_ranges = [](const KernelInfo&) { return std::vector<Range>{{{kBanner + 64}, 16}}; };
  auto kernel = Kernel::attach(target.channel, target.candidates, options);
  ASSERT_TRUE(kernel);
  const auto before = target.channel.exchanges;
  auto memory = kernel->next_epoch();
  EXPECT_TRUE(memory->read_uint({kBanner + 64}, 8));
  EXPECT_EQ(target.channel.exchanges, before);
  // The next epoch is fresh.
  EXPECT_TRUE(kernel->next_epoch()->read_uint({kBanner + 64}, 8));
  EXPECT_EQ(target.channel.exchanges, before + 1);
}

TEST(Attach, PvEntryPointElsewhereIsAMismatch) {
  Target target;
  target.load_pv(0x70000);
  target.channel.record->origin_address += 0x200000;
  EXPECT_TRUE(has(target.expect_mismatch(), "startup_xen of 6.1.0-fake"));
}

TEST(Attach, UnknownDigestNamesBothSides) {
  Target target;
  target.load_pv(0x70000);
  std::ranges::fill(target.channel.record->kernel.sha256, std::uint8_t{0xab});
  const auto text = target.expect_mismatch();
  EXPECT_TRUE(has(
      text, std::string(64, 'x').replace(
                0, 64, hex(std::span<const std::uint8_t>{target.channel.record->kernel.sha256}))))
      << text;
  EXPECT_TRUE(has(text, "6.1.0-fake")) << text;
  EXPECT_TRUE(has(text, hex(std::span{target.info.file_sha256()}))) << text;
}

TEST(Attach, DigestRightButAnotherBannerNamesBothSides) {
  Target target;
  target.load_pv(0x70000);
  const auto gpa = (0x70000ULL << 12) + (kBanner - kText);
  target.channel.physical.put_text(gpa, "Linux version 6.6.6-evil\x1b[2J");
  const auto text = target.expect_mismatch();
  EXPECT_TRUE(has(text, "6.6.6-evil\\x1b[2J")) << text;
  EXPECT_TRUE(has(text, target.info.banner())) << text;
}

TEST(Attach, PvWithoutBootRecordIsRefused) {
  Target target;
  target.channel.status.target_kind = SEVMON_TARGET_PV;
  target.channel.record.reset();
  const auto kernel = target.attach();
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code, ErrorCode::kUnsupported);
}

TEST(Attach, PvhRootFollowsFromTheEntryPoint) {
  for (const std::uint64_t delta : {0x0ULL, 0x4000000ULL, 0ULL - 0x400000ULL}) {
    Target target;
    target.load(delta, 0);
    target.booted(SEVMON_ORIGIN_PVH, kEntryPvh - kMap + delta, 0);
    target.expect_found(kRootTable - kMap + delta, 0);
    EXPECT_EQ(target.channel.exchanges, 2U);
  }
}

TEST(Attach, PvhWithASlide) {
  Target target;
  target.load(0, 0x1c00000);
  target.booted(SEVMON_ORIGIN_PVH, kEntryPvh - kMap, 0);
  target.expect_found(kRootTable - kMap, 0x1c00000);
}

TEST(Attach, PvhEntryPointThatCannotBe) {
  Target target;
  target.load(0, 0);
  target.booted(SEVMON_ORIGIN_PVH, kEntryPvh - kMap + 0x1000, 0);
  EXPECT_TRUE(has(target.expect_mismatch(), "pvh_start_xen of 6.1.0-fake"));
}

struct Place {
  std::uint64_t load_delta;
  std::uint64_t slide;
  std::uint8_t levels;
};
class Images : public testing::TestWithParam<Place> {};

TEST_P(Images, AreFoundBySearching) {
  Target target;
  const auto [delta, slide, levels] = GetParam();
  target.load(delta, slide, levels);
  target.expect_found(kRootTable - kMap + delta, slide, levels);
}

TEST_P(Images, AreFoundWithoutTheFiveLevelFlag) {
  Target target;
  target.info.symbols_.erase("__pgtable_l5_enabled");
  const auto [delta, slide, levels] = GetParam();
  target.load(delta, slide, levels);
  target.expect_found(kRootTable - kMap + delta, slide, levels);
}

TEST_P(Images, AreFoundByVmcoreinfo) {
  Target target;
  const auto [delta, slide, levels] = GetParam();
  target.load(delta, slide, levels);
  target.channel.record->origin = SEVMON_ORIGIN_VMCOREINFO;
  target.channel.record->origin_address = slide;
  target.channel.record->origin_frame = (delta - slide) >> 12;  // phys_base
  std::ranges::fill(target.channel.record->build_id, std::uint8_t{0x11});
  target.expect_found(kRootTable - kMap + delta, slide, levels);
  EXPECT_EQ(target.channel.exchanges, 3U);  // facts; hint; banner
  EXPECT_EQ(target.attach()->matched_by(), "build id");
}

TEST_P(Images, AreFoundDespiteALyingVmcoreinfo) {
  Target target;
  const auto [delta, slide, levels] = GetParam();
  target.load(delta, slide, levels);
  target.channel.record->origin = SEVMON_ORIGIN_VMCOREINFO;
  target.channel.record->origin_address = slide + 0x200000;
  target.channel.record->origin_frame = 0x1234;
  std::ranges::fill(target.channel.record->build_id, std::uint8_t{0x99});
  target.expect_found(kRootTable - kMap + delta, slide, levels);
}

INSTANTIATE_TEST_SUITE_P(Places, Images,
                         testing::Values(Place{0, 0, 4}, Place{0x8200000, 0x3a200000, 4},
                                         Place{0x2000000, (1ULL << 30) - 0x200000, 5},
                                         Place{0ULL - 0x1000000, 0x200000, 4},  // at 0
                                         Place{0x10000000 - 0x2200000, 0, 5}));

TEST(Attach, TwoKernelsThatBothPassAreNoAnswer) {
  Target target;
  target.load(0, 0x200000);
  target.load(0x4000000, 0x600000);
  EXPECT_TRUE(has(target.expect_mismatch(), "two places"));
}

TEST(Attach, ABannerAloneIsNoKernel) {
  Target target;
  target.channel.physical.put_text(kBanner - kMap, target.info.banner());
  target.load(0x4000000, 0x600000);
  target.expect_found(kRootTable - kMap + 0x4000000, 0x600000);
}

TEST(Attach, ATableThatMapsTheBannerTwiceIsNoAnswer) {
  Target target;
  target.load(0, 0x200000);
  target.channel.map((kRootTable - kMap) >> 12, 4, kBanner + 0x400000, kBanner - kMap, 128);
  target.expect_mismatch();
}

TEST(Attach, UnknownImageNamesBothSides) {
  Target target;
  target.load(0, 0x200000);
  target.candidates = {&target.other};
  const auto text = target.expect_mismatch();
  EXPECT_TRUE(has(text, "Linux version 6.1.0-fake")) << text;
  EXPECT_TRUE(has(text, "6.2.0-other")) << text;
}

TEST(Attach, NothingThereAndNoProfiles) {
  Target target;
  target.candidates.clear();
  EXPECT_TRUE(has(target.expect_mismatch(), "profiles: none"));
}

TEST(Attach, TheTargetDoesNotDecideHowFarIsSearched) {
  Target target;
  target.channel.max_exchanges = 600;  // of 944 places each, 2 MiB apart: a little over 1 TiB
  const auto found = find_load_deltas(target.channel, {}, target.info, UINT64_MAX >> 12, {});
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_TRUE(found->empty());
  EXPECT_GT(target.channel.exchanges, 500U);
}

TEST(Attach, RefusalsOfTheAgent) {
  for (const std::uint16_t status :
       {SEVMON_ANSWER_BAD_REQUEST, SEVMON_ANSWER_NO_DOMAIN, SEVMON_ANSWER_NO_ROOT, 99}) {
    Target target;
    target.channel.answer_status = status;
    const auto kernel = target.attach();
    ASSERT_FALSE(kernel);
    EXPECT_EQ(kernel.error().code, ErrorCode::kRefused);
  }
}

TEST(Attach, EachMissingSymbolIsNamed) {
  for (const char* symbol : {"linux_banner", "init_top_pgt", "startup_xen"}) {
    Target target;
    target.load_pv(0x70000);
    target.info.symbols_.erase(symbol);
    const auto kernel = target.attach();
    ASSERT_FALSE(kernel);
    EXPECT_EQ(kernel.error().code, ErrorCode::kNotFound);
    EXPECT_TRUE(has(kernel.error().detail, symbol)) << kernel.error().detail;
  }
}

}  // namespace
}  // namespace sevmon::ids
