// SPDX-License-Identifier: Apache-2.0
//
// Runs of programs (run.c): their slices, results and ends.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

class Run : public ProgramFixture {};

TEST_F(Run, RunsAndSaysHow) {
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

TEST_F(Run, InputIsWhatWasSent) {
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

TEST_F(Run, ConstantsAndMapAreWhereTheyBelong) {
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

TEST_F(Run, MapIsKeptBetweenRunsAndNotBetweenLoads) {
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

TEST_F(Run, ResultIsBoundedByTheSessionsClass) {
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

TEST_F(Run, AnswerHasNothingBehindItsResult) {
  auto program = returning(1);
  const Image image{program};
  client.load_all(image);
  const sevmon_run_head head{.program = image.name(), .budget = 10, .flags = 0, .pause_us = 0};
  const auto response = client.ask(SEVMON_ITEM_PROGRAM_RUN, bytes_of(head));
  EXPECT_EQ(response.results[0].bytes, sizeof(sevmon_run_report));
  EXPECT_EQ(response.head.data_bytes, sizeof(sevmon_run_report));
  EXPECT_EQ(response.head.levels, 4);
  EXPECT_EQ(response.head.root_frame, host.guest.root());
  EXPECT_TRUE(sevmon_is_zero(response.data().data() + sizeof(sevmon_run_report),
                             response.data().size() - sizeof(sevmon_run_report)));
}

TEST_F(Run, NothingOfAResultIsLeft) {
  BpfProgram program;
  program.call(SEVMON_HELPER_APPEND).exit();
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name(), Bytes(900, 0xa5)).result.size(), 900u);
  const auto& run = agent.state().ids[0].programs->demand.run;
  EXPECT_TRUE(sevmon_is_zero(run.result, sizeof(run.result)));
  EXPECT_TRUE(sevmon_is_zero(run.order.input, sizeof(run.order.input)));
  EXPECT_TRUE(sevmon_is_zero(&run.bpf, sizeof(run.bpf)));
}

TEST_F(Run, ReportsCountTheRunsBefore) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.run(image.name(), {}, 10).report.runs, 0u);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  host.advance_ns(SEVMON_DEMAND_ABANDONED_SECONDS * 1'000'000'000ULL);
  EXPECT_EQ(client.run(image.name(), {}, 10).report.runs, 2u) << "the abandoned one, too";
}

/// Session numbers come round after 2^27 handshakes; a run does not wait for that.
TEST_F(Run, AnOldRunDoesNotMeetANewSessionOfItsNumber) {
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

TEST_F(Run, AnAbandonedRunDoesNotKeepItsProgram) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  host.advance_ns(SEVMON_DEMAND_ABANDONED_SECONDS * 1'000'000'000ULL);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);

  client.load_all(image);
  ASSERT_EQ(agent.frame(client.run_frame(image.name())).rc, -ERESTART);
  host.advance_ns(SEVMON_DEMAND_ABANDONED_SECONDS * 1'000'000'000ULL);
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_ns(1);
    auto other = returning(i);
    client.load_all(Image{other});
  }
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_NO_PROGRAM) << "its place was taken";
}

TEST_F(Run, RunsInSlices) {
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

TEST_F(Run, ARunGoesOnOnAnotherCpu) {
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

TEST_F(Run, TokensOfNoRun) {
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

TEST_F(Run, OneRunAtATimeAndAnAbandonedOneMakesRoom) {
  auto program = endless(), quick_program = returning(7), other_program = returning(8);
  const Image image{program}, quick{quick_program}, other{other_program};
  client.load_all(image);
  client.load_all(quick);
  const auto first = agent.frame(client.run_frame(image.name()));
  ASSERT_EQ(first.rc, -ERESTART);
  const auto token = sevmon_work_token(&agent.work());
  EXPECT_EQ(client.run(quick.name()).status, SEVMON_STATUS_BUSY);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  EXPECT_EQ(client.begin(other), SEVMON_STATUS_OK);
  EXPECT_EQ(client.chunks(other), SEVMON_STATUS_OK);
  EXPECT_EQ(client.commit(other).first, SEVMON_STATUS_BUSY) << "a check would take its place";
  EXPECT_EQ(client.unload(other), SEVMON_STATUS_OK);
  host.advance_ns(SEVMON_DEMAND_ABANDONED_SECONDS * 1'000'000'000ULL - 1);
  EXPECT_EQ(client.run(quick.name()).status, SEVMON_STATUS_BUSY);
  host.advance_ns(1);
  EXPECT_EQ(client.run(quick.name()).report.r0, 7u);
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG) << "its run is over";
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);
}

TEST_F(Run, ARunEndsWithItsSession) {
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

TEST_F(Run, ARunEndsWithItsTarget) {
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

TEST_F(Run, FaultsSayWhere) {
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

TEST_F(Run, RunsThatAreRefused) {
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
  const sevmon_run_head head{.program = image.name(), .budget = 1, .flags = 0, .pause_us = 0};
  EXPECT_EQ(client.ask(SEVMON_ITEM_PROGRAM_RUN, bytes_of(head)).head.status, SEVMON_ANSWER_NO_ROOT);
}

/// Several connections of one IDS load, run and unload the same two programs on as many CPUs.
TEST_F(Run, ManyCpusAtOnce) {
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
  EXPECT_EQ(agent.state().ids[0].programs->demand.place, SEVMON_DEMAND_NONE);
  for (const auto& program : agent.state().ids[0].programs->program) EXPECT_FALSE(program.running);
}

}  // namespace
}  // namespace sevmon::tests
