// SPDX-License-Identifier: Apache-2.0
#include "profile/elf.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include "fake_kernel.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using fake::Bytes;

Bytes small_elf() {
  return fake::encode_elf({
      {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, fake::to_bytes("codecode")},
      {".bss", SHT_NOBITS, SHF_ALLOC, 0x2000, Bytes(0)},
      {".comment", SHT_PROGBITS, 0, 0x1000, fake::to_bytes("comment")},
      {".notes", SHT_NOTE, SHF_ALLOC, 0x3000,
       fake::encode_build_id(fake::to_bytes("\x01\xab\xff"))},
  });
}

TEST(Elf, SectionsAreFound) {
  const Bytes file = small_elf();
  const auto elf = Elf::parse(file);
  ASSERT_TRUE(elf) << elf.error().message();
  const auto* text = elf->find(".text");
  ASSERT_NE(text, nullptr);
  EXPECT_TRUE(text->is_loaded && text->is_executable);
  EXPECT_EQ(text->address, 0x1000u);
  EXPECT_EQ(text->bytes.size(), 8u);
  EXPECT_EQ(elf->find(".rodata"), nullptr);
  EXPECT_FALSE(elf->find(".comment")->is_loaded);
}

TEST(Elf, AddressesReachOnlyLoadedBytes) {
  const Bytes file = small_elf();
  const auto elf = Elf::parse(file);
  EXPECT_TRUE(elf->at(0xfff).empty());
  EXPECT_EQ(elf->at(0x1000).size(), 8u);
  EXPECT_EQ(elf->at(0x1007).size(), 1u);
  EXPECT_TRUE(elf->at(0x1008).empty());
  EXPECT_TRUE(elf->at(0x2000).empty());
}

TEST(Elf, BuildIdIsFoundBehindOtherNotes) {
  const Bytes file = small_elf();
  EXPECT_EQ(Elf::parse(file)->build_id(), "01abff");
}

TEST(Elf, NotesWithAbsurdLengthsEndTheSearch) {
  for (const std::size_t field : {0u, 4u}) {
    Bytes notes = fake::encode_build_id(fake::to_bytes("\x01\xab\xff"));
    fake::store_le(notes, field, 0xffffffff, 4);
    const Bytes file = fake::encode_elf({{".notes", SHT_NOTE, SHF_ALLOC, 0, notes}});
    EXPECT_EQ(Elf::parse(file)->build_id(), "");
  }
}

TEST(Elf, EveryTruncationIsRefused) {
  const Bytes file = small_elf();
  for (std::size_t length = 0; length < file.size(); ++length) {
    const auto elf = Elf::parse(std::span{file}.first(length));
    ASSERT_FALSE(elf) << length;
    EXPECT_EQ(elf.error().code, ErrorCode::kTruncated) << length;
  }
}

TEST(Elf, BadFieldsAreRefused) {
  struct Bad {
    const char* what;
    std::size_t offset;
    std::uint64_t value;
    std::size_t bytes;
    ErrorCode code;
  };
  const Bytes file = small_elf();
  const std::size_t text_header = file.size() - 5 * 64;
  for (const Bad& bad : {
           Bad{"magic", 0, 0, 1, ErrorCode::kMalformed},
           Bad{"class", 4, 1, 1, ErrorCode::kUnsupported},
           Bad{"byte order", 5, 2, 1, ErrorCode::kUnsupported},
           Bad{"machine", 18, EM_AARCH64, 2, ErrorCode::kUnsupported},
           Bad{"section headers", 40, ~0ull, 8, ErrorCode::kTruncated},
           Bad{"header size", 58, 63, 2, ErrorCode::kMalformed},
           Bad{"no sections", 60, 0, 2, ErrorCode::kMalformed},
           Bad{"too many sections", 60, 0xffff, 2, ErrorCode::kTruncated},
           Bad{"names' index", 62, 6, 2, ErrorCode::kMalformed},
           Bad{"a name behind the names", text_header, 0xffffffff, 4, ErrorCode::kMalformed},
           Bad{"address wraps", text_header + 16, ~0ull, 8, ErrorCode::kMalformed},
           Bad{"offset", text_header + 24, ~0ull, 8, ErrorCode::kTruncated},
           Bad{"size", text_header + 32, ~0ull, 8, ErrorCode::kTruncated},
       }) {
    Bytes changed = file;
    fake::store_le(changed, bad.offset, bad.value, bad.bytes);
    const auto elf = Elf::parse(changed);
    ASSERT_FALSE(elf) << bad.what;
    EXPECT_EQ(elf.error().code, bad.code) << bad.what << ": " << elf.error().message();
  }
}

}  // namespace
}  // namespace sevmon::ids
