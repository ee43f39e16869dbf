// SPDX-License-Identifier: Apache-2.0
#include "profile/btf.hpp"

#include <gtest/gtest.h>
#include <linux/btf.h>

#include "fake_kernel.hpp"
#include "profile/btf_check.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using fake::BtfBuilder;
using fake::Bytes;

class BtfTest : public testing::Test {
 protected:
  void expect_member(const char* type, const char* path, Member expected) {
    const auto member = types_.member(type, path);
    ASSERT_TRUE(member) << member.error().message();
    EXPECT_EQ(member->offset_bytes, expected.offset_bytes) << path;
    EXPECT_EQ(member->size_bytes, expected.size_bytes) << path;
    EXPECT_EQ(member->bit_offset, expected.bit_offset) << path;
    EXPECT_EQ(member->bit_size, expected.bit_size) << path;
  }

  void expect_refusal(const char* type, const char* path, ErrorCode code) {
    const auto member = types_.member(type, path);
    ASSERT_FALSE(member) << type << "." << path;
    EXPECT_EQ(member.error().code, code) << member.error().message();
    EXPECT_NE(member.error().detail.find(type), std::string::npos);
  }

  Bytes raw_ = fake::make_btf();
  Btf types_ = *Btf::parse(raw_);
};

TEST_F(BtfTest, Members) {
  expect_member("task_struct", "pid", {0, 4, 0, 0});
  expect_member("task_struct", "comm", {16, 16, 0, 0});
  expect_member("task_struct", "parent", {48, 8, 0, 0});
}

TEST_F(BtfTest, BitFieldsCountBits) {
  expect_member("task_struct", "in_execve", {4, 0, 37, 3});
}

TEST_F(BtfTest, AnonymousMembersAreLookedThrough) {
  expect_member("task_struct", "rcu_users", {64, 4, 0, 0});
  expect_member("task_struct", "stack", {64, 8, 0, 0});
}

TEST_F(BtfTest, ChainsGoThroughTypedefsAndFirstElements) {
  expect_member("task_struct", "se.runtime", {40, 8, 0, 0});
  expect_member("task_struct", "numbers", {72, 48, 0, 0});
  expect_member("task_struct", "numbers.runtime", {80, 8, 0, 0});
  expect_member("entity_t", "runtime", {8, 8, 0, 0});
}

TEST_F(BtfTest, WhatIsNotThereIsRefused) {
  expect_refusal("task_struct", "nothing", ErrorCode::kNotFound);
  expect_refusal("task_struct", "", ErrorCode::kNotFound);
  expect_refusal("task_struct", "se.", ErrorCode::kNotFound);
  expect_refusal("task_struct", ".se", ErrorCode::kNotFound);
  expect_refusal("task_struct", "se..load", ErrorCode::kNotFound);
  expect_refusal("task_struct", "pid.value", ErrorCode::kNotFound);
  expect_refusal("task_struct", "parent.pid", ErrorCode::kNotFound);
  expect_refusal("no_struct", "pid", ErrorCode::kNotFound);
  expect_refusal("only_declared", "pid", ErrorCode::kNotFound);
  expect_refusal("pid_type", "pid", ErrorCode::kNotFound);
}

TEST_F(BtfTest, SharedNamesAnswerOnlyWhenTheyAgree) {
  expect_member("shared", "same", {0, 4, 0, 0});
  expect_member("shared", "only_here", {4, 4, 0, 0});
  expect_refusal("shared", "other", ErrorCode::kMalformed);
  EXPECT_EQ(types_.size_of("shared").value(), 8u);
  EXPECT_EQ(types_.enumerator("TWICE_SAME").value(), 5);
  EXPECT_EQ(types_.enumerator("TWICE_OTHER").error().code, ErrorCode::kMalformed);
}

TEST_F(BtfTest, Sizes) {
  EXPECT_EQ(types_.size_of("task_struct").value(), 136u);
  EXPECT_EQ(types_.size_of("pid_type").value(), 4u);
  EXPECT_EQ(types_.size_of("wide").value(), 8u);
  EXPECT_EQ(types_.size_of("pid_t").value(), 4u);
  EXPECT_EQ(types_.size_of("entity_t").value(), 16u);
  EXPECT_EQ(types_.size_of("nothing").error().code, ErrorCode::kNotFound);
}

TEST_F(BtfTest, Enumerators) {
  EXPECT_EQ(types_.enumerator("PIDTYPE_MAX").value(), 4);
  EXPECT_EQ(types_.enumerator("MINUS_TWO").value(), -2);
  EXPECT_EQ(types_.enumerator("ALL_ONES").value(), 0xffffffff);
  EXPECT_EQ(types_.enumerator("WIDE_VALUE").value(), 0x123456789abc);
  EXPECT_EQ(types_.enumerator("PIDTYPE").error().code, ErrorCode::kNotFound);
}

TEST_F(BtfTest, RawIsWhatWasGiven) {
  EXPECT_TRUE(std::equal(raw_.begin(), raw_.end(), types_.raw().begin(), types_.raw().end()));
}

TEST_F(BtfTest, EveryTruncationIsRefused) {
  for (std::size_t length = 0; length < raw_.size(); ++length)
    EXPECT_FALSE(Btf::parse(std::span{raw_}.first(length))) << length;
}

TEST_F(BtfTest, EveryAbsurdWordIsRefusedOrHarmless) {
  for (const std::uint64_t word : {0xffffffffull, 0x7fffffffull, 0x1000ull})
    for (std::size_t at = 0; at + 4 <= raw_.size(); at += 4) {
      Bytes changed = raw_;
      fake::store_le(changed, at, word, 4);
      const auto types = Btf::parse(changed);
      if (!types) continue;
      for (const char* path : {"comm", "se.runtime", "numbers.runtime", "stack", "none"})
        static_cast<void>(types->member("task_struct", path));
      static_cast<void>(types->size_of("task_struct"));
    }
}

TEST(BtfCheck, ReferencesAndNamesMustExist) {
  for (const bool valid : {true, false}) {
    BtfBuilder btf;
    btf.add_reference(BTF_KIND_PTR, "", valid ? 1 : 2);
    EXPECT_EQ(check_btf(btf.build()).has_value(), valid);
  }
  for (const bool valid : {true, false}) {
    BtfBuilder btf;
    const auto u32 = btf.add_int("u32", 4);
    btf.add_composite(BTF_KIND_STRUCT, "s", 4, {{"m", valid ? u32 : 3, 0}});
    EXPECT_EQ(check_btf(btf.build()).has_value(), valid);
  }
  for (const bool valid : {true, false}) {
    BtfBuilder btf;
    const auto u32 = btf.add_int("u32", 4);
    btf.add_array(u32, valid ? u32 : 3, 7);
    EXPECT_EQ(check_btf(btf.build()).has_value(), valid);
  }
  for (const bool valid : {true, false}) {
    BtfBuilder builder;
    builder.add_int("u32", 4);
    Bytes btf = builder.build();
    if (!valid) fake::store_le(btf, 24, 5, 4);  // strings: "\0u32\0"
    EXPECT_EQ(check_btf(btf).has_value(), valid);
  }
}

TEST(BtfCheck, UnknownKindsAreUnsupported) {
  BtfBuilder btf;
  btf.add_reference(20, "", 0);
  EXPECT_EQ(check_btf(btf.build()).error().code, ErrorCode::kUnsupported);
}

TEST(BtfCycles, EndInAnError) {
  BtfBuilder btf;
  btf.add_reference(BTF_KIND_TYPEDEF, "loop_a", 2);
  btf.add_reference(BTF_KIND_CONST, "", 1);
  // A structure of anonymous members that are itself: 8^32 paths.
  const std::uint32_t self = btf.next_id();
  btf.add_composite(BTF_KIND_STRUCT, "self", 8,
                    std::vector(8, BtfBuilder::FakeMember{"", self, 0}));
  btf.add_array(btf.next_id(), btf.next_id(), 2);
  btf.add_composite(BTF_KIND_STRUCT, "holder", 8, {{"array", 4, 0}, {"loop", 1, 0}});
  const Bytes raw = btf.build();
  const auto types = Btf::parse(raw);
  ASSERT_TRUE(types) << types.error().message();
  EXPECT_FALSE(types->size_of("loop_a"));
  EXPECT_FALSE(types->member("loop_a", "m"));
  EXPECT_FALSE(types->member("self", "m"));
  EXPECT_FALSE(types->member("holder", "array.m"));
  EXPECT_FALSE(types->member("holder", "array"));
  EXPECT_FALSE(types->member("holder", "loop"));
}

}  // namespace
}  // namespace sevmon::ids
