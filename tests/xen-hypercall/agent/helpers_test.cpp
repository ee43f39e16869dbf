// SPDX-License-Identifier: Apache-2.0
//
// What a program can call (helpers.c).
#include <gtest/gtest.h>

#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

class Helpers : public ProgramFixture {};

TEST_F(Helpers, Reads) {
  host.guest.map(kGva + 4090, from_text("over a border"));
  const auto got = call(SEVMON_HELPER_READ, {kBuffer, 13, kGva + 4090}, 13);
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(got.result, from_text("over a border"));
}

TEST_F(Helpers, ReadFailsAsAStatusAndLeavesZeros) {
  host.guest.map(kGva + 4088, "begun..."), host.guest.entry(kGva + 4096, 1) = 0;
  const auto torn = call(SEVMON_HELPER_READ, {kBuffer, 16, kGva + 4088}, 16);
  EXPECT_EQ(torn.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(torn.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(torn.result, Bytes(16, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, kAbsent}, 8).result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, 1ULL << 60}).report.r0,
            failed(SEVMON_STATUS_NOT_CANONICAL));
  host.forbidden_start = kAbsent, host.forbidden_end = kAbsent + 4096;
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, kAbsent}).report.r0, failed(SEVMON_STATUS_XEN));
}

TEST_F(Helpers, ReadAtTheEndOfAllAddresses) {
  host.guest.map(0xfffffffffffff000, Bytes(4096, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 16, 0xfffffffffffffff0}, 16).result, Bytes(16, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 17, 0xfffffffffffffff0}).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED))
      << "address 0 is the next";
}

TEST_F(Helpers, ReadsPhysical) {
  const auto frame = host.guest.add_frame();
  host.guest.page(frame).bytes.fill(9);
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 3, frame * 4096 + 4093}, 3).result,
            Bytes(3, 9));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, frame * 4096 + 4093}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, ~0ULL - 10}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
}

TEST_F(Helpers, ReadsTheMemoryOfAProcess) {
  // Its own table, mapped where the kernel would have it.
  FakeGuest other;
  const std::uint64_t user = 0x400000, pgd = 0xffff888000005000;
  const auto table = host.guest.add_frame();
  const auto page = host.guest.add_frame();
  host.guest.page(page).bytes.fill(0x77);
  std::uint64_t at = table;
  for (unsigned level = 4; level > 1; --level) {
    const auto next = host.guest.add_frame();
    host.guest.page(at).entry(user >> (12 + 9 * (level - 1)) & 511) = next << 12 | kPresent | kUser;
    at = next;
  }
  host.guest.page(at).entry(user >> 12 & 511) = page << 12 | kPresent | kUser;
  host.guest.map_frame(pgd, table);
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 4, user, pgd}, 4).result, Bytes(4, 0x77));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 8, user, kAbsent}, 8).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 8, user, kAbsent}, 8).result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {0, 8, user, kAbsent}).report.state, SEVMON_RUN_FAULT);
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 4, user}).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED));
}

TEST_F(Helpers, ReadsStrings) {
  host.guest.map(kGva + 4090, payload(from_text("kworker/0:1"), Bytes(1, 0)));
  const auto whole = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 4090}, 16);
  EXPECT_EQ(whole.report.r0, 11u);
  EXPECT_EQ(whole.result, payload(from_text("kworker/0:1"), Bytes(5, 0)));
  const auto cut = call(SEVMON_HELPER_READ_STRING, {kBuffer, 8, kGva + 4090}, 8);
  EXPECT_EQ(cut.report.r0, 7u);
  EXPECT_EQ(cut.result, payload(from_text("kworker"), Bytes(1, 0)));

  host.guest.map(kGva + 3 * 4096 - 4, "abc"), host.guest.entry(kGva + 3 * 4096, 1) = 0;
  const auto last = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 3 * 4096 - 4}, 8);
  EXPECT_EQ(last.report.r0, 3u) << "what lies behind its end does not matter";
  host.guest.map(kGva + 3 * 4096 - 4, "abcd");
  const auto torn = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 3 * 4096 - 4}, 8);
  EXPECT_EQ(torn.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(torn.result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ_STRING, {kBuffer, 0, kGva}).report.r0, 0u);
}

TEST_F(Helpers, Translates) {
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame);
  const auto got = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kGva + 5}, sizeof(sevmon_translation));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_translation>(got.result).frame, frame);
  const auto absent = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kAbsent}, sizeof(sevmon_translation));
  EXPECT_EQ(absent.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_GT(load<sevmon_translation>(absent.result).reached, 0) << "as far as it came";
}

TEST_F(Helpers, SaysWhatAVcpuDoes) {
  const auto got = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 0}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_vcpu_state>(got.result).kernel_root, host.guest.root());
  const auto none = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 1}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(none.report.r0, failed(SEVMON_STATUS_NO_VCPU));
  EXPECT_EQ(none.result, Bytes(sizeof(sevmon_vcpu_state), 0));
}

TEST_F(Helpers, SaysTheTime) {
  host.now_ns = 77'000;
  EXPECT_EQ(call(SEVMON_HELPER_TIME, {}).report.r0, 77'000u);
}

/// The end of a region ends the run; nothing is written beyond it.
TEST_F(Helpers, KeepToTheProgramsRegions) {
  host.guest.map(kGva, Bytes(4096, 0x11));
  const std::uint64_t end = kMap + SEVMON_PROGRAM_MAX_MAP_BYTES;
  const struct {
    std::int32_t helper;
    std::uint64_t second;
  } writers[] = {{SEVMON_HELPER_READ, 64},        {SEVMON_HELPER_READ_PHYSICAL, 64},
                 {SEVMON_HELPER_READ_USER, 64},   {SEVMON_HELPER_READ_STRING, 64},
                 {SEVMON_HELPER_TRANSLATE, kGva}, {SEVMON_HELPER_VCPU_STATE, 0},
                 {SEVMON_HELPER_APPEND, 64}};
  for (const auto& writer : writers)
    for (const std::uint64_t to : std::initializer_list<std::uint64_t>{
             0, end - 63, end, kInput, kMap - 1, 5ULL << 32, ~0ULL, kGva}) {
      const auto got = call(writer.helper, {to, writer.second, kGva, kGva});
      EXPECT_EQ(got.report.state, SEVMON_RUN_FAULT) << writer.helper << " " << std::hex << to;
    }
  EXPECT_EQ(call(SEVMON_HELPER_READ, {end - 64, 64, kGva}).report.state, SEVMON_RUN_DONE);
  for (const std::uint64_t bytes : {4097ULL, 0xffffffffULL}) {
    EXPECT_EQ(call(SEVMON_HELPER_READ, {kMap, bytes, kGva}).report.state, SEVMON_RUN_FAULT);
    EXPECT_EQ(call(SEVMON_HELPER_READ_STRING, {kMap, bytes, kGva}).report.state, SEVMON_RUN_FAULT);
    EXPECT_EQ(call(SEVMON_HELPER_APPEND, {kMap, bytes}).report.state, SEVMON_RUN_FAULT);
  }
}

TEST_F(Helpers, CostWhatTheyDo) {
  EXPECT_GT(call(SEVMON_HELPER_READ, {kBuffer, 4096, kGva + 1}).report.cost,
            call(SEVMON_HELPER_READ, {kBuffer, 1, kGva}).report.cost);
  EXPECT_GT(call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 0}).report.cost, SEVMON_HELPER_VCPU_COST);
  BpfProgram program;  // for ( ;; ) read(map, 4096, gva)
  program.load_imm64(1, kMap).mov(2, 4096).load_imm64(3, kGva).call(SEVMON_HELPER_READ);
  program.jump(-7).exit();
  host.guest.map(kGva, Bytes(4096, 1));
  const auto mapped = host.frames_mapped.load();
  const auto got = run(program, {}, 100'000);
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_LE(host.frames_mapped - mapped, 100'000 / SEVMON_HELPER_COST * 5);
}

}  // namespace
}  // namespace sevmon::tests
