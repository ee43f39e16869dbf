// SPDX-License-Identifier: Apache-2.0
#include "dump/chunk_reader.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <thread>

namespace sevmon::ids::test {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

/// A target whose pages hold their own numbers. Answers come in any order.
class NumberedPages final : public Channel {
 public:
  std::function<bool(std::uint64_t frame, bool probe)> has = [](auto, bool) { return true; };
  std::map<std::uint64_t, std::uint16_t> statuses;  // other than there, or not
  std::uint16_t answer_status = SEVMON_ANSWER_OK;
  std::size_t requests = 0, most_under_way = 0;

  Result<std::vector<Response>> exchange(std::span<const Request>) override {
    return Error{ErrorCode::kInternal, "not used"};
  }
  Result<void> stream(RequestStream& stream) override {
    std::vector<std::pair<std::size_t, Request>> under_way;
    const auto before = requests;
    bool is_over = false;
    while (!is_over || !under_way.empty()) {
      while (!is_over && under_way.size() < 16) {
        Request request;
        const auto next = stream.next(request, under_way.empty());
        is_over = next == RequestStream::Next::kEnd;
        if (next != RequestStream::Next::kRequest) break;
        under_way.emplace_back(requests++ - before, std::move(request));
      }
      most_under_way = std::max(most_under_way, under_way.size());
      if (under_way.empty()) continue;
      std::swap(under_way[random_() % under_way.size()], under_way.back());
      const auto [index, request] = std::move(under_way.back());
      under_way.pop_back();
      if (auto ok = stream.take(index, answer(request)); !ok) return ok;
    }
    return {};
  }
  std::uint8_t size_class() const override { return SEVMON_CLASS_15_PAGES; }
  ChannelStats stats() const override { return {}; }
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const override { return {}; }
  std::string describe() const override { return "numbered"; }

 private:
  Response answer(const Request& request) {
    Response response;
    response.head.status = answer_status;
    response.head.time_ns = ++time_ns_;
    if (answer_status != SEVMON_ANSWER_OK) return response;
    EXPECT_LE(request.items.size(), std::size_t{SEVMON_MAX_ITEMS});
    std::size_t bytes = 0;
    for (const auto& item : request.items) bytes += item.bytes;
    EXPECT_LE(bytes, 15 * 4096u);
    response.body.assign(bytes, std::byte{0});
    std::size_t at = 0;
    for (const auto& item : request.items) {
      EXPECT_EQ(item.type, SEVMON_ITEM_READ_PHYSICAL);
      const auto frame = item.address / 4096;
      auto status = has(frame, item.bytes != 4096) ? SEVMON_STATUS_OK : SEVMON_STATUS_NO_FRAME;
      if (statuses.contains(frame)) status = statuses[frame];
      const auto place = std::span{response.body}.subspan(at, item.bytes);
      if (status == SEVMON_STATUS_OK) std::memcpy(place.data(), &frame, sizeof(frame));
      response.items.push_back({static_cast<std::uint16_t>(status), 0, place});
      at += item.bytes;
    }
    return response;
  }

  std::mt19937 random_{4};
  std::uint64_t time_ns_ = 0;
};

struct Taken {
  FrameRuns asked, present;
  std::uint64_t last_ns = 0;

  Result<void> take(const Chunk& chunk) {
    EXPECT_EQ((chunk.frames.first + chunk.frames.count - 1) / kChunkFrames,
              chunk.frames.first / kChunkFrames);
    asked.append(chunk.frames);
    EXPECT_GT(chunk.first_ns, 0u);
    EXPECT_LE(chunk.first_ns, chunk.last_ns);
    last_ns = std::max(last_ns, chunk.last_ns);
    for (const auto& run : chunk.present) {
      present.append(run);
      const auto bytes = chunk.bytes_of(run);
      for (std::uint64_t i = 0; i < run.count; ++i) {
        std::uint64_t number = 0;
        std::memcpy(&number, bytes.data() + i * 4096, sizeof(number));
        if (number != run.first + i) ADD_FAILURE() << number << " at " << run.first + i;
      }
    }
    return {};
  }
};

class ChunkReaderTest : public ::testing::Test {
 protected:
  Result<void> read(std::vector<FrameRun> runs) {
    return read_chunks(channel_, {}, merge(std::move(runs)), stop_,
                       [this](const Chunk& chunk) { return take_(chunk); });
  }
  std::uint64_t expected(std::uint64_t end) const {
    std::uint64_t count = 0;
    for (std::uint64_t frame = 0; frame < end; ++frame) count += channel_.has(frame, false);
    return count;
  }

  NumberedPages channel_;
  std::atomic<bool> stop_{false};
  Taken taken_;
  TakeChunk take_ = [this](const Chunk& chunk) { return taken_.take(chunk); };
};

TEST_F(ChunkReaderTest, AllOfItInOrder) {
  ASSERT_TRUE(read({{3, 3 * kChunkFrames + 100}}));
  EXPECT_EQ(taken_.present.runs().size(), 1u);
  EXPECT_EQ(taken_.present.runs()[0], (FrameRun{3, 3 * kChunkFrames + 100}));
  EXPECT_EQ(channel_.most_under_way, 16u);
}

TEST_F(ChunkReaderTest, HolesOfAllSorts) {
  channel_.has = [](std::uint64_t frame, bool) {
    const auto chunk = frame / kChunkFrames;
    return chunk == 0 ? frame % 3 != 0 : chunk < 2 || (chunk >= 5 && frame % 100 == 7);
  };
  const auto end = 8 * kChunkFrames - 9;
  ASSERT_TRUE(read({{0, end}}));
  EXPECT_EQ(taken_.asked.frames(), end);
  EXPECT_EQ(taken_.present.frames(), expected(end));
}

TEST_F(ChunkReaderTest, BehindAnEmptyChunkFramesAreAskedForByAFewBytes) {
  channel_.has = [](auto, bool) { return false; };
  ASSERT_TRUE(read({{0, 64 * kChunkFrames}}));
  EXPECT_EQ(taken_.present.frames(), 0u);
  // Those that are begun before the first is known to be empty take 15 a request.
  EXPECT_LT(channel_.requests, 64 * kChunkFrames / 59 + 4 * kChunkFrames / 15);
}

TEST_F(ChunkReaderTest, AFrameThatGoesMeanwhileIsAHole) {
  channel_.has = [](std::uint64_t frame, bool probe) {
    return frame >= 6 * kChunkFrames && (probe || frame % 2 == 0);
  };
  const auto end = 8 * kChunkFrames;
  ASSERT_TRUE(read({{0, end}}));
  EXPECT_EQ(taken_.present.frames(), kChunkFrames);
}

TEST_F(ChunkReaderTest, OnlyTheRangesThatAreWanted) {
  ASSERT_TRUE(read({{5, 1}, {kChunkFrames - 1, 2}, {1ULL << 39, 3}}));
  EXPECT_EQ(std::vector<FrameRun>(taken_.asked.runs().begin(), taken_.asked.runs().end()),
            (std::vector<FrameRun>{{5, 1}, {kChunkFrames - 1, 2}, {1ULL << 39, 3}}));
  taken_ = {};
  ASSERT_TRUE(read({}));
  EXPECT_EQ(taken_.asked.frames(), 0u);
}

TEST_F(ChunkReaderTest, WhatIsNoAnswerAboutTheFrameIsNoHole) {
  for (std::uint16_t status = 1; status <= SEVMON_STATUS_REFUSED + 1; ++status) {
    channel_.statuses[700] = status;
    const auto done = read({{0, 1000}});
    EXPECT_EQ(done.has_value(), status == SEVMON_STATUS_NO_FRAME) << status;
    if (!done) {
      EXPECT_EQ(done.error().code, ErrorCode::kRefused);
    }
    taken_ = {};
  }
  channel_.statuses.clear();
  channel_.answer_status = SEVMON_ANSWER_NO_DOMAIN;
  EXPECT_FALSE(read({{0, 1}}));
}

TEST_F(ChunkReaderTest, ATakersErrorEndsIt) {
  unsigned taken = 0;
  take_ = [&](const Chunk&) -> Result<void> {
    if (++taken == 2) return Error{ErrorCode::kIo, "full"};
    return {};
  };
  const auto done = read({{0, 1000 * kChunkFrames}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_EQ(taken, 2u);
  EXPECT_LE(channel_.requests, (2 + kChunks) * (kChunkFrames / 15 + 1));
}

TEST_F(ChunkReaderTest, ASlowTakerHoldsRequestsBack) {
  take_ = [this](const Chunk& chunk) {
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
    return taken_.take(chunk);
  };
  ASSERT_TRUE(read({{0, 6 * kChunkFrames}}));
  EXPECT_EQ(taken_.present.frames(), 6 * kChunkFrames);
}

TEST_F(ChunkReaderTest, StoppedWithWholeChunksOnly) {
  take_ = [this](const Chunk& chunk) {
    stop_ = true;
    return taken_.take(chunk);
  };
  ASSERT_TRUE(read({{0, 1000 * kChunkFrames}}));
  EXPECT_GE(taken_.asked.frames(), kChunkFrames);
  EXPECT_LE(taken_.asked.frames(), kChunks * kChunkFrames);
  EXPECT_EQ(taken_.asked.frames() % kChunkFrames, 0u);
}

}  // namespace
}  // namespace sevmon::ids::test
