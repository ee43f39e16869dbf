// SPDX-License-Identifier: Apache-2.0
#include "profile/profile_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "fake_kernel.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using fake::Bytes;

KernelIdentity make_identity() {
  KernelIdentity identity{.banner = "Linux version 9.8.7",
                          .release = "9.8.7",
                          .build_id = "00ff",
                          .file_bytes = 1234567890123};
  identity.file_sha256[31] = 7;
  return identity;
}

SymbolTable make_table() {
  SymbolTable table;
  table.add(0x10, 'A', "per_cpu");
  table.add(0x1000, 'T', "b");
  table.add(0x1000, 't', "a");
  table.add(0x2000, 'D', "b");
  table.index();
  return table;
}

TEST(ProfileFile, GivesBackWhatWasPutIn) {
  const SymbolTable table = make_table();
  const Bytes btf = fake::make_btf();
  const auto content = decode_profile(encode_profile(make_identity(), table, btf));
  ASSERT_TRUE(content) << content.error().message();
  EXPECT_TRUE(content->identity == make_identity());
  EXPECT_TRUE(content->btf == btf);
  EXPECT_TRUE(content->symbols.encode() == table.encode());
  ASSERT_EQ(content->symbols.size(), 4u);
  EXPECT_EQ(content->symbols.find("b")->address, 0x1000u);
  EXPECT_EQ(content->symbols.find("a")->type, 't');
  EXPECT_EQ(content->symbols.find_at(0x1fff)->name, "b");
  EXPECT_FALSE(content->symbols.find_at(0xf));
}

TEST(ProfileFile, EmptyPartsAreKept) {
  const auto content = decode_profile(encode_profile({}, {}, {}));
  ASSERT_TRUE(content) << content.error().message();
  EXPECT_EQ(content->symbols.size(), 0u);
  EXPECT_TRUE(content->btf.empty());
}

TEST(ProfileFile, EveryTruncationIsRefused) {
  const Bytes file = encode_profile(make_identity(), make_table(), fake::make_btf());
  for (std::size_t length = 0; length < file.size(); ++length) {
    const auto content = decode_profile(std::span{file}.first(length));
    ASSERT_FALSE(content) << length;
    EXPECT_EQ(content.error().code, ErrorCode::kTruncated) << length;
  }
}

TEST(ProfileFile, EveryFlippedBitIsRefused) {
  const Bytes file = encode_profile(make_identity(), make_table(), fake::make_btf());
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    Bytes flipped = file;
    flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(decode_profile(flipped)) << bit;
  }
}

TEST(ProfileFile, MoreThanTheFileIsRefused) {
  Bytes file = encode_profile(make_identity(), make_table(), fake::make_btf());
  file.push_back(std::byte{0});
  EXPECT_EQ(decode_profile(file).error().code, ErrorCode::kMalformed);
}

TEST(ProfileFile, AnotherVersionIsUnsupported) {
  Bytes file = encode_profile(make_identity(), make_table(), fake::make_btf());
  fake::store_le(file, 8, 2, 4);
  EXPECT_EQ(decode_profile(file).error().code, ErrorCode::kUnsupported);
}

/// The file with a directory that says otherwise and a digest that agrees with it.
Bytes with_directory_word(std::size_t offset, std::uint64_t value) {
  Bytes file = encode_profile(make_identity(), make_table(), fake::make_btf());
  constexpr std::size_t kDirectoryBytes = 16 + 3 * 48;
  fake::store_le(file, offset, value, 8);
  const auto digest = sha256(std::span{file}.first(kDirectoryBytes));
  std::transform(digest.begin(), digest.end(), file.begin() + kDirectoryBytes,
                 [](std::uint8_t byte) { return std::byte{byte}; });
  return file;
}

TEST(ProfileFile, SizesInTheDirectoryMustHold) {
  EXPECT_EQ(decode_profile(with_directory_word(16, ~0ull)).error().code, ErrorCode::kTruncated);
  EXPECT_EQ(decode_profile(with_directory_word(24, ~0ull)).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(decode_profile(with_directory_word(24, 100 << 20)).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(decode_profile(with_directory_word(16, 0)).error().code, ErrorCode::kMalformed);
}

TEST(Identity, EveryTruncationIsRefused) {
  const Bytes bytes = encode_identity(make_identity());
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(decode_identity(std::span{bytes}.first(length))) << length;
  Bytes longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_identity(longer));
}

TEST(SymbolTableFile, OnlyWhatEncodeMakesIsTaken) {
  const Bytes good = make_table().encode();
  ASSERT_TRUE(SymbolTable::decode(good));
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(SymbolTable::decode(std::span{good}.first(length))) << length;
  // header 8, addresses 4 × 8, index 4 × 4 (a, b, b, per_cpu: 2, 1, 3, 0), types 4, names
  struct Bad {
    const char* what;
    std::size_t offset;
    std::uint64_t value;
    std::size_t bytes;
  };
  for (const Bad& bad : {
           Bad{"count", 0, 0xffffffff, 4},
           Bad{"names' length", 4, 0xffffffff, 4},
           Bad{"addresses descend", 8, 0x1001, 8},
           Bad{"index out of range", 40, 4, 4},
           Bad{"index twice the same", 44, 2, 4},
           Bad{"index in no order of names", 40, 1, 4},
           Bad{"equal names in no order", 44, 3, 4},
           Bad{"a name without end", good.size() - 1, 'x', 1},
           Bad{"a name too many", good.size() - 2, 0, 1},
       }) {
    Bytes changed = good;
    fake::store_le(changed, bad.offset, bad.value, bad.bytes);
    EXPECT_FALSE(SymbolTable::decode(changed)) << bad.what;
  }
}

}  // namespace
}  // namespace sevmon::ids
