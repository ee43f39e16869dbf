// SPDX-License-Identifier: Apache-2.0
//
// COMMIT in slices (check.c, demand.c): where it is cut, who goes on with it, and what becomes of
// it when nobody does.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kAbandonedNs = SEVMON_DEMAND_ABANDONED_SECONDS * 1'000'000'000ULL;

/// Begin, as an IDS that wants to run it.
void bring(ProgramClient& client, const Image& image) {
  require(client.begin(image) == SEVMON_STATUS_OK, "BEGIN");
  require(client.chunks(image) == SEVMON_STATUS_OK, "CHUNK");
}

/// The most that there is of everything; `last` tells one from another.
Image largest(std::uint8_t last = 0) {
  auto program = slowest_to_verify(last);
  const auto left = SEVMON_PROGRAM_MAX_BYTES - sizeof(sevmon_program_head) -
                    SEVMON_PROGRAM_MAX_INSNS * 8 - SEVMON_PROGRAM_MAX_DATA_BYTES;
  return {program, Bytes(SEVMON_PROGRAM_MAX_DATA_BYTES, 1), SEVMON_PROGRAM_MAX_MAP_BYTES,
          Bytes(left, 2)};
}

class Check : public ProgramFixture {
 protected:
  struct sevmon_programs& programs(unsigned ids = 0) {
    return *agent.state().ids[ids].programs;
  }
  std::uint32_t state_of(const Image& image) {
    for (const auto& entry : client.list())
      if (std::ranges::equal(entry.sha256, image.sha256())) return entry.state;
    return SEVMON_PROGRAM_FREE;
  }
  /// Hand in a COMMIT and go on with it `slices` times. Returns its last answer.
  FakeAgent::Answer commit(ProgramClient& its, const Image& image, unsigned slices) {
    auto answer = agent.frame(its.commit_frame(image));
    for (unsigned i = 0; i < slices && answer.rc == -ERESTART; ++i)
      answer = agent.go_on(sevmon_work_token(&agent.work()));
    return answer;
  }
  std::uint32_t token() { return sevmon_work_token(&agent.work()); }

  Image image = largest();
};

TEST_F(Check, LooksAtALittleInEachSlice) {
  bring(client, image);
  auto answer = agent.frame(client.commit_frame(image));
  unsigned calls = 1;
  auto& check = programs().demand.check;
  for (std::uint32_t hashed = 0; answer.rc == -ERESTART; ++calls) {
    EXPECT_LE(check.hashed_bytes - hashed, SEVMON_CHECK_SLICE_BYTES);
    hashed = check.hashed_bytes;
    EXPECT_EQ(programs().program[0].state, SEVMON_PROGRAM_OWNED);
    EXPECT_EQ(host.targets_held, 0) << "between slices nothing is held";
    EXPECT_TRUE(sevmon_is_zero(&agent.work().scratch, sizeof(agent.work().scratch)));
    EXPECT_TRUE(sevmon_is_zero(agent.work().in, sizeof(agent.work().in)));
    answer = agent.go_on(token());
  }
  EXPECT_EQ(client.verdict(answer).first, SEVMON_STATUS_OK);
  EXPECT_EQ(client.verdict(answer).second.reason, SEVMON_VERDICT_OK);
  EXPECT_GE(calls, SEVMON_PROGRAM_MAX_BYTES / SEVMON_CHECK_SLICE_BYTES +
                       10 * SEVMON_PROGRAM_MAX_INSNS / SEVMON_CHECK_SLICE_LOOKS);
  EXPECT_EQ(state_of(image), SEVMON_PROGRAM_READY);
  EXPECT_EQ(client.run(image.name()).report.r0, 0u);
}

/// The answer is that of an item that was answered at once: as long, with nothing behind it.
TEST_F(Check, AnswersAsAnyItem) {
  auto wrong = returning(1);
  wrong.insns()[0].regs = 11;
  for (const bool good : {true, false}) {
    auto program = good ? returning(1) : wrong;
    const Image small{program};
    bring(client, small);
    for (const bool again : {false, true}) {
      const sevmon_program_name name{.program = small.name(), .zero = 0};
      const auto response = client.ask(SEVMON_ITEM_PROGRAM_COMMIT, bytes_of(name));
      EXPECT_EQ(response.results[0].status, good    ? SEVMON_STATUS_OK
                                            : again ? SEVMON_STATUS_NO_PROGRAM
                                                    : SEVMON_STATUS_REFUSED);
      EXPECT_EQ(response.results[0].bytes, sizeof(sevmon_program_verdict));
      EXPECT_EQ(response.head.data_bytes, sizeof(sevmon_program_verdict));
      EXPECT_EQ(response.head.status, SEVMON_ANSWER_OK);
      EXPECT_EQ(response.head.items, 1);
      EXPECT_TRUE(sevmon_is_zero(response.data().data() + sizeof(sevmon_program_verdict),
                                 response.data().size() - sizeof(sevmon_program_verdict)));
    }
  }
}

/// Wherever Dom0 lets it lie, its place is free again after a while and the image is still there.
TEST_F(Check, AbandonedAtEachSlice) {
  auto quick_program = returning(7);
  const Image quick{quick_program};
  client.load_all(quick);
  for (unsigned slices = 0;; ++slices) {
    bring(client, image);
    const auto answer = commit(client, image, slices);
    if (answer.rc > 0) {
      EXPECT_GT(slices, 20u);
      EXPECT_EQ(client.verdict(answer).first, SEVMON_STATUS_OK);
      break;
    }
    const auto abandoned = token();
    EXPECT_EQ(state_of(image), SEVMON_PROGRAM_OWNED) << slices;
    EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM) << "half looked at";
    host.advance_ns(kAbandonedNs - 1);
    EXPECT_EQ(client.commit(image).first, SEVMON_STATUS_BUSY) << slices;
    EXPECT_EQ(client.run(quick.name()).status, SEVMON_STATUS_BUSY) << "one at a time";
    EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY) << slices;
    host.advance_ns(1);
    // Each of what waits for it finds it gone.
    const auto found = [&]() -> unsigned {
      switch (slices % 4) {
        case 0:
          return client.commit(image).first;
        case 1:
          return client.run(quick.name()).status;
        case 2:
          return client.begin(image);
      }
      return SEVMON_STATUS_OK;  // UNLOAD, below
    }();
    EXPECT_EQ(found, SEVMON_STATUS_OK) << slices;
    const unsigned states[] = {SEVMON_PROGRAM_READY, SEVMON_PROGRAM_LOADING, SEVMON_PROGRAM_LOADING,
                               SEVMON_PROGRAM_OWNED};
    EXPECT_EQ(state_of(image), states[slices % 4]) << slices;
    EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK) << slices;
    EXPECT_EQ(agent.go_on(abandoned).rc, -EBADMSG) << slices;
    EXPECT_EQ(programs().demand.place, SEVMON_DEMAND_NONE);
  }
}

/// What was hashed and looked at before says nothing of what is there now.
TEST_F(Check, AnAbandonedOnesVerdictIsNotAnothers) {
  for (const unsigned slices : {3u, 16u, 17u, 20u}) {
    auto other = image;
    bring(client, image);
    ASSERT_EQ(commit(client, image, slices).rc, -ERESTART);
    const auto abandoned = token();
    host.advance_ns(kAbandonedNs);
    ASSERT_EQ(client.begin(image), SEVMON_STATUS_OK);
    other.bytes[40] ^= 1;
    ASSERT_EQ(client.chunk(image.name(), 0, ByteView{other.bytes}.first(900)), SEVMON_STATUS_OK);
    EXPECT_EQ(agent.go_on(abandoned).rc, -EBADMSG) << slices;
    const auto [status, verdict] = client.commit(image);
    EXPECT_EQ(status, SEVMON_STATUS_REFUSED) << slices;
    EXPECT_EQ(verdict.reason, SEVMON_VERDICT_DIGEST) << slices;
    EXPECT_EQ(state_of(image), SEVMON_PROGRAM_FREE) << slices;
  }
}

/// An abandoned one does not keep its place: the fifth program takes it.
TEST_F(Check, AnAbandonedOneMakesRoom) {
  bring(client, image);
  ASSERT_EQ(commit(client, image, 5).rc, -ERESTART);
  const auto abandoned = token();
  host.advance_ns(kAbandonedNs);
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_ns(1);
    auto other = returning(i);
    client.load_all(Image{other});
  }
  EXPECT_EQ(state_of(image), SEVMON_PROGRAM_FREE);
  EXPECT_EQ(agent.go_on(abandoned).rc, -EBADMSG);
  for (const auto& entry : client.list()) EXPECT_EQ(entry.state, SEVMON_PROGRAM_READY);
}

/// Neither by a chunk nor by a program that looks for room.
TEST_F(Check, NothingChangesWhatIsBeingLookedAt) {
  bring(client, image);
  ASSERT_EQ(commit(client, image, 2).rc, -ERESTART);
  const auto its = token();
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes(900, 0xff)), SEVMON_STATUS_OK);
  EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK) << "it is there";
  std::vector<Image> others;
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    auto other = returning(i);
    others.emplace_back(other);
    host.advance_ns(1);
    EXPECT_EQ(client.begin(others.back()), SEVMON_STATUS_OK);
  }
  EXPECT_EQ(state_of(others[0]), SEVMON_PROGRAM_FREE) << "the fifth took this one's place";
  auto answer = agent.go_on(its);
  while (answer.rc == -ERESTART) answer = agent.go_on(token());
  EXPECT_EQ(client.verdict(answer).first, SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(image.name()).report.state, SEVMON_RUN_DONE);
}

TEST_F(Check, TheSessionIsReplacedInTheMiddle) {
  bring(client, image);
  for (const bool in_time : {true, false}) {
    ASSERT_EQ(commit(client, image, 4).rc, -ERESTART);
    const auto its = token();
    ProgramClient again{agent};
    EXPECT_EQ(again.list()[0].state, SEVMON_PROGRAM_OWNED) << "which makes it the current session";
    if (!in_time) {
      again = ProgramClient{agent};
      again.list();
      EXPECT_EQ(agent.go_on(its).rc, -EBADMSG) << "two sessions later";
      EXPECT_EQ(again.list()[0].state, SEVMON_PROGRAM_LOADING);
      EXPECT_EQ(programs().demand.place, SEVMON_DEMAND_NONE);
      EXPECT_EQ(again.commit(image).first, SEVMON_STATUS_OK);
      return;
    }
    auto answer = agent.go_on(its);
    while (answer.rc == -ERESTART) answer = agent.go_on(token());
    EXPECT_EQ(client.verdict(answer).first, SEVMON_STATUS_OK);
    EXPECT_FALSE(again.opens(answer.frame)) << "sealed under the session that asked";
    EXPECT_EQ(again.unload(image), SEVMON_STATUS_OK);
    client = ProgramClient{agent};
    bring(client, image);
  }
}

TEST_F(Check, TheSessionEndsInTheMiddle) {
  for (const unsigned slices : {0u, 9u, 17u, 19u}) {
    ProgramClient its{agent, {.connection_id = {7}}};
    bring(its, image);
    ASSERT_EQ(commit(its, image, slices).rc, -ERESTART);
    const auto last = token();
    its.status(SEVMON_ITEM_CLOSE, {});
    EXPECT_EQ(agent.go_on(last).rc, -EBADMSG) << slices;
    EXPECT_EQ(agent.go_on(last).rc, -EBADMSG) << "and once is all";
    ProgramClient again{agent, {.connection_id = {8}}};
    EXPECT_EQ(again.list()[0].state, SEVMON_PROGRAM_LOADING) << slices;
    EXPECT_EQ(again.commit(image).first, SEVMON_STATUS_OK) << "all of it is there";
    EXPECT_EQ(again.unload(image), SEVMON_STATUS_OK);
    again.status(SEVMON_ITEM_CLOSE, {});
  }
}

/// Session numbers come round; a check does not wait for that.
TEST_F(Check, AnOldOneDoesNotMeetANewSessionOfItsNumber) {
  bring(client, image);
  ASSERT_EQ(commit(client, image, 1).rc, -ERESTART);
  const auto its = token();
  host.advance_seconds(SEVMON_EXPIRE_SECONDS);
  agent.state().handshakes = 0;
  ProgramClient again{agent};
  EXPECT_EQ(again.list()[0].state, SEVMON_PROGRAM_OWNED) << "it has the number of the first";
  EXPECT_EQ(agent.go_on(its).rc, -EBADMSG);
  EXPECT_EQ(again.list()[0].state, SEVMON_PROGRAM_LOADING);
}

/// Slices of two IDSs in turns: each gets its own verdict, sealed for it alone.
TEST_F(Check, TwoIdss) {
  FakeAgent two{host, {test_key(0), test_key(1)}};
  ProgramClient clients[] = {ProgramClient{two, {.connection_id = {1}}, test_key(0)},
                             ProgramClient{two, {.connection_id = {1}}, test_key(1)}};
  // The same name for both; one of them lies about what it is.
  auto wrong = image;
  wrong.bytes.back() ^= 1;
  std::uint32_t tokens[2];
  FakeAgent::Answer answers[2];
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(clients[i].begin(image), SEVMON_STATUS_OK);
    ASSERT_EQ(clients[i].chunks_as(image.name(), i == 0 ? image : wrong), SEVMON_STATUS_OK);
  }
  for (int i = 0; i < 2; ++i) {
    answers[i] = two.frame(clients[i].commit_frame(image));
    tokens[i] = sevmon_work_token(&two.work());
  }
  EXPECT_NE(tokens[0], tokens[1]);
  while (answers[0].rc == -ERESTART || answers[1].rc == -ERESTART)
    for (int i = 0; i < 2; ++i)
      if (answers[i].rc == -ERESTART) {
        answers[i] = two.go_on(tokens[i]);
        tokens[i] = sevmon_work_token(&two.work());
      }
  EXPECT_EQ(clients[0].verdict(answers[0]).first, SEVMON_STATUS_OK);
  EXPECT_EQ(clients[1].verdict(answers[1]).second.reason, SEVMON_VERDICT_DIGEST);
  EXPECT_FALSE(clients[0].opens(answers[1].frame));
  EXPECT_FALSE(clients[1].opens(answers[0].frame));
  EXPECT_EQ(clients[0].run(image.name()).report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(clients[1].run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
}

TEST_F(Check, TokensOfNoCheck) {
  bring(client, image);
  ASSERT_EQ(commit(client, image, 0).rc, -ERESTART);
  const auto its = token();
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_EQ(agent.go_on(its ^ 1u << bit).rc, -EBADMSG) << bit;
  auto answer = agent.go_on(its);
  while (answer.rc == -ERESTART) answer = agent.go_on(token());
  EXPECT_EQ(client.verdict(answer).first, SEVMON_STATUS_OK);
  EXPECT_EQ(agent.go_on(its).rc, -EBADMSG) << "it is answered once";
}

/// Each slice is asked for by all CPUs at once: one of them does it, and there is one answer.
TEST_F(Check, EachSliceIsDoneOnce) {
  bring(client, image);
  ASSERT_EQ(commit(client, image, 0).rc, -ERESTART);
  const auto its = token();
  constexpr unsigned kCpus = 3;
  std::atomic<unsigned> slices{0}, answers{0};
  std::atomic<bool> ended{false};
  FakeAgent::Answer last;
  std::vector<std::thread> cpus;
  for (unsigned cpu = 0; cpu < kCpus; ++cpu)
    cpus.emplace_back([&] {
      const auto work = std::make_unique<sevmon_work>();
      while (!ended) {
        auto answer = agent.go_on(its, *work);
        slices += answer.rc == -ERESTART;
        if (answer.rc <= 0) continue;
        last = std::move(answer);
        ++answers;
        ended = true;
      }
    });
  for (auto& cpu : cpus) cpu.join();
  EXPECT_EQ(answers, 1u);
  EXPECT_EQ(client.verdict(last).first, SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(image.name()).report.state, SEVMON_RUN_DONE);
  bring(client, largest(1));
  auto answer = agent.frame(client.commit_frame(largest(1)));
  unsigned alone = 0;
  for (; answer.rc == -ERESTART; ++alone) answer = agent.go_on(token());
  EXPECT_EQ(slices + 1, alone) << "none was left out, and none done twice";
}

/// Two connections of one IDS and one of another's load and unload the same, and let some lie.
TEST_F(Check, ManyCpusAtOnce) {
  FakeAgent two{host, {test_key(0), test_key(1)}};
  auto small_program = returning(3);
  const Image images[] = {image, Image{small_program}};
  const std::uint64_t results[] = {0, 3};
  std::vector<std::unique_ptr<ProgramClient>> clients;
  for (std::uint8_t i = 0; i < 3; ++i)
    clients.push_back(std::make_unique<ProgramClient>(
        two, InitiatorOptions{.connection_id = {i, 1}, .size_class = 0}, test_key(i / 2)));
  std::atomic<unsigned> ran{0};
  std::vector<std::thread> cpus;
  for (unsigned cpu = 0; cpu < clients.size(); ++cpu)
    cpus.emplace_back([&, cpu] {
      auto& its = *clients[cpu];
      const auto work = std::make_unique<sevmon_work>();
      for (unsigned round = 0; round < 20; ++round) {
        const unsigned which = (cpu + round) % 2;
        its.begin(images[which]), its.chunks(images[which]);
        auto answer = two.frame(its.commit_frame(images[which]), *work);
        for (unsigned i = 0; answer.rc == -ERESTART && (round % 5 || i < 3); ++i)
          answer = two.go_on(sevmon_work_token(work.get()), *work);
        if (answer.rc == -ERESTART) host.advance_ns(kAbandonedNs);
        const auto got = its.run(images[which].name());
        if (got.status == SEVMON_STATUS_OK) {
          EXPECT_EQ(got.report.r0, results[which]);
          ++ran;
        }
        if (round % 3 == 0) its.unload(images[which]);
      }
    });
  for (auto& cpu : cpus) cpu.join();
  EXPECT_GT(ran, 0u);
}

}  // namespace
}  // namespace sevmon::tests
