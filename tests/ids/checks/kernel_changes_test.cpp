// SPDX-License-Identifier: Apache-2.0
//
// Copies of a kernel's text, and what of it has changed: the program runs in the agent's own code.
#include <sevmon/kernel_copy.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "ids/channel/hostile_wire.hpp"
#include "ids/linux/fake_kernel.hpp"
#include "profile/profile_file.hpp"
#include "support/program_client.hpp"

namespace sevmon::ids::test {
namespace {

using common::DomId;
using common::ErrorCode;
using common::Gva;

constexpr std::uint64_t kText = 0xffffffff81000000, kConstants = 0xffffffff81200000;
constexpr std::uint64_t kSlide = 0x6000000;
constexpr std::size_t kTextPages = 5, kConstantPages = 3, kPage = SEVMON_PAGE_BYTES;
constexpr DomId kDomain{SEVMON_DOMID_DOM0};

class KernelText : public ::testing::Test, public Responder {
 protected:
  KernelText() {
    info_.symbols_ = {{"_text", kText},
                      {"_etext", kText + kTextPages * kPage - 100},
                      {"__start_rodata", kConstants},
                      {"__end_rodata", kConstants + kConstantPages * kPage}};
    info_.sha256_.fill(7);
    for (std::size_t page = 0; page < kTextPages; ++page) write(kText + page * kPage, page);
    for (std::size_t page = 0; page < kConstantPages; ++page)
      write(kConstants + page * kPage, 100 + page);
    const auto file = tests::key_file({tests::test_key()});
    channel_ = *Channel::open(std::make_unique<HostileWire>(*this, attack_),
                              *Key::parse(std::as_bytes(std::span{file})), {});
  }

  std::optional<Bytes> answer(std::span<const std::byte> frame) override {
    auto answer = agent_.frame(as_u8(frame), *work_);
    while (answer.rc == -ERESTART) answer = agent_.go_on(sevmon_work_token(work_.get()), *work_);
    if (answer.rc <= 0) return std::nullopt;
    ++answers_;
    const auto bytes = std::as_bytes(std::span{answer.frame});
    return Bytes{bytes.begin(), bytes.end()};
  }

  /// A page of its own, as linked.
  void write(std::uint64_t address, std::size_t seed) {
    pages_[address].resize(kPage);
    for (std::size_t i = 0; i < kPage; ++i)
      pages_[address][i] = static_cast<std::uint8_t>(seed * 31 + i * 7 + (i >> 8));
    host_.guest.map(address + kSlide, pages_[address]);
  }
  void patch(std::uint64_t address, std::initializer_list<std::uint8_t> bytes) {
    auto& page = pages_.at(address & ~(kPage - 1));
    std::ranges::copy(bytes, page.begin() + static_cast<std::ptrdiff_t>(address % kPage));
    host_.guest.map((address & ~(kPage - 1)) + kSlide, page);
  }

  KernelCopy take() {
    auto copy = KernelCopy::take(*channel_, kDomain, kernel_);
    EXPECT_TRUE(copy) << copy.error().message();
    return *std::move(copy);
  }
  KernelChanges find(const KernelCopy& copy) {
    auto found = find_kernel_changes(*channel_, kDomain, kernel_, copy);
    EXPECT_TRUE(found) << found.error().message();
    return *std::move(found);
  }

  tests::FakeHost host_;
  tests::FakeAgent agent_{host_};
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
  std::map<std::uint64_t, tests::Bytes> pages_;
  std::size_t answers_ = 0;
  Attack attack_;
  std::unique_ptr<Channel> channel_;
  FakeInfo info_;
  Kernel kernel_{
      info_, {.kind = Root::Kind::kFrame, .frame = {host_.guest.root()}, .levels = 4}, kSlide, [] {
        return std::unique_ptr<Memory>{};
      }};
};

TEST_F(KernelText, IsCopiedWhole) {
  const auto copy = take();
  ASSERT_EQ(copy.parts().size(), 2u);
  EXPECT_EQ(copy.parts()[0].address, Gva{kText}) << "as linked";
  EXPECT_EQ(copy.parts()[0].pages(), kTextPages);
  EXPECT_EQ(copy.parts()[1].address, Gva{kConstants});
  EXPECT_EQ(copy.parts()[1].pages(), kConstantPages);
  EXPECT_EQ(copy.pages(), kTextPages + kConstantPages);
  const auto third = std::span{copy.parts()[0].bytes}.subspan(2 * kPage, kPage);
  EXPECT_TRUE(std::ranges::equal(third, std::as_bytes(std::span{pages_[kText + 2 * kPage]})));
  EXPECT_EQ(copy.origin().file_sha256, info_.sha256_);
  EXPECT_EQ(copy.origin().boot_nonce, channel_->boot_nonce());
  EXPECT_EQ(copy.origin().slide_bytes, kSlide);
  EXPECT_NE(copy.origin().time_ns, 0u);
}

TEST_F(KernelText, ThatCannotBeReadIsNotCopied) {
  host_.guest.entry(kText + kSlide + 3 * kPage, 1) = 0;
  const auto copy = KernelCopy::take(*channel_, kDomain, kernel_);
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code, ErrorCode::kNotMapped);
  EXPECT_NE(copy.error().detail.find("0xffffffff87003000"), std::string::npos);
  info_.symbols_.erase("_etext");
  EXPECT_EQ(KernelCopy::take(*channel_, kDomain, kernel_).error().code, ErrorCode::kNotFound);
}

TEST_F(KernelText, ThatIsAsItWasHasNoChanges) {
  const auto copy = take();
  const auto first = find(copy);
  EXPECT_TRUE(first.changes.empty());
  EXPECT_TRUE(first.complete);
  EXPECT_EQ(first.pages, kTextPages + kConstantPages);
  EXPECT_EQ(first.differing, 0u);
  EXPECT_EQ(first.digest_round_trips, 2u) << "one for each part";
  EXPECT_GT(first.loading_round_trips, 0u);
  const auto before = answers_;
  EXPECT_EQ(find(copy).loading_round_trips, 0u);
  EXPECT_EQ(answers_ - before, 2u) << "and nothing else was asked";
}

TEST_F(KernelText, ThatChangedIsFoundToTheByte) {
  const auto copy = take();
  const auto was = pages_.at(kText + kPage)[0x123];
  patch(kText + kPage + 0x123, {static_cast<std::uint8_t>(was ^ 0x10)});
  patch(kConstants + 0xff8, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto found = find(copy);
  EXPECT_EQ(found.differing, 2u);
  ASSERT_EQ(found.changes.size(), 2u);
  EXPECT_EQ(found.changes[0].address, Gva{kText + kSlide + kPage + 0x123});
  EXPECT_EQ(found.changes[0].bytes, 1u);
  EXPECT_EQ(found.changes[0].expected, std::vector{static_cast<std::byte>(was)});
  EXPECT_EQ(found.changes[0].found, std::vector{static_cast<std::byte>(was ^ 0x10)});
  EXPECT_FALSE(found.changes[0].passed);
  EXPECT_EQ(found.changes[1].address, Gva{kConstants + kSlide + 0xff8});
  EXPECT_TRUE(found.complete);
}

TEST_F(KernelText, ChangesFarApartAreTwo) {
  const auto copy = take();
  auto& page = pages_.at(kText);
  patch(kText + 10, {static_cast<std::uint8_t>(~page[10])});
  patch(kText + 20, {static_cast<std::uint8_t>(~page[20])});
  patch(kText + 200, {static_cast<std::uint8_t>(~page[200])});
  const auto found = find(copy);
  ASSERT_EQ(found.changes.size(), 2u);
  EXPECT_EQ(found.changes[0].bytes, 11u);
  EXPECT_EQ(found.changes[1].address, Gva{kText + kSlide + 200});
}

TEST_F(KernelText, MoreChangesThanAreListedAreNotComplete) {
  const auto copy = take();
  for (std::size_t i = 0; i < 20; ++i)
    patch(kText + i * 200, {static_cast<std::uint8_t>(~pages_.at(kText)[i * 200])});
  const auto found = find_kernel_changes(*channel_, kDomain, kernel_, copy, {.max_changes = 3});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->changes.size(), 3u);
  EXPECT_FALSE(found->complete);
  EXPECT_EQ(found->notes.size(), 1u);
}

TEST_F(KernelText, ThatIsPutBackBeforeItIsReadIsFoundToo) {
  const auto copy = take();
  find(copy);  // loads the program
  const auto right = pages_.at(kText);
  patch(kText + 8, {1, 2, 3});
  // The digests are an answer; then comes the request that reads.
  answers_ = 0;
  attack_.on_answer = [&](const Delivery& delivery, std::deque<Delivery>& out) {
    if (answers_ == 2) host_.guest.map(kText + kSlide, right);
    out.push_back(delivery);
  };
  const auto found = find(copy);
  ASSERT_EQ(found.changes.size(), 1u);
  EXPECT_TRUE(found.changes[0].passed);
  EXPECT_EQ(found.changes[0].address, Gva{kText + kSlide});
}

TEST_F(KernelText, ThatCannotBeReadIsNotClean) {
  const auto copy = take();
  host_.guest.entry(kText + kSlide + kPage, 1) = 0;
  const auto found = find(copy);
  EXPECT_FALSE(found.complete);
  ASSERT_EQ(found.unreadable.size(), 1u);
  EXPECT_EQ(found.unreadable[0], Gva{kText + kSlide + kPage});
}

TEST_F(KernelText, OfAnotherKernelIsNotCompared) {
  const auto copy = take();
  info_.sha256_[0] ^= 1;
  EXPECT_EQ(find_kernel_changes(*channel_, kDomain, kernel_, copy).error().code,
            ErrorCode::kMismatch);
  info_.sha256_[0] ^= 1;
  const Kernel moved{info_, kernel_.root(), kSlide + 0x200000,
                     [] { return std::unique_ptr<Memory>{}; }};
  EXPECT_EQ(find_kernel_changes(*channel_, kDomain, moved, copy).error().code,
            ErrorCode::kMismatch);
}

// ---- The file ----

class KernelCopyFile : public KernelText {
 protected:
  std::vector<std::byte> file_ = take().encode();

  static void seal(std::vector<std::byte>& file) {
    file.resize(file.size() - 32);
    const auto digest = sha256(file);
    const auto bytes = std::as_bytes(std::span{digest});
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  template <typename T>
  ErrorCode after(std::size_t at, T value) {
    auto file = file_;
    std::memcpy(file.data() + at, &value, sizeof(value));
    seal(file);
    const auto copy = KernelCopy::decode(file);
    EXPECT_FALSE(copy) << at;
    return copy ? ErrorCode::kInternal : copy.error().code;
  }
};

constexpr std::size_t kPartsAt = 8 + 4 + 4 + 32 + 16 + 8 + 8;

TEST_F(KernelCopyFile, ComesBackAsItWas) {
  const auto copy = KernelCopy::decode(file_);
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_EQ(copy->encode(), file_);
  EXPECT_TRUE(find(*copy).complete);
}

TEST_F(KernelCopyFile, CutAnywhereOrDamagedIsRefused) {
  for (std::size_t size = 0; size < file_.size(); size += size < 300 ? 1 : 997)
    EXPECT_FALSE(KernelCopy::decode(std::span{file_}.first(size))) << size;
  for (std::size_t at = 0; at < file_.size(); at += at < 300 ? 1 : 1009) {
    auto file = file_;
    file[at] ^= std::byte{1};
    EXPECT_FALSE(KernelCopy::decode(file)) << at;
  }
  auto longer = file_;
  longer.insert(longer.end() - 32, std::byte{0});
  seal(longer);
  EXPECT_EQ(KernelCopy::decode(longer).error().code, ErrorCode::kMalformed) << "bytes behind it";
}

TEST_F(KernelCopyFile, WithNumbersThatCannotBeIsRefused) {
  EXPECT_EQ(after<std::uint32_t>(8, 2), ErrorCode::kUnsupported);
  for (const std::uint32_t parts : {0U, 5U, ~0U})
    EXPECT_EQ(after(12, parts), ErrorCode::kMalformed) << parts;
  EXPECT_EQ(after<std::uint32_t>(12, 1), ErrorCode::kMalformed) << "bytes of no part";
  EXPECT_EQ(after<std::uint64_t>(kPartsAt, kText + 1), ErrorCode::kMalformed);
  EXPECT_EQ(after<std::uint64_t>(kPartsAt + 8, 0), ErrorCode::kMalformed);
  EXPECT_EQ(after<std::uint64_t>(kPartsAt + 8, kTextPages + 1), ErrorCode::kTruncated);
  EXPECT_EQ(after<std::uint64_t>(kPartsAt + 8, (1 << 15) + 1), ErrorCode::kTooLarge);
  EXPECT_EQ(after<std::uint64_t>(kPartsAt + 8, ~0ULL), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace sevmon::ids::test
