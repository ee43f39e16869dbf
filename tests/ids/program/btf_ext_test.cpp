// SPDX-License-Identifier: Apache-2.0
#include "program/btf_ext.hpp"

#include <gtest/gtest.h>

#include "program_support.hpp"

namespace sevmon::tests {
namespace {

using common::ErrorCode;
using ids::BtfExt;

std::vector<std::byte> section_of(const std::string& file, std::string_view name) {
  const auto bytes = object_bytes(file);
  const auto elf = ids::ElfObject::parse(bytes);
  EXPECT_TRUE(elf);
  const auto* section = elf ? elf->find(name) : nullptr;
  EXPECT_NE(section, nullptr);
  return section == nullptr ? std::vector<std::byte>{}
                            : std::vector<std::byte>{section->data.begin(), section->data.end()};
}

class BtfExtTest : public testing::Test {
 protected:
  template <typename T>
  void set(std::size_t at, T value) {
    std::memcpy(raw_.data() + at, &value, sizeof value);
  }
  std::uint32_t get(std::size_t at) const {
    std::uint32_t value;
    std::memcpy(&value, raw_.data() + at, sizeof value);
    return value;
  }
  ErrorCode refusal() const {
    const auto parsed = BtfExt::parse(raw_);
    EXPECT_FALSE(parsed);
    return parsed ? ErrorCode::kInternal : parsed.error().code;
  }

  std::vector<std::byte> raw_ = section_of("kinds.bpf.o", ".BTF.ext");
};

TEST_F(BtfExtTest, HasFunctionsLinesAndRelocations) {
  const auto ext = BtfExt::parse(raw_);
  ASSERT_TRUE(ext) << ext.error().message();
  ASSERT_EQ(ext->functions.size(), 1u);
  EXPECT_EQ(ext->functions[0].records.size(), 1u);
  ASSERT_EQ(ext->lines.size(), 1u);
  EXPECT_GT(ext->lines[0].records.size(), 15u);
  ASSERT_EQ(ext->relocations.size(), 1u);
  EXPECT_GE(ext->relocations[0].records.size(), 19u);
}

TEST_F(BtfExtTest, IsRefusedAtEachLength) {
  // Relocations come last; there is nothing behind them.
  for (std::size_t length = 0; length < raw_.size(); ++length)
    ASSERT_FALSE(BtfExt::parse(std::span{raw_}.first(length))) << length;
}

TEST_F(BtfExtTest, RefusesAnotherHead) {
  set<std::uint16_t>(0, 0x9feb);
  EXPECT_EQ(refusal(), ErrorCode::kMalformed);
  set<std::uint16_t>(0, 0xeb9f);
  set<std::uint8_t>(2, 2);
  EXPECT_EQ(refusal(), ErrorCode::kUnsupported);
  set<std::uint8_t>(2, 1);
  set<std::uint8_t>(3, 1);
  EXPECT_EQ(refusal(), ErrorCode::kUnsupported);
  set<std::uint8_t>(3, 0);
  for (const std::uint32_t bytes : {0U, 23U, 26U}) {
    set(4, bytes);
    EXPECT_EQ(refusal(), ErrorCode::kMalformed);
  }
  set(4, static_cast<std::uint32_t>(raw_.size() + 4) & ~3U);
  EXPECT_EQ(refusal(), ErrorCode::kTruncated);
}

TEST_F(BtfExtTest, RefusesPartsAndCountsThatDoNotFit) {
  const auto good = raw_;
  for (const std::size_t part : {8U, 16U, 24U}) {
    raw_ = good;
    const std::size_t begin = get(4) + get(part);
    set(part + 4, 0xfffffff0U);
    EXPECT_EQ(refusal(), ErrorCode::kTruncated) << part;
    raw_ = good;
    set(part, get(part) + 1);
    EXPECT_EQ(refusal(), ErrorCode::kMalformed) << part;
    raw_ = good;
    set(begin, get(begin) - 4);  // the size of a record
    EXPECT_EQ(refusal(), ErrorCode::kUnsupported) << part;
    raw_ = good;
    for (const std::uint32_t count : {get(begin + 8) + 1, 0x10000000U, 0xffffffffU}) {
      set(begin + 8, count);
      EXPECT_EQ(refusal(), ErrorCode::kTruncated) << part;
    }
  }
}

/// clang 14 makes no TYPE_MATCHES: a TYPE_EXISTS is made one.
TEST(ProgramMatches, AreRelocatedToo) {
  auto file = object_bytes("kinds.bpf.o");
  const auto ext = section_of("kinds.bpf.o", ".BTF.ext");
  const auto at = std::search(file.begin(), file.end(), ext.begin(), ext.end());
  ASSERT_NE(at, file.end());
  unsigned changed = 0;
  std::uint32_t relocations, header;
  std::memcpy(&header, &at[4], 4);
  std::memcpy(&relocations, &at[24], 4);
  const auto parsed = BtfExt::parse(ext);
  for (std::size_t i = 0; i < parsed->relocations[0].records.size(); ++i)
    if (parsed->relocations[0].records[i].kind == 8) {
      at[static_cast<std::ptrdiff_t>(header + relocations + 12 + i * 16 + 12)] = std::byte{12};
      ++changed;
    }
  ASSERT_EQ(changed, 2u);
  const FakeTarget kernel{"new"};
  const auto object = ids::ProgramObject::parse(file);
  ASSERT_TRUE(object) << object.error().message();
  const auto image = object->link(kernel.target());
  ASSERT_TRUE(image) << image.error().message();
  ImageRun run{*image};
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  // char[1] is no char[123]; and what is not there does not match.
  EXPECT_EQ(run.result_at<std::uint64_t>(9 * 8), 0u);
  EXPECT_EQ(run.result_at<std::uint64_t>(10 * 8), 0u);
}

}  // namespace
}  // namespace sevmon::tests
