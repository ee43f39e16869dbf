// SPDX-License-Identifier: Apache-2.0
#include "profile/vmlinuz.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "fake_kernel.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using fake::Bytes;

/// Begins as an ELF file, then text with x86 calls (for BCJ) and some noise, again and again.
Bytes make_vmlinux(std::size_t bytes) {
  Bytes out = fake::to_bytes(
      "\x7f"
      "ELF");
  std::uint32_t noise = 1;
  while (out.size() < std::min<std::size_t>(bytes, 1 << 16)) {
    noise = noise * 1664525 + 1013904223;
    fake::append_le(out, 0xe8, 1);
    fake::append_le(out, noise >> 28, 4);
    if (noise >> 30 == 0) fake::append_le(out, noise >> 8, 3);
  }
  while (out.size() < bytes) {
    const Bytes again = out;
    fake::append(out, again);
  }
  out.resize(bytes);
  return out;
}

class EveryCompression : public testing::TestWithParam<Compression> {};

TEST_P(EveryCompression, IsUnpacked) {
  // Over a block of LZ4 (8 MiB) and many of LZO; with what objcopy leaves behind the ELF file.
  const Bytes vmlinux = make_vmlinux((8 << 20) + 123);
  const auto out = extract_vmlinux(fake::encode_bzimage(GetParam(), vmlinux));
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_TRUE(*out == vmlinux);
}

TEST_P(EveryCompression, EveryTruncationIsRefused) {
  const Bytes image = fake::encode_bzimage(GetParam(), make_vmlinux(300));
  const std::size_t payload_end = image.size() - 100;
  for (std::size_t length = 0; length < payload_end; ++length) {
    const auto out = extract_vmlinux(std::span{image}.first(length));
    ASSERT_FALSE(out) << length;
    EXPECT_EQ(out.error().code, ErrorCode::kTruncated) << length << out.error().message();
  }
  EXPECT_TRUE(extract_vmlinux(std::span{image}.first(payload_end)));
}

TEST_P(EveryCompression, AShortenedStreamIsRefused) {
  if (GetParam() == Compression::kNone) GTEST_SKIP() << "no stream";
  const Bytes vmlinux = make_vmlinux(300);
  const Bytes image = fake::encode_bzimage(GetParam(), vmlinux);
  const std::size_t payload_bytes = image.size() - 100 - fake::kFakePayloadAt;
  for (std::size_t length = 0; length < payload_bytes; ++length) {
    Bytes cut = image;
    fake::store_le(cut, 0x24c, length, 4);
    EXPECT_FALSE(extract_vmlinux(cut)) << length;
  }
}

TEST_P(EveryCompression, AFlippedBitChangesNothingUnseen) {
  if (GetParam() == Compression::kNone) GTEST_SKIP() << "no check";
  const Bytes vmlinux = make_vmlinux(300);
  const Bytes image = fake::encode_bzimage(GetParam(), vmlinux);
  std::size_t refused = 0, total = 0;
  for (std::size_t at = fake::kFakePayloadAt; at < image.size() - 100; ++at, ++total) {
    Bytes flipped = image;
    flipped[at] ^= std::byte{0x10};
    const auto out = extract_vmlinux(flipped);
    refused += !out;
    // LZMA alone, LZ4's legacy format and zstd's default have no checksum; the others must notice.
    const bool has_checksum = GetParam() != Compression::kLzma && GetParam() != Compression::kLz4 &&
                              GetParam() != Compression::kZstd;
    EXPECT_TRUE(!has_checksum || !out || *out == vmlinux) << at;
  }
  EXPECT_GT(refused, total / 20);
}

TEST_P(EveryCompression, LimitIsExact) {
  const Bytes vmlinux = make_vmlinux(5000);
  const Bytes image = fake::encode_bzimage(GetParam(), vmlinux);
  EXPECT_TRUE(extract_vmlinux(image, 5000));
  const auto over = extract_vmlinux(image, 4999);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kTooLarge) << over.error().message();
}

TEST_P(EveryCompression, SizeWordMustAgree) {
  if (GetParam() == Compression::kNone) GTEST_SKIP() << "no size word";
  Bytes image = fake::encode_bzimage(GetParam(), make_vmlinux(5000));
  image[image.size() - 100 - 4] ^= std::byte{1};
  const auto out = extract_vmlinux(image);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::kMalformed);
}

TEST_P(EveryCompression, PayloadMustBeElf) {
  const auto out = extract_vmlinux(fake::encode_bzimage(GetParam(), fake::to_bytes("no kernel")));
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code,
            GetParam() == Compression::kNone ? ErrorCode::kUnsupported : ErrorCode::kMalformed);
}

INSTANTIATE_TEST_SUITE_P(Vmlinuz, EveryCompression,
                         testing::Values(Compression::kNone, Compression::kGzip,
                                         Compression::kBzip2, Compression::kLzma, Compression::kXz,
                                         Compression::kLzo, Compression::kLz4, Compression::kZstd),
                         [](const auto& info) { return std::string{name(info.param)}; });

TEST(Vmlinuz, PlainElfIsItself) {
  const Bytes vmlinux = make_vmlinux(5000);
  const auto out = extract_vmlinux(vmlinux);
  ASSERT_TRUE(out);
  EXPECT_TRUE(*out == vmlinux);
}

struct BadHeader {
  const char* what;
  std::size_t offset;
  std::uint64_t value;
  std::size_t bytes;
  ErrorCode code;
};

TEST(Vmlinuz, BadHeadersAreRefused) {
  const Bytes image = fake::encode_bzimage(Compression::kGzip, make_vmlinux(5000));
  for (const BadHeader& bad : {
           BadHeader{"boot flag", 0x1fe, 0xaa54, 2, ErrorCode::kUnsupported},
           BadHeader{"HdrS", 0x202, 0x53726449, 4, ErrorCode::kUnsupported},
           BadHeader{"protocol 2.07", 0x206, 0x0207, 2, ErrorCode::kUnsupported},
           BadHeader{"payload offset", 0x248, 0xffffffff, 4, ErrorCode::kTruncated},
           BadHeader{"payload length", 0x24c, 0xffffffff, 4, ErrorCode::kTruncated},
           BadHeader{"setup_sects", 0x1f1, 255, 1, ErrorCode::kTruncated},
           BadHeader{"payload elsewhere", 0x248, 63, 4, ErrorCode::kUnsupported},
       }) {
    Bytes changed = image;
    fake::store_le(changed, bad.offset, bad.value, bad.bytes);
    const auto out = extract_vmlinux(changed);
    ASSERT_FALSE(out) << bad.what;
    EXPECT_EQ(out.error().code, bad.code) << bad.what << ": " << out.error().message();
  }
}

TEST(Vmlinuz, NoSetupSectorsMeansFour) {
  Bytes image = fake::encode_bzimage(Compression::kGzip, make_vmlinux(5000));
  fake::store_le(image, 0x1f1, 0, 1);
  EXPECT_TRUE(extract_vmlinux(image));
}

}  // namespace
}  // namespace sevmon::ids
