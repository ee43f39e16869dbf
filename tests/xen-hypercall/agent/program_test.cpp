// SPDX-License-Identifier: Apache-2.0
//
// Programs in the agent: loading (program.c), what they can call (helpers.c), runs (run.c).
#include <gtest/gtest.h>

#include <thread>

#include "support/program_client.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kGva = 0xffffffff81000000, kAbsent = 0xffffffff82000000;
constexpr std::uint64_t kInput = SEVMON_BPF_ADDRESS(SEVMON_REGION_INPUT);
constexpr std::uint64_t kMap = SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP);
constexpr std::uint64_t kData = SEVMON_BPF_ADDRESS(SEVMON_REGION_DATA);
constexpr std::uint64_t kBuffer = kMap + 256;  // of the map, in most of these

std::uint64_t failed(unsigned status) {
  return std::uint64_t{0} - status;
}

/// Returns a number.
BpfProgram returning(std::int64_t number) {
  BpfProgram program;
  program.mov(0, number).exit();
  return program;
}

BpfProgram endless() {
  BpfProgram program;
  program.jump(-1).mov(0, 0).exit();
  return program;
}

class Program : public ::testing::Test {
 protected:
  /// Load it with 64 KiB of map and run it.
  RunResult run(BpfProgram& program, ByteView input = {}, std::uint64_t budget = 1'000'000) {
    const Image image{program, {}, SEVMON_PROGRAM_MAX_MAP_BYTES};
    client.load_all(image);
    return client.run(image.name(), input, budget);
  }
  /// r0 of a helper called with these, and what is in the map's buffer afterwards.
  RunResult call(std::int32_t helper, std::initializer_list<std::uint64_t> arguments,
                 std::uint32_t bytes = 0) {
    BpfProgram program;
    unsigned reg = 1;
    // What was in the buffer must not stay there.
    program.load_imm64(2, kBuffer).mov(0, 0x55);
    for (int i = 0; i < 8; ++i) program.add(BPF_STX | BPF_MEM | BPF_B, 2, 0, i);
    for (const auto argument : arguments) program.load_imm64(reg++, argument);
    program.call(helper).mov_reg(6, 0);
    if (bytes) program.load_imm64(1, kBuffer).mov(2, bytes).call(SEVMON_HELPER_APPEND);
    program.mov_reg(0, 6).exit();
    return run(program);
  }

  FakeHost host;
  FakeAgent agent{host};
  ProgramClient client{agent};
};

TEST_F(Program, RunsAndSaysHow) {
  auto program = returning(42);
  const std::uint64_t now = host.now_ns;
  const Image image{program};
  client.load_all(image);
  const auto got = client.run(image.name());
  EXPECT_EQ(got.status, SEVMON_STATUS_OK);
  EXPECT_EQ(got.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(got.report.r0, 42u);
  EXPECT_EQ(got.report.insn, 2u);
  EXPECT_EQ(got.report.cost, 2u);
  EXPECT_EQ(got.report.slices, 1u);
  EXPECT_EQ(got.report.started_ns, now);
  EXPECT_EQ(got.report.ended_ns, now);
  EXPECT_TRUE(got.result.empty());
}

TEST_F(Program, StatusSaysThatThereAreSome) {
  const auto response = client.ask(request_body({simple_item(SEVMON_ITEM_STATUS)}));
  EXPECT_EQ(load<sevmon_status>(response.item(0)).features, SEVMON_FEATURE_PROGRAMS);
}

TEST_F(Program, InputIsWhatWasSent) {
  BpfProgram program;  // append(r1, r2)
  program.call(SEVMON_HELPER_APPEND).exit();
  const Image image{program};
  client.load_all(image);
  for (const std::size_t bytes : {1, 7, 8, 900, 904}) {
    const Bytes input(bytes, 0xa5);
    const auto got = client.run(image.name(), input);
    EXPECT_EQ(got.report.r0, 0u) << bytes;
    EXPECT_EQ(got.result, input);
  }
  EXPECT_EQ(client.run(image.name()).report.state, SEVMON_RUN_FAULT) << "there is none";
}

TEST_F(Program, ConstantsAndMapAreWhereTheyBelong) {
  BpfProgram program;
  program.load_imm64(1, kData).mov(2, 5).call(SEVMON_HELPER_APPEND);
  program.load_imm64(1, kMap).mov(2, 6).call(SEVMON_HELPER_APPEND);
  program.mov(0, 0).exit();
  const Image image{program, from_text("const"), 6, from_text("map")};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name()).result, payload(from_text("constmap"), Bytes(3, 0)));

  BpfProgram write;
  write.load_imm64(1, kData).add(BPF_ST | BPF_MEM | BPF_B, 1, 0, 0, 1).mov(0, 0).exit();
  const Image writing{write, from_text("const")};
  client.load_all(writing);
  EXPECT_EQ(client.run(writing.name()).report.state, SEVMON_RUN_FAULT);
}

TEST_F(Program, MapIsKeptBetweenRunsAndNotBetweenLoads) {
  BpfProgram program;  // return ++*(u64 *)map
  program.load_imm64(1, kMap).add(BPF_LDX | BPF_MEM | BPF_DW, 0, 1);
  program.add(BPF_ALU64 | BPF_ADD, 0, 0, 0, 1).add(BPF_STX | BPF_MEM | BPF_DW, 1, 0).exit();
  const Image image{program, {}, 8};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name()).report.r0, 1u);
  EXPECT_EQ(client.run(image.name()).report.r0, 2u);
  EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK) << "it is there";
  EXPECT_EQ(client.run(image.name()).report.r0, 3u);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);
  client.load_all(image);
  EXPECT_EQ(client.run(image.name()).report.r0, 1u);
}

TEST_F(Program, HelperReads) {
  host.guest.map(kGva + 4090, from_text("over a border"));
  const auto got = call(SEVMON_HELPER_READ, {kBuffer, 13, kGva + 4090}, 13);
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(got.result, from_text("over a border"));
}

TEST_F(Program, HelperReadFailsAsAStatusAndLeavesZeros) {
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

TEST_F(Program, HelperReadAtTheEndOfAllAddresses) {
  host.guest.map(0xfffffffffffff000, Bytes(4096, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 16, 0xfffffffffffffff0}, 16).result, Bytes(16, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 17, 0xfffffffffffffff0}).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED))
      << "address 0 is the next";
}

TEST_F(Program, HelperReadsPhysical) {
  const auto frame = host.guest.add_frame();
  host.guest.page(frame).bytes.fill(9);
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 3, frame * 4096 + 4093}, 3).result,
            Bytes(3, 9));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, frame * 4096 + 4093}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, ~0ULL - 10}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
}

TEST_F(Program, HelperReadsTheMemoryOfAProcess) {
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

TEST_F(Program, HelperReadsStrings) {
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

TEST_F(Program, HelperTranslates) {
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame);
  const auto got = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kGva + 5}, sizeof(sevmon_translation));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_translation>(got.result).frame, frame);
  const auto absent = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kAbsent}, sizeof(sevmon_translation));
  EXPECT_EQ(absent.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_GT(load<sevmon_translation>(absent.result).reached, 0) << "as far as it came";
}

TEST_F(Program, HelperSaysWhatAVcpuDoes) {
  const auto got = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 0}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_vcpu_state>(got.result).kernel_root, host.guest.root());
  const auto none = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 1}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(none.report.r0, failed(SEVMON_STATUS_NO_VCPU));
  EXPECT_EQ(none.result, Bytes(sizeof(sevmon_vcpu_state), 0));
}

TEST_F(Program, HelperSaysTheTime) {
  host.now_ns = 77'000;
  EXPECT_EQ(call(SEVMON_HELPER_TIME, {}).report.r0, 77'000u);
}

/// The end of a region ends the run; nothing is written beyond it.
TEST_F(Program, HelpersKeepToTheProgramsRegions) {
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

TEST_F(Program, HelpersCostWhatTheyDo) {
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

TEST_F(Program, ResultIsBoundedByTheSessionsClass) {
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    ProgramClient its{agent, {.connection_id = {size_class, 9}, .size_class = size_class}};
    BpfProgram program;  // while ( !append(input, 904) ) r6++; return r6
    program.mov(6, 0).mov_reg(7, 1).mov_reg(8, 2);
    program.mov_reg(1, 7).mov_reg(2, 8).call(SEVMON_HELPER_APPEND);
    program.add(BPF_JMP | BPF_JNE, 0, 0, 2, 0).add(BPF_ALU64 | BPF_ADD, 6, 0, 0, 1);
    program.jump(-6).mov_reg(0, 6).exit();
    const Image image{program};
    its.load_all(image);
    const auto got = its.run(image.name(), Bytes(904, 3));
    const auto fit = (SEVMON_CLASS_PAGES(size_class) * 4096 - sizeof(sevmon_run_report)) / 904;
    EXPECT_EQ(got.report.r0, fit);
    EXPECT_EQ(got.result, Bytes(fit * 904, 3));
  }
}

TEST_F(Program, AnswerHasNothingBehindItsResult) {
  auto program = returning(1);
  const Image image{program};
  client.load_all(image);
  const sevmon_run_head head{.program = image.name(), .budget = 10, .zero = 0};
  const auto response = client.ask(SEVMON_ITEM_PROGRAM_RUN, bytes_of(head));
  EXPECT_EQ(response.results[0].bytes, sizeof(sevmon_run_report));
  EXPECT_EQ(response.head.data_bytes, sizeof(sevmon_run_report));
  EXPECT_EQ(response.head.levels, 4);
  EXPECT_EQ(response.head.root_frame, host.guest.root());
  EXPECT_TRUE(sevmon_is_zero(response.data().data() + sizeof(sevmon_run_report),
                             response.data().size() - sizeof(sevmon_run_report)));
}

TEST_F(Program, NothingOfAResultIsLeft) {
  BpfProgram program;
  program.call(SEVMON_HELPER_APPEND).exit();
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name(), Bytes(900, 0xa5)).result.size(), 900u);
  const auto& run = agent.state().ids[0].programs->run;
  EXPECT_TRUE(sevmon_is_zero(run.result, sizeof(run.result)));
  EXPECT_TRUE(sevmon_is_zero(run.input, sizeof(run.input)));
  EXPECT_TRUE(sevmon_is_zero(&run.bpf, sizeof(run.bpf)));
}

TEST_F(Program, ReportsCountTheRunsBefore) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name(), {}, 10).report.runs, 0u);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  host.advance_ns(SEVMON_RUN_ABANDONED_SECONDS * 1'000'000'000ULL);
  EXPECT_EQ(client.run(image.name(), {}, 10).report.runs, 2u) << "the abandoned one, too";
}

/// Session numbers come round after 2^27 handshakes; a run does not wait for that.
TEST_F(Program, AnOldRunDoesNotMeetANewSessionOfItsNumber) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  const auto token = sevmon_work_token(&agent.work());
  host.advance_seconds(SEVMON_EXPIRE_SECONDS);
  agent.state().handshakes = 0;
  ProgramClient again{agent};
  ASSERT_EQ(again.list().size(), SEVMON_MAX_PROGRAMS) << "it has the number of the first";
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG);
  EXPECT_EQ(agent.count(SEVMON_COUNT_EXPIRED), 1u);
}

TEST_F(Program, AnAbandonedRunDoesNotKeepItsProgram) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  host.advance_ns(SEVMON_RUN_ABANDONED_SECONDS * 1'000'000'000ULL);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);

  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  host.advance_ns(SEVMON_RUN_ABANDONED_SECONDS * 1'000'000'000ULL);
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_ns(1);
    auto other = returning(i);
    client.load_all(Image{other});
  }
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_NO_PROGRAM) << "its place was taken";
}

TEST_F(Program, RunsInSlices) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  const auto budget = 10 * SEVMON_RUN_SLICE;
  auto answer = agent.frame(client.run_frame(image.name(), {}, budget));
  unsigned calls = 1;
  for (; answer.rc == -ERESTART; ++calls) {
    EXPECT_EQ(host.targets_held, 0) << "between slices nothing is held";
    EXPECT_TRUE(sevmon_is_zero(&agent.work().scratch, sizeof(agent.work().scratch)));
    EXPECT_TRUE(sevmon_is_zero(agent.work().in, sizeof(agent.work().in)));
    answer = agent.go_on(sevmon_work_token(&agent.work()));
  }
  const auto got = client.result(answer);
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_EQ(got.report.cost, budget);
  EXPECT_EQ(got.report.slices, calls);
  EXPECT_GE(calls, 10u);
}

TEST_F(Program, ARunGoesOnOnAnotherCpu) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  auto answer = agent.frame(client.run_frame(image.name(), {}, 3 * SEVMON_RUN_SLICE));
  auto token = sevmon_work_token(&agent.work());
  const auto other = std::make_unique<sevmon_work>();
  while (answer.rc == -ERESTART) {
    answer = agent.go_on(token, *other);
    token = sevmon_work_token(other.get());
  }
  EXPECT_EQ(client.result(answer).report.state, SEVMON_RUN_OVER_BUDGET);
}

TEST_F(Program, TokensOfNoRun) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  for (const std::uint32_t token : {0u, 1u, 7u, 8u, 0x80000000u, 0xffffffffu})
    EXPECT_EQ(agent.go_on(token).rc, -EBADMSG) << token;
  const auto answer = agent.frame(client.run_frame(image.name(), {}, 2 * SEVMON_RUN_SLICE));
  ASSERT_EQ(answer.rc, -ERESTART);
  const auto token = sevmon_work_token(&agent.work());
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_EQ(agent.go_on(token ^ 1u << bit).rc, -EBADMSG) << bit;
  auto last = agent.go_on(token);
  while (last.rc == -ERESTART) last = agent.go_on(token);
  EXPECT_GT(last.rc, 0);
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG) << "it is answered once";
}

TEST_F(Program, OneRunAtATimeAndAnAbandonedOneMakesRoom) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  const auto first = agent.frame(client.run_frame(image.name()));
  ASSERT_EQ(first.rc, -ERESTART);
  const auto token = sevmon_work_token(&agent.work());
  auto quick_program = returning(7);
  const Image quick{quick_program};
  client.load_all(quick);
  EXPECT_EQ(client.run(quick.name()).status, SEVMON_STATUS_BUSY);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  EXPECT_EQ(client.unload(quick), SEVMON_STATUS_OK);
  client.load_all(quick);
  host.advance_ns(SEVMON_RUN_ABANDONED_SECONDS * 1'000'000'000ULL - 1);
  EXPECT_EQ(client.run(quick.name()).status, SEVMON_STATUS_BUSY);
  host.advance_ns(1);
  EXPECT_EQ(client.run(quick.name()).report.r0, 7u);
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG) << "its run is over";
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);
}

TEST_F(Program, ARunEndsWithItsSession) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  const auto token = sevmon_work_token(&agent.work());
  host.advance_seconds(SEVMON_EXPIRE_SECONDS);
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG);
  ProgramClient again{agent};
  EXPECT_EQ(again.run(image.name(), {}, 10).report.state, SEVMON_RUN_OVER_BUDGET)
      << "the program is the IDS's, not the session's";
}

TEST_F(Program, ARunEndsWithItsTarget) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  host.domid = 3;
  auto frame = client.run_frame(image.name());
  ASSERT_EQ(agent.frame(frame).rc, -ERESTART);
  host.domid = 4;
  const auto answer = agent.go_on(sevmon_work_token(&agent.work()));
  EXPECT_EQ(client.result(answer).report.state, SEVMON_RUN_NO_TARGET);
}

TEST_F(Program, FaultsSayWhere) {
  BpfProgram program;
  program.mov(1, 0).add(BPF_LDX | BPF_MEM | BPF_DW, 0, 1).exit();
  const auto got = run(program);
  EXPECT_EQ(got.report.state, SEVMON_RUN_FAULT);
  EXPECT_EQ(got.report.insn, 1u);

  BpfProgram helper;
  helper.mov(1, 0).mov(2, 8).call(SEVMON_HELPER_APPEND).exit();
  const auto of_helper = run(helper);
  EXPECT_EQ(of_helper.report.state, SEVMON_RUN_FAULT);
  EXPECT_EQ(of_helper.report.insn, 2u);
}

TEST_F(Program, ProgramsAreTheirIdssOwn) {
  auto program = returning(5);
  const Image image{program};
  FakeAgent two{host, {test_key(0), test_key(1)}};
  ProgramClient one{two}, other{two, {.connection_id = {9}}, test_key(1)};
  one.load_all(image);
  EXPECT_EQ(other.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(other.unload(image), SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(other.list()[0].state, SEVMON_PROGRAM_FREE);
  EXPECT_EQ(one.run(image.name()).report.r0, 5u);
}

TEST_F(Program, TheOneNotUsedForLongestMakesRoom) {
  std::vector<Image> images;
  for (int i = 0; i <= SEVMON_MAX_PROGRAMS; ++i) {
    auto program = returning(i);
    images.emplace_back(program);
  }
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_ns(1);
    client.load_all(images[i]);
  }
  host.advance_ns(1);
  client.run(images[0].name());
  client.load_all(images.back());
  EXPECT_EQ(client.run(images[0].name()).status, SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(images[1].name()).status, SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(client.run(images.back().name()).report.r0, SEVMON_MAX_PROGRAMS);
}

TEST_F(Program, ListSaysWhatIsThere) {
  auto program = returning(1);
  const Image image{program};
  host.now_ns = 123'456'000'000'000;
  ProgramClient now{agent, {.connection_id = {4}}};
  now.load_all(image);
  now.run(image.name());
  now.run(image.name());
  const auto list = now.list();
  EXPECT_EQ(to_hex(list[0].sha256), to_hex(image.sha256()));
  EXPECT_EQ(list[0].bytes, image.bytes.size());
  EXPECT_EQ(list[0].state, SEVMON_PROGRAM_READY);
  EXPECT_EQ(list[0].runs, 2u);
  EXPECT_EQ(list[0].used_ns, 123'456'000'000'000u);
  for (unsigned i = 1; i < SEVMON_MAX_PROGRAMS; ++i)
    EXPECT_TRUE(sevmon_is_zero(&list[i], sizeof(list[i])));
}

TEST_F(Program, LoadingTwiceAtOnceGivesOne) {
  auto program = returning(1);
  const Image image{program};
  ProgramClient other{agent, {.connection_id = {4}}};
  EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK);
  EXPECT_EQ(other.begin(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.chunks(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.commit(image).first, SEVMON_STATUS_OK);
  EXPECT_EQ(other.chunks(image), SEVMON_STATUS_OK);
  EXPECT_EQ(other.commit(image).first, SEVMON_STATUS_OK);
  EXPECT_EQ(other.list()[1].state, SEVMON_PROGRAM_FREE);
}

/// Whoever has the program already cannot have it changed under the run.
TEST_F(Program, ChunksOfALoadedOneChangeNothing) {
  auto program = returning(1);
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes(48, 0xff)), SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(image.name()).report.r0, 1u);
}

TEST_F(Program, WhatWasNotAnnouncedIsRefused) {
  auto program = returning(1);
  const Image image{program};
  for (std::size_t at = 0; at < image.bytes.size(); ++at) {
    ASSERT_EQ(client.begin(image), SEVMON_STATUS_OK);
    auto wrong = image;
    wrong.bytes[at] ^= 1;
    ASSERT_EQ(client.chunk(image.name(), 0, wrong.bytes), SEVMON_STATUS_OK);
    const auto [status, verdict] = client.commit(image);
    EXPECT_EQ(status, SEVMON_STATUS_REFUSED) << at;
    EXPECT_EQ(verdict.reason, SEVMON_VERDICT_DIGEST);
    EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
  }
}

TEST_F(Program, HeadsThatDoNotFit) {
  auto program = returning(1);
  const auto verdict = [&](auto&& change) {
    Image image{program, from_text("constant"), 64, from_text("begin")};
    change(image);
    EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK);
    EXPECT_EQ(client.chunks(image), SEVMON_STATUS_OK);
    return client.commit(image).second.reason;
  };
  EXPECT_EQ(verdict([](Image&) {}), SEVMON_VERDICT_OK);
  using Change = void (*)(Image&);
  const Change changes[] = {
      [](Image& i) { i.head().insns = 0; },
      [](Image& i) { i.head().insns = SEVMON_PROGRAM_MAX_INSNS + 1; },
      [](Image& i) { ++i.head().insns; },
      [](Image& i) { --i.head().insns; },
      [](Image& i) { i.head().insns = 0x20000000; },
      [](Image& i) { ++i.head().data_bytes; },
      [](Image& i) { --i.head().data_bytes; },
      [](Image& i) { i.head().data_bytes = SEVMON_PROGRAM_MAX_DATA_BYTES + 1; },
      [](Image& i) { ++i.head().init_bytes; },
      [](Image& i) { i.head().map_bytes = 4; },
      [](Image& i) { i.head().map_bytes = SEVMON_PROGRAM_MAX_MAP_BYTES + 1; },
      // Both together fit the length, each alone is too much.
      [](Image& i) { i.head().data_bytes += 6, i.head().init_bytes -= 6; },
      [](Image& i) { i.head().data_bytes -= 9, i.head().init_bytes += 9; },
      [](Image& i) { i.bytes.push_back(0); },
      [](Image& i) { i.bytes.pop_back(); },
  };
  for (std::size_t i = 0; i < std::size(changes); ++i)
    EXPECT_EQ(verdict(changes[i]), SEVMON_VERDICT_HEAD) << i;
  for (unsigned bit = 0; bit < 128; ++bit)
    EXPECT_EQ(verdict([&](Image& i) { i.head().zero[bit / 64] = 1ULL << bit % 64; }),
              SEVMON_VERDICT_HEAD);
}

TEST_F(Program, TheLargestOfEach) {
  BpfProgram program;
  for (int i = 0; i < SEVMON_PROGRAM_MAX_INSNS - 1; ++i) program.mov(0, i);
  program.exit();
  const auto left = SEVMON_PROGRAM_MAX_BYTES - sizeof(sevmon_program_head) -
                    SEVMON_PROGRAM_MAX_INSNS * 8 - SEVMON_PROGRAM_MAX_DATA_BYTES;
  const Image image{program, Bytes(SEVMON_PROGRAM_MAX_DATA_BYTES, 1), SEVMON_PROGRAM_MAX_MAP_BYTES,
                    Bytes(left, 2)};
  ASSERT_EQ(image.bytes.size(), SEVMON_PROGRAM_MAX_BYTES);
  client.load_all(image);
  EXPECT_EQ(client.run(image.name()).report.r0, SEVMON_PROGRAM_MAX_INSNS - 2u);
}

TEST_F(Program, TheVerifiersVerdictIsTold) {
  BpfProgram program;
  program.mov(0, 1).mov_reg(0, 6).exit();
  const Image image{program};
  client.begin(image), client.chunks(image);
  const auto [status, verdict] = client.commit(image);
  EXPECT_EQ(status, SEVMON_STATUS_REFUSED);
  EXPECT_EQ(verdict.reason, SEVMON_VERDICT_UNINITIALISED);
  EXPECT_EQ(verdict.insn, 1u);

  for (const std::int32_t number : {-1, 0, SEVMON_HELPERS}) {
    BpfProgram helper;
    helper.call(number).exit();
    const Image unknown{helper};
    client.begin(unknown), client.chunks(unknown);
    EXPECT_EQ(client.commit(unknown).second.reason, SEVMON_VERDICT_HELPER) << number;
  }
}

TEST_F(Program, BeginsThatAreRefused) {
  auto program = returning(1);
  const Image image{program};
  sevmon_program_begin begin{.sha256 = {}, .bytes = 0, .zero = 0};
  const auto status = [&](std::uint32_t bytes, std::uint32_t zero) {
    begin.bytes = bytes, begin.zero = zero;
    return client.status(SEVMON_ITEM_PROGRAM_BEGIN, bytes_of(begin));
  };
  EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES - 1, 0), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(status(SEVMON_PROGRAM_MAX_BYTES + 1, 0), SEVMON_STATUS_BAD_ITEM);
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES, 1u << bit), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.list()[0].state, SEVMON_PROGRAM_FREE);
  EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES, 0), SEVMON_STATUS_OK);
}

TEST_F(Program, ChunksThatAreRefused) {
  auto program = returning(1);
  const Image image{program};
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes(1)), SEVMON_STATUS_NO_PROGRAM);
  client.begin(image);
  const auto bytes = static_cast<std::uint32_t>(image.bytes.size());
  EXPECT_EQ(client.chunk(image.name(), bytes - 1, Bytes(1)), SEVMON_STATUS_OK);
  EXPECT_EQ(client.chunk(image.name(), bytes - 1, Bytes(2)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), bytes, Bytes(1)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), 0xffffffff, Bytes(1)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes()), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.commit(Image{program, from_text("x")}).first, SEVMON_STATUS_NO_PROGRAM);
}

/// Each kind's payload: one byte less and one more than it can be, and each reserved bit.
TEST_F(Program, PayloadsOfAnotherSize) {
  const struct {
    std::uint8_t type;
    std::size_t least;
    bool has_more;
    std::vector<std::size_t> zeros;  // reserved bytes
  } kinds[] = {{SEVMON_ITEM_PROGRAM_BEGIN, 40, false, {}},
               {SEVMON_ITEM_PROGRAM_CHUNK, 16, true, {12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_COMMIT, 16, false, {8, 9, 10, 11, 12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_UNLOAD, 16, false, {8, 9, 10, 11, 12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_LIST, 0, false, {}},
               {SEVMON_ITEM_PROGRAM_RUN, 24, true, {16, 17, 18, 19, 20, 21, 22, 23}}};
  for (const auto& kind : kinds) {
    for (std::size_t bytes = 0; bytes <= SEVMON_MAX_PAYLOAD_BYTES; ++bytes) {
      if (bytes == kind.least || (kind.has_more && bytes > kind.least)) continue;
      EXPECT_EQ(client.status(kind.type, Bytes(bytes, 1)), SEVMON_STATUS_BAD_ITEM)
          << +kind.type << " " << bytes;
    }
    for (const auto at : kind.zeros)
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes payload(kind.least + kind.has_more, 0);
        payload[8] = kind.type == SEVMON_ITEM_PROGRAM_RUN;  // a budget
        payload[at] = static_cast<std::uint8_t>(1 << bit);
        EXPECT_EQ(client.status(kind.type, payload), SEVMON_STATUS_BAD_ITEM) << +kind.type;
      }
    auto body = program_request(kind.type, Bytes(kind.least));
    body.items[0].arg = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
    body.items[0].arg = 0, body.items[0].address = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
    body.items[0].address = 0, body.items[0].zero = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
  }
}

TEST_F(Program, RequestsWithMoreThanTheirItem) {
  auto body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  body.items[0].bytes = SEVMON_MAX_PAYLOAD_BYTES + 1;
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST);

  body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  reinterpret_cast<std::uint8_t*>(&body.items[1])[0] = 1;
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST) << "behind its payload";

  body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  body.head.items = 2;
  body.items[1] = read_virtual(kGva, 1);
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST) << "it is not alone";
  std::swap(body.items[0], body.items[1]);
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST);
}

TEST_F(Program, RunsThatAreRefused) {
  auto program = returning(1);
  const Image image{program};
  EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
  client.begin(image);
  EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM) << "not checked yet";
  client.chunks(image), client.commit(image);
  EXPECT_EQ(client.run(image.name(), {}, 0).status, SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.run(image.name(), {}, SEVMON_RUN_MAX_BUDGET + 1).status, SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.run(image.name(), {}, SEVMON_RUN_MAX_BUDGET).status, SEVMON_STATUS_OK);
  host.root_status = SEVMON_ANSWER_NO_ROOT;
  const sevmon_run_head head{.program = image.name(), .budget = 1, .zero = 0};
  EXPECT_EQ(client.ask(SEVMON_ITEM_PROGRAM_RUN, bytes_of(head)).head.status, SEVMON_ANSWER_NO_ROOT);
}

/// Several connections of one IDS load, run and unload the same two programs on as many CPUs.
TEST_F(Program, ManyCpusAtOnce) {
  host.guest.map(kGva, Bytes(4096, 0x3c));
  BpfProgram reading;  // read(map, 8, gva), again and again; return what is there
  reading.mov(6, 200).load_imm64(1, kMap).mov(2, 8).load_imm64(3, kGva);
  reading.call(SEVMON_HELPER_READ).add(BPF_ALU64 | BPF_SUB, 6, 0, 0, 1);
  reading.add(BPF_JMP | BPF_JNE, 6, 0, -8, 0).load_imm64(1, kMap);
  reading.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 1).exit();
  auto counting = returning(9);
  const Image images[] = {Image{reading, {}, 8}, Image{counting}};
  const std::uint64_t results[] = {0x3c3c3c3c3c3c3c3c, 9};

  std::vector<std::unique_ptr<ProgramClient>> clients;
  for (std::uint8_t i = 0; i < 3; ++i)
    clients.push_back(std::make_unique<ProgramClient>(
        agent, InitiatorOptions{.connection_id = {i, 1}, .size_class = 0}));
  std::atomic<unsigned> ran{0};
  const auto work = [&](ProgramClient& its, unsigned first) {
    for (unsigned i = first; i < first + 60; ++i) {
      const auto& image = images[i % 2];
      its.begin(image), its.chunks(image), its.commit(image);
      const auto got = its.run(image.name());
      if (i % 7 == 0) its.unload(image);
      if (got.status != SEVMON_STATUS_OK) continue;
      EXPECT_EQ(got.report.state, SEVMON_RUN_DONE);
      EXPECT_EQ(got.report.r0, results[i % 2]);
      ++ran;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < clients.size(); ++i)
    threads.emplace_back([&, i] { work(*clients[i], i); });
  for (auto& thread : threads) thread.join();
  EXPECT_GT(ran, 0u);
  const auto& run = agent.state().ids[0].programs->run;
  EXPECT_EQ(run.place, SEVMON_RUN_NONE);
  for (const auto& program : agent.state().ids[0].programs->program) EXPECT_FALSE(program.running);
}

/// An agent that has no memory for programs does not start.
TEST(ProgramMemory, IsNeeded) {
  FakeHost host;
  auto table = *host.table();
  static int left;
  table.allocate = [](std::size_t bytes) { return left-- > 0 ? std::calloc(1, bytes) : nullptr; };
  const auto file = key_file({test_key(0), test_key(1)});
  for (left = 0; left < 2;) {
    const int had = left;
    const auto agent = std::make_unique<sevmon_agent>();
    EXPECT_EQ(sevmon_agent_start(agent.get(), &table, file.data(), file.size()), -ENOMEM);
    EXPECT_TRUE(sevmon_is_zero(agent.get(), sizeof(*agent)));
    left = had + 1;
  }
}

}  // namespace
}  // namespace sevmon::tests
