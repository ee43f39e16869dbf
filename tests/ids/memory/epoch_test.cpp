// SPDX-License-Identifier: Apache-2.0
#include <sevmon/memory.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <thread>

#include <sevmon/codec.hpp>

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using common::Gva;

/// Answers out of a function; counts what it is asked.
class FakeChannel : public Channel {
 public:
  common::Result<std::vector<Response>> exchange(std::span<const Request> requests) override {
    ++waves;
    if (error) return *error;
    std::vector<Response> responses;
    for (const auto& request : requests) {
      last = request;
      Response response;
      response.head.status = answer_status;
      response.body.assign(SEVMON_CLASS_PAGES(size_class_) * SEVMON_PAGE_BYTES, std::byte{0});
      common::DataLayout layout{size_class_};
      for (const auto& item : request.items) {
        items.push_back(item);
        const auto out = std::span{response.body}.subspan(layout.place(item.bytes), item.bytes);
        const bool is_there = !absent.contains(item.address / SEVMON_PAGE_BYTES);
        for (std::size_t i = 0; i < out.size() && is_there; ++i) out[i] = byte_at(item.address + i);
        response.items.push_back(
            {static_cast<std::uint16_t>(is_there ? SEVMON_STATUS_OK : SEVMON_STATUS_NOT_MAPPED), 2,
             out});
      }
      if (answer_status != SEVMON_ANSWER_OK)
        response.items.assign(request.items.size(), ItemResult{});
      responses.push_back(std::move(response));
    }
    requests_sent += requests.size();
    return responses;
  }
  std::uint8_t size_class() const override { return size_class_; }
  ChannelStats stats() const override { return {}; }
  common::IdBytes boot_nonce() const override { return {}; }
  std::string describe() const override { return "fake"; }

  /// Another value at each generation, as memory that changes under the reader.
  std::byte byte_at(std::uint64_t address) const {
    return static_cast<std::byte>(address * 31 + (address >> 8) + generation);
  }

  std::uint8_t size_class_ = SEVMON_CLASS_15_PAGES;
  unsigned generation = 0;
  std::uint16_t answer_status = SEVMON_ANSWER_OK;
  std::set<std::uint64_t> absent;  // page numbers
  std::optional<common::Error> error;
  int waves = 0;
  std::size_t requests_sent = 0;
  std::vector<sevmon_item> items;
  Request last;
};

class EpochTest : public ::testing::Test {
 protected:
  std::vector<std::byte> expected(std::uint64_t address, std::size_t bytes) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i < bytes; ++i) out.push_back(channel_.byte_at(address + i));
    return out;
  }
  void expect_read(std::uint64_t address, std::uint32_t bytes) {
    const auto read = memory_->read({{address}, bytes});
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(*read, expected(address, bytes));
  }
  void expect_items(const std::vector<std::pair<std::uint64_t, unsigned>>& wanted) {
    ASSERT_EQ(channel_.items.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(channel_.items[i].type, SEVMON_ITEM_READ_VIRTUAL);
      EXPECT_EQ(channel_.items[i].address, wanted[i].first);
      EXPECT_EQ(channel_.items[i].bytes, wanted[i].second);
      EXPECT_TRUE(common::is_valid_item(channel_.items[i]));
    }
  }
  ErrorCode error_of(std::uint64_t address, std::uint32_t bytes) {
    const auto read = memory_->read({{address}, bytes});
    EXPECT_FALSE(read);
    return read ? ErrorCode::kInternal : read.error().code;
  }

  FakeChannel channel_;
  std::unique_ptr<Memory> memory_ =
      open_epoch(channel_, {3}, {.kind = Root::Kind::kFrame, .frame = {9}});
};

TEST_F(EpochTest, ReadsOnceAndThenFromTheCache) {
  expect_read(0x1234, 100);
  expect_read(0x1234, 100);
  expect_read(0x1240, 8);
  EXPECT_EQ(channel_.waves, 1);
  EXPECT_EQ(channel_.last.domain.value, 3);
  EXPECT_EQ(channel_.last.root.frame.value, 9u);
}

TEST_F(EpochTest, AsksForWholeLines) {
  expect_read(0x1234, 100);  // 0x1234..0x1297
  expect_items({{0x1200, 0xc0}});
}

TEST_F(EpochTest, OneWaveForManyRanges) {
  std::vector<Range> ranges;
  for (std::uint64_t i = 0; i < 500; ++i) ranges.push_back({{0x10000 + i * 0x1000}, 8});
  ASSERT_TRUE(memory_->fetch(ranges));
  EXPECT_EQ(channel_.waves, 1);
  EXPECT_EQ(channel_.requests_sent, (500u + SEVMON_MAX_ITEMS - 1) / SEVMON_MAX_ITEMS);
  for (const auto& range : ranges) expect_read(range.address.value, range.bytes);
  EXPECT_EQ(channel_.waves, 1);
}

TEST_F(EpochTest, MergesOverlappingAndAdjacentRanges) {
  const Range ranges[] = {{{0x2040}, 64}, {{0x2000}, 64}, {{0x2000}, 128}, {{0x2079}, 8}};
  ASSERT_TRUE(memory_->fetch(ranges));
  expect_items({{0x2000, 0xc0}});  // 0x2079 + 8 is in the third line
}

TEST_F(EpochTest, RunsThatDoNotTouchAreItemsOfTheirOwn) {
  const Range ranges[] = {{{0x2000}, 1}, {{0x2080}, 1}, {{0x2fff}, 1}};
  ASSERT_TRUE(memory_->fetch(ranges));
  expect_items({{0x2000, 64}, {0x2080, 64}, {0x2fc0, 64}});
}

TEST_F(EpochTest, ItemsEndAtPages) {
  expect_read(0x1ff0, 0x1020);
  expect_items({{0x1fc0, 64}, {0x2000, 4096}, {0x3000, 64}});
}

TEST_F(EpochTest, FetchesOnlyWhatIsMissing) {
  expect_read(0x2040, 64);
  channel_.items.clear();
  expect_read(0x2000, 192);
  expect_items({{0x2000, 64}, {0x2080, 64}});
}

TEST_F(EpochTest, WhatWasReadStaysAsItWas) {
  const auto before = expected(0x2000, 256);
  expect_read(0x2000, 64);
  expect_read(0x20c0, 64);
  channel_.generation = 7;
  const auto all = memory_->read({{0x2000}, 256});
  ASSERT_TRUE(all);
  EXPECT_TRUE(std::equal(all->begin(), all->begin() + 64, before.begin()));
  EXPECT_TRUE(std::equal(all->begin() + 192, all->end(), before.begin() + 192));
  EXPECT_EQ((*all)[64], channel_.byte_at(0x2040));  // not seen before: as it is now
}

TEST_F(EpochTest, AbsentPagesAreAskedForOnce) {
  channel_.absent = {2};
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kNotMapped);
  EXPECT_EQ(error_of(0x2f00, 8), ErrorCode::kNotMapped);
  EXPECT_EQ(channel_.waves, 1);
  channel_.absent.clear();  // it came back: not in this epoch
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kNotMapped);
  EXPECT_EQ(channel_.waves, 1);
}

TEST_F(EpochTest, LinesReadBeforeThePageWentStay) {
  expect_read(0x2000, 64);
  channel_.absent = {2};
  EXPECT_EQ(error_of(0x2000, 128), ErrorCode::kNotMapped);
  expect_read(0x2000, 64);
}

TEST_F(EpochTest, AbsentNeighbourFailsTheReadNotTheFetch) {
  channel_.absent = {3};
  const Range ranges[] = {{{0x2ff0}, 64}, {{0x5000}, 8}};
  ASSERT_TRUE(memory_->fetch(ranges));
  const auto read = memory_->read({{0x2ff0}, 64});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(), "not mapped: 0x0000000000003000: not mapped at level 2");
  expect_read(0x2ff0, 16);
  expect_read(0x5000, 8);
  EXPECT_EQ(channel_.waves, 1);
}

TEST_F(EpochTest, Bounds) {
  EXPECT_TRUE(memory_->read({{0x2000}, 0})->empty());
  EXPECT_EQ(channel_.waves, 0);
  EXPECT_EQ(error_of(0, 16 * 1024 * 1024 + 1), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(UINT64_MAX - 6, 8), ErrorCode::kNotMapped);
  EXPECT_EQ(channel_.waves, 0);
  const Range ranges[] = {{{UINT64_MAX - 6}, 8}, {{0}, UINT32_MAX}};
  EXPECT_TRUE(memory_->fetch(ranges));
  EXPECT_EQ(channel_.waves, 0);
  expect_read(UINT64_MAX - 7, 8);
}

TEST_F(EpochTest, SixteenMebibytes) {
  for (const std::uint8_t size_class : {0, 1, 2}) {
    channel_.size_class_ = size_class;
    channel_.requests_sent = 0;
    ASSERT_TRUE(open_epoch(channel_, {}, {})->read({{0x1000}, 1 << 20}));
    const auto pages = SEVMON_CLASS_PAGES(size_class);
    EXPECT_EQ(channel_.requests_sent, (256 + pages - 1) / pages);
  }
  EXPECT_EQ(memory_->read({{0x1001}, 16 << 20})->size(), 16u << 20);
}

TEST_F(EpochTest, Integers) {
  for (const std::uint32_t bytes : {1, 2, 4, 8}) {
    const auto raw = expected(0x2ffd, bytes);  // across two pages
    std::uint64_t value = 0;
    for (std::uint32_t i = 0; i < bytes; ++i)
      value |= std::to_integer<std::uint64_t>(raw[i]) << (8 * i);
    EXPECT_EQ(memory_->read_uint({0x2ffd}, bytes).value_or(~value), value);
  }
  for (const std::uint32_t bytes : {0, 3, 5, 9, 16})
    EXPECT_EQ(memory_->read_uint({0x2000}, bytes).error().code, ErrorCode::kUsage);
}

TEST_F(EpochTest, StringsEndAtTheirNul) {
  // byte_at() is zero where address * 31 + (address >> 8) is a multiple of 256.
  std::uint64_t end = 0x2000;
  while (channel_.byte_at(end) != std::byte{0}) ++end;
  const auto text = memory_->read_string({0x2000}, 4096);
  ASSERT_TRUE(text);
  EXPECT_EQ(text->size(), end - 0x2000);
  EXPECT_EQ(memory_->read_string({0x2000}, static_cast<std::uint32_t>(end - 0x2000)).error().code,
            ErrorCode::kTorn);
  EXPECT_EQ(memory_->read_string({0x2000}, 0).error().code, ErrorCode::kTorn);
  EXPECT_EQ(memory_->read_string({end}, 1).value_or("x"), "");
}

TEST_F(EpochTest, StringMayEndBeforeAnAbsentPage) {
  std::uint64_t end = 0x2fff;
  while (channel_.byte_at(end) != std::byte{0}) --end;
  channel_.absent = {3};
  EXPECT_EQ(memory_->read_string({end - 5}, 4096)->size(), 5u);
  EXPECT_EQ(memory_->read_string({end + 1}, 4096).error().code, ErrorCode::kNotMapped);
}

TEST_F(EpochTest, ErrorsOfTheChannelAreNotRemembered) {
  channel_.error = common::Error{ErrorCode::kTimeout, "late"};
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kTimeout);
  channel_.error.reset();
  expect_read(0x2000, 8);
}

TEST_F(EpochTest, RefusedAnswersAreErrors) {
  channel_.answer_status = SEVMON_ANSWER_NO_DOMAIN;
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kNotFound);
  channel_.answer_status = SEVMON_ANSWER_NO_ROOT;
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kNotFound);
  channel_.answer_status = SEVMON_ANSWER_BAD_REQUEST;
  EXPECT_EQ(error_of(0x2000, 8), ErrorCode::kInternal);
}

TEST_F(EpochTest, ThreadsSeeOneState) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (std::uint64_t page = 0; page < 50; ++page)
        EXPECT_TRUE(memory_->read({{page * 0x1000 + 0x800}, 0x1000}));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_LE(channel_.waves, 51);
}

TEST(Pack, RespectsBothLimits) {
  const sevmon_item line{SEVMON_ITEM_READ_VIRTUAL, 0, 1, 0, 0x1000};
  const sevmon_item page{SEVMON_ITEM_READ_VIRTUAL, 0, 4096, 0, 0x1000};
  const auto sizes = [](const std::vector<Request>& requests) {
    std::vector<std::size_t> sizes;
    for (const auto& request : requests) sizes.push_back(request.items.size());
    return sizes;
  };
  using Sizes = std::vector<std::size_t>;
  EXPECT_EQ(sizes(pack({}, {}, {}, 0)), Sizes{});
  EXPECT_EQ(sizes(pack({}, {}, std::vector(60, line), 0)), (Sizes{59, 1}));
  EXPECT_EQ(sizes(pack({}, {}, std::vector(31, page), 2)), (Sizes{15, 15, 1}));
  EXPECT_EQ(sizes(pack({}, {}, std::vector{line, page, line}, 0)), (Sizes{1, 1, 1}));
  EXPECT_EQ(sizes(pack({}, {}, std::vector{page, line}, 1)), (Sizes{2}));
}

TEST(Pack, EveryRequestCanBeEncoded) {
  std::vector<sevmon_item> items;
  for (unsigned i = 0; i < 3000; ++i)
    items.push_back(
        {SEVMON_ITEM_READ_VIRTUAL, 0, static_cast<std::uint16_t>(1 + i * 37 % 4096), 0, 0x1000});
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    std::size_t seen = 0;
    for (const auto& request : pack({}, {}, items, size_class)) {
      EXPECT_TRUE(common::make_request({}, request.items, size_class));
      seen += request.items.size();
    }
    EXPECT_EQ(seen, items.size());
  }
}

// A target that makes up structures without end gets no more memory of ours than this.
TEST_F(EpochTest, KeepsNoMoreThanItsBound) {
  constexpr std::uint64_t kPages = (1ULL << 18) + 1;
  std::vector<Range> ranges;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    channel_.absent.insert(page);  // counts like any other, and needs no memory here
    ranges.push_back({{page * SEVMON_PAGE_BYTES}, 8});
  }
  const auto fetched = memory_->fetch(ranges);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, ErrorCode::kTooLarge);
}

// Answers are 62 KB each: not all of a great wave's are held at once.
TEST_F(EpochTest, SplitsAGreatWave) {
  std::vector<Range> ranges;
  for (std::uint64_t page = 0; page < 257 * SEVMON_MAX_ITEMS; ++page)
    ranges.push_back({{page * SEVMON_PAGE_BYTES}, 8});
  ASSERT_TRUE(memory_->fetch(ranges));
  EXPECT_EQ(channel_.requests_sent, 257u);
  EXPECT_EQ(channel_.waves, 2);
  expect_read(256 * SEVMON_MAX_ITEMS * SEVMON_PAGE_BYTES, 8);
  EXPECT_EQ(channel_.waves, 2);
}

}  // namespace
}  // namespace sevmon::ids
