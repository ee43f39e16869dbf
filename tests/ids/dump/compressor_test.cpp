// SPDX-License-Identifier: Apache-2.0
#include "dump/compressor.hpp"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

namespace sevmon::ids::test {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t count) {
  std::mt19937 random{2};
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// All frames of `file`, as zstd(1) does it.
Bytes decompress(const Bytes& file) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx};
  Bytes bytes;
  Bytes part(100'000);
  ZSTD_inBuffer in{file.data(), file.size(), 0};
  std::size_t left = 0;
  while (in.pos < in.size) {
    ZSTD_outBuffer out{part.data(), part.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    EXPECT_FALSE(ZSTD_isError(left)) << ZSTD_getErrorName(left);
    if (ZSTD_isError(left)) return {};
    bytes.insert(bytes.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(out.pos));
  }
  EXPECT_EQ(left, 0u);
  return bytes;
}

TEST(Compressor, FramesAreWholeEachByItself) {
  Compressor compressor;
  Bytes file, all;
  for (const std::size_t count : {1u, 4096u, 1'000'000u}) {
    const auto bytes = random_bytes(count);
    const auto frame = compressor.compress(bytes);
    ASSERT_TRUE(frame);
    EXPECT_EQ(decompress({frame->begin(), frame->end()}), bytes);
    file.insert(file.end(), frame->begin(), frame->end());
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  EXPECT_EQ(decompress(file), all);
}

TEST(Compressor, WhatIsWrittenLastFillsItsRoomExactly) {
  constexpr std::size_t kBytes = 1 << 20;
  Compressor compressor;
  const auto behind = random_bytes(5000);
  const auto frame = compressor.compress(behind);
  ASSERT_TRUE(frame);
  const Bytes tail{frame->begin(), frame->end()};
  for (const std::size_t count : {0ul, 100ul, kBytes / 2, kBytes}) {
    const auto head = random_bytes(count);
    const auto begin = compressor.fill(head, kBytes);
    ASSERT_TRUE(begin);
    ASSERT_LE(begin->size(), Compressor::room(kBytes));
    auto file = *begin;
    file.resize(Compressor::room(kBytes));
    file.insert(file.end(), tail.begin(), tail.end());
    auto expected = head;
    expected.resize(kBytes);
    expected.insert(expected.end(), behind.begin(), behind.end());
    EXPECT_EQ(decompress(file), expected) << count;
  }
}

}  // namespace
}  // namespace sevmon::ids::test
