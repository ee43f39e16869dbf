// SPDX-License-Identifier: Apache-2.0
#include "profile/kallsyms.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "fake_kernel.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using fake::Bytes;
using fake::FakeSymbol;
using fake::KallsymsForm;
using fake::KallsymsOptions;
using fake::KallsymsOrder;

struct Layout {
  const char* name;
  KallsymsOptions options;
};

// Each order with each form that kernels have had in it.
constexpr Layout kLayouts[] = {
    {"To61Addresses", {KallsymsOrder::kTo61, KallsymsForm::kAddress, false}},
    {"To61Base", {KallsymsOrder::kTo61, KallsymsForm::kBaseRelative, false}},
    {"To61PerCpu", {KallsymsOrder::kTo61, KallsymsForm::kAbsolutePerCpu, false}},
    {"From61PerCpu", {KallsymsOrder::kTo61, KallsymsForm::kAbsolutePerCpu}},
    {"From62Addresses", {KallsymsOrder::k62, KallsymsForm::kAddress}},
    {"From62Base", {KallsymsOrder::k62, KallsymsForm::kBaseRelative}},
    {"From62PerCpu", {KallsymsOrder::k62, KallsymsForm::kAbsolutePerCpu}},
    {"From64Addresses", {KallsymsOrder::k64, KallsymsForm::kAddress}},
    {"From64PerCpu", {KallsymsOrder::k64, KallsymsForm::kAbsolutePerCpu}},
    {"From615Base", {KallsymsOrder::k64, KallsymsForm::kBaseRelative}},
    {"From70Place", {KallsymsOrder::k70, KallsymsForm::kPlaceRelative}},
};

std::vector<FakeSymbol> symbols_for(const KallsymsOptions& options, std::size_t count) {
  auto symbols = fake::make_symbols(count, options.form == KallsymsForm::kAbsolutePerCpu);
  // One byte holds no more than 255 tokens.
  if (!options.has_long_lengths)
    for (FakeSymbol& symbol : symbols)
      if (symbol.name.size() > 200) symbol.name.resize(200);
  return symbols;
}

class EveryLayout : public testing::TestWithParam<Layout> {
 protected:
  static constexpr std::size_t kBefore = 1024;

  /// rodata with other things before and behind the tables, digits among them.
  Bytes make_rodata(const std::vector<FakeSymbol>& symbols) {
    Bytes rodata = fake::to_bytes(
        std::string_view{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0:\0;\0", 24});
    while (rodata.size() < kBefore) fake::append_le(rodata, rodata.size() % 24, 4);
    fake::append(
        rodata, fake::encode_kallsyms(symbols, GetParam().options, fake::kRodataAddress + kBefore));
    fake::append(rodata, fake::to_bytes("what follows the tables"));
    return rodata;
  }

  common::Result<SymbolTable> read(std::span<const std::byte> rodata) {
    const KernelRegion regions[] = {{fake::kTextAddress, text_, true},
                                    {fake::kRodataAddress, rodata}};
    return read_kallsyms(regions);
  }

  void expect_equal(const SymbolTable& table, const std::vector<FakeSymbol>& symbols) {
    ASSERT_EQ(table.size(), symbols.size());
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const SymbolTable::Entry entry = table.entry(i);
      ASSERT_EQ(entry.name, symbols[i].name) << i;
      ASSERT_EQ(entry.address, symbols[i].address) << symbols[i].name;
      ASSERT_EQ(entry.type, symbols[i].type) << symbols[i].name;
    }
  }

  Bytes text_ = Bytes(fake::kTextBytes);
};

TEST_P(EveryLayout, IsRead) {
  // Counts around full markers, odd and even (padding of offsets and of seqs_of_names).
  for (const std::size_t count : {257u, 258u, 511u, 512u, 513u, 1000u, 3001u}) {
    const auto symbols = symbols_for(GetParam().options, count);
    const auto table = read(make_rodata(symbols));
    ASSERT_TRUE(table) << count << ": " << table.error().message();
    expect_equal(*table, symbols);
  }
}

TEST_P(EveryLayout, NamesAreIndexed) {
  const auto symbols = symbols_for(GetParam().options, 600);
  const auto table = read(make_rodata(symbols));
  ASSERT_TRUE(table);
  EXPECT_EQ(table->find("_text")->address, fake::kTextAddress);
  EXPECT_EQ(table->find("twice")->address, fake::kRodataAddress);
  EXPECT_FALSE(table->find("twic"));
  EXPECT_FALSE(table->find(""));
  EXPECT_EQ(table->find_at(fake::kTextAddress + 3)->name, "_text");
  EXPECT_EQ(table->find_at(fake::kRodataAddress + 12)->name, "twice");
}

TEST_P(EveryLayout, TruncatedTablesAreRefused) {
  const auto symbols = symbols_for(GetParam().options, 300);
  const Bytes rodata = make_rodata(symbols);
  const bool has_seqs_last = GetParam().options.order >= KallsymsOrder::k64;
  // Nothing is needed of seqs_of_names, nor of what follows.
  const std::size_t needed = rodata.size() - 23 - (has_seqs_last ? symbols.size() * 3 : 0);
  for (std::size_t length = 0; length < needed; length += 1 + length % 13)
    EXPECT_FALSE(read(std::span{rodata}.first(length))) << length;
  EXPECT_TRUE(read(std::span{rodata}.first(needed)));
}

TEST_P(EveryLayout, DamageNeverGivesMoreThanTheTableHolds) {
  const auto symbols = symbols_for(GetParam().options, 300);
  const Bytes rodata = make_rodata(symbols);
  for (std::size_t at = kBefore; at < rodata.size(); at += 11)
    for (const unsigned value : {0x00u, 0x80u, 0xffu}) {
      Bytes changed = rodata;
      changed[at] = static_cast<std::byte>(value);
      const auto table = read(changed);
      EXPECT_TRUE(!table || table->size() == symbols.size()) << at;
    }
}

TEST_P(EveryLayout, AddressesOutsideTextAreRefused) {
  const Bytes rodata = make_rodata(symbols_for(GetParam().options, 300));
  const KernelRegion regions[] = {{0xffffffff90000000, text_, true},
                                  {fake::kRodataAddress, rodata}};
  const auto table = read_kallsyms(regions);
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, ErrorCode::kMalformed);
}

INSTANTIATE_TEST_SUITE_P(Kallsyms, EveryLayout, testing::ValuesIn(kLayouts),
                         [](const auto& info) { return info.param.name; });

TEST(Kallsyms, NoTablesIsNotFound) {
  const Bytes rodata(5000);
  const KernelRegion regions[] = {{fake::kRodataAddress, rodata}};
  EXPECT_EQ(read_kallsyms(regions).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_kallsyms({}).error().code, ErrorCode::kNotFound);
}

TEST(Kallsyms, TablesCanStandInAnySection) {
  const auto symbols = fake::make_symbols(300, false);
  const Bytes tables = fake::encode_kallsyms(
      symbols, {KallsymsOrder::k70, KallsymsForm::kPlaceRelative}, fake::kRodataAddress);
  const Bytes text(fake::kTextBytes), rodata(999);
  const KernelRegion regions[] = {
      {0x1003, rodata}, {fake::kTextAddress, text, true}, {fake::kRodataAddress, tables}};
  const auto table = read_kallsyms(regions);
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->size(), symbols.size());
}

TEST(Kallsyms, TokensThatExplodeAreRefused) {
  // Names of 200 tokens, each of which stands for hundreds of characters: no name is that long.
  auto symbols = fake::make_symbols(300, false);
  const KallsymsOptions options{KallsymsOrder::k64, KallsymsForm::kBaseRelative};
  Bytes tables = fake::encode_kallsyms(symbols, options, fake::kRodataAddress);
  // 'q' stands alone as "\0q\0": give the token index of every code that place, then let the walk
  // of tokens contradict it.
  const std::string_view text{reinterpret_cast<const char*>(tables.data()), tables.size()};
  const std::size_t at = text.find(std::string_view{"\0q\0", 3});
  ASSERT_NE(at, text.npos);
  tables[at + 2] = std::byte{'q'};
  const Bytes code(fake::kTextBytes);
  const KernelRegion regions[] = {{fake::kTextAddress, code, true}, {fake::kRodataAddress, tables}};
  EXPECT_FALSE(read_kallsyms(regions));
}

TEST(Kallsyms, NamesLongerThanAnyAreRefused) {
  auto symbols = fake::make_symbols(300, false);
  // 200 times a token of 9 characters fits in a name's bytes, 300 times is over 2,048 characters.
  for (const auto& [repeats, fits] : {std::pair{200, true}, std::pair{300, false}}) {
    symbols[5].name.clear();
    for (int i = 0; i < repeats; ++i) symbols[5].name += "function_";
    const Bytes tables = fake::encode_kallsyms(
        symbols, {KallsymsOrder::k64, KallsymsForm::kBaseRelative}, fake::kRodataAddress);
    const Bytes code(fake::kTextBytes);
    const KernelRegion regions[] = {{fake::kTextAddress, code, true},
                                    {fake::kRodataAddress, tables}};
    EXPECT_EQ(read_kallsyms(regions).has_value(), fits);
  }
}

}  // namespace
}  // namespace sevmon::ids
