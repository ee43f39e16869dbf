// SPDX-License-Identifier: Apache-2.0
//
// Lanes of shared memory (lane.c): frames through them, their clients' coming and going, and what a
// host can write there.
#include <gtest/gtest.h>

#include <signal.h>
#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include "lane.h"
#include "support/lane_client.hpp"
#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kClaim = 0x1234;

/// The agent's end of a lane, as a host that calls whenever it is due.
class HostedLane {
 public:
  explicit HostedLane(FakeAgent& agent, unsigned lanes = 1) : agent_{agent} {
    sevmon_lane_init(&state, memory.data(), lanes);
  }

  sevmon_lane_state poll() { return sevmon_lane_poll(&agent_.state(), &state, work_.get()); }
  bool is_due() const { return sevmon_lane_is_due(&state); }
  /// Until there is nothing to do, or nothing that can be done.
  unsigned serve() {
    unsigned polls = 0;
    for (; is_due() && polls < 1'000'000; ++polls)
      if (poll() == SEVMON_LANE_BLOCKED) break;
    return polls;
  }

  LaneMemory memory;
  LaneClient client{memory};
  sevmon_lane state{};

 private:
  FakeAgent& agent_;
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
};

class Lane : public ProgramFixture {
 protected:
  Lane() { come(kClaim); }

  void come(std::uint32_t claim) {
    lane.client.claim(claim);
    lane.serve();
    ASSERT_TRUE(lane.client.is_accepted());
  }
  /// Through the lane, at once.
  LaneAnswer ask(ByteView frame, std::uint32_t tag = 7) {
    lane.client.send(frame, tag);
    lane.serve();
    auto answer = lane.client.take();
    require(answer.has_value(), "no answer");
    require(answer->tag == tag, "another's answer");
    return *std::move(answer);
  }
  /// A session that has begun over the lane.
  ReferenceSession shake(std::uint8_t size_class = SEVMON_CLASS_1_PAGE) {
    const auto key = test_key();
    Initiator initiator{key.ids_id,
                        key.psk,
                        ask(hello_frame(key.ids_id)).frame,
                        {.connection_id = {2}, .size_class = size_class}};
    return initiator.finish(ask(initiator.frame()).frame);
  }
  static sevmon_request_body nothing() {
    sevmon_request_body body{};
    body.head.domid = SEVMON_DOMID_DOM0;
    return body;
  }
  void expect_dropped(const std::string& why) {
    EXPECT_TRUE(lane.is_due()) << why;
    const auto malformed = agent.count(SEVMON_COUNT_MALFORMED);
    EXPECT_EQ(lane.poll(), SEVMON_LANE_NOTHING) << why;
    EXPECT_EQ(lane.memory.agent().accepted, 0u) << why;
    EXPECT_EQ(agent.count(SEVMON_COUNT_MALFORMED), malformed + 1) << why;
    EXPECT_FALSE(lane.is_due()) << why;
    EXPECT_EQ(lane.poll(), SEVMON_LANE_NOTHING) << why;
    EXPECT_FALSE(lane.client.take()) << why;
  }

  HostedLane lane{agent};
};

TEST_F(Lane, SaysWhatItIs) {
  HostedLane other{agent, 5};
  EXPECT_EQ(other.memory.agent().magic, SEVMON_SHM_MAGIC);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(other.memory.data()), 8), "SEVMLANE");
  EXPECT_EQ(other.memory.agent().version, 1u);
  EXPECT_EQ(other.memory.agent().lanes, 5u);
  EXPECT_EQ(other.memory.agent().accepted, 0u);
  sevmon_lane_set_poll(&other.state, 1'000'000);
  EXPECT_EQ(other.memory.agent().poll_ns, 1'000'000u);
  EXPECT_FALSE(other.is_due());
  EXPECT_EQ(other.poll(), SEVMON_LANE_NOTHING) << "nobody is there";
}

TEST_F(Lane, AnswersAreTheAgentsUnderTheirTag) {
  const auto session = shake(SEVMON_CLASS_15_PAGES);
  const auto answer = ask(session.request(0, nothing()), 0xfedcba98);
  EXPECT_EQ(answer.notice, 0);
  ASSERT_EQ(answer.frame.size(), SEVMON_MAX_FRAME_BYTES);
  EXPECT_TRUE(session.open(answer.frame).has_value());
  EXPECT_FALSE(lane.is_due());
}

TEST_F(Lane, OneFrameAtATimeInOrder) {
  const auto session = shake();
  for (std::uint32_t n = 0; n < 3; ++n) lane.client.send(session.request(n, nothing()), n);
  for (std::uint32_t n = 0; n < 3; ++n) {
    EXPECT_FALSE(lane.client.take());
    EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
    EXPECT_EQ(lane.client.take()->tag, n);
  }
  EXPECT_EQ(lane.poll(), SEVMON_LANE_NOTHING);
}

TEST_F(Lane, RefusalsAreNotices) {
  const auto session = shake();
  const auto frame = session.request(0, nothing());
  EXPECT_EQ(ask(frame).notice, 0);
  const auto again = ask(frame, 9);
  EXPECT_EQ(again.notice, SEVMON_NOTICE_REJECTED) << "a number is answered once, as over TCP";
  EXPECT_TRUE(again.frame.empty());
  EXPECT_EQ(ask(Bytes(16, 0xff)).notice, SEVMON_NOTICE_REJECTED);
  // Over the rate of handshakes.
  std::int32_t notice = 0;
  const auto key = test_key();
  for (unsigned i = 0; i < 2 * SEVMON_HANDSHAKE_BURST && !notice; ++i) {
    Initiator initiator{key.ids_id, key.psk, ask(hello_frame(key.ids_id)).frame};
    notice = ask(initiator.frame()).notice;
  }
  EXPECT_EQ(notice, SEVMON_NOTICE_BUSY);
}

TEST_F(Lane, RecordsGoRoundTheEndOfBothRings) {
  const auto session = shake(SEVMON_CLASS_15_PAGES);
  // Both indices pass every offset that records of these sizes reach.
  const unsigned rounds = 3 * SEVMON_SHM_RESPONSE_BYTES / SEVMON_MAX_FRAME_BYTES + 130;
  for (unsigned n = 0; n < rounds; ++n) {
    const auto answer = ask(session.request(n, nothing()), n);
    ASSERT_TRUE(session.open(answer.frame).has_value()) << n;
  }
  EXPECT_GT(lane.memory.ids().request_tail, SEVMON_SHM_REQUEST_BYTES);
  EXPECT_GT(lane.memory.ids().response_head, 3 * SEVMON_SHM_RESPONSE_BYTES);
}

TEST_F(Lane, IndicesRunOnPastTheirGreatestValue) {
  // As they are after 4 GiB: both ends' own copies, and what they have said.
  const std::uint32_t at = 0xfffffff0;
  lane.state.request_head = lane.state.response_tail = at;
  lane.memory.agent().request_head = lane.memory.agent().response_tail = at;
  lane.memory.ids().response_head = at;
  std::uint32_t tail = at;
  for (const auto byte : LaneClient::record(hello_frame(test_key().ids_id), 3))
    lane.memory.request(tail++) = byte;
  lane.memory.ids().request_tail = tail;
  EXPECT_LT(tail, at);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(lane.memory.agent().request_head, tail);
  EXPECT_EQ(lane.memory.agent().response_tail, at + 160);
  Bytes envelope;
  for (std::uint32_t i = 0; i < 16; ++i) envelope.push_back(lane.memory.response(at + i));
  EXPECT_EQ(load<sevmon_envelope>(envelope).bytes, 144u);
  EXPECT_EQ(lane.memory.response(at + 16), SEVMON_FRAME_CHALLENGE);
}

TEST_F(Lane, TakesNothingWithoutRoomForTheLargestAnswer) {
  const auto session = shake(SEVMON_CLASS_15_PAGES);
  unsigned sent = 0;
  for (; lane.client.room() >= 2048; ++sent)
    lane.client.send(session.request(sent, nothing()), sent);
  lane.serve();
  ASSERT_EQ(lane.poll(), SEVMON_LANE_BLOCKED);
  EXPECT_FALSE(lane.is_due()) << "who takes no answers costs nothing";
  const auto before = lane.memory.agent();
  EXPECT_EQ(before.response_tail - lane.memory.ids().response_head, 8 * 62032u)
      << "eight answers, and the ninth would not fit";
  EXPECT_EQ(lane.poll(), SEVMON_LANE_BLOCKED);
  EXPECT_EQ(lane.memory.agent().request_head, before.request_head) << "it stays in its ring";
  // What is refused needs little room, and yet nothing is taken: it is not known before.
  for (unsigned n = 0; n < sent; ++n) {
    const auto answer = lane.client.take();
    ASSERT_TRUE(answer) << n;
    EXPECT_EQ(answer->tag, n);
    EXPECT_TRUE(session.open(answer->frame).has_value()) << "whole, whatever was in its place";
    lane.serve();
  }
  EXPECT_FALSE(lane.is_due());
}

TEST_F(Lane, AnswersEveryRequestOfAFullRing) {
  const auto session = shake();
  unsigned sent = 0;
  while (lane.client.room() >= 1040)
    lane.client.send(session.request(sent, nothing()), sent), ++sent;
  EXPECT_EQ(sent, 63u);
  lane.client.put(Bytes(lane.client.room(), 0));  // whole: nonsense, after all that is sense
  EXPECT_EQ(lane.client.room(), 0u);
  for (unsigned n = 0; n < sent; ++n) EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_NOTHING);
  EXPECT_EQ(lane.memory.agent().accepted, 0u);
  for (unsigned n = 0; n < sent; ++n) EXPECT_EQ(lane.client.take()->tag, n);
}

// ---- Clients come and go ----

TEST_F(Lane, ANewClientBeginsAnew) {
  shake();
  lane.client.send(hello_frame(test_key().ids_id), 1);
  lane.client.send(hello_frame(test_key().ids_id), 2);
  lane.poll();
  come(kClaim + 1);
  EXPECT_EQ(lane.memory.agent().request_head, 0u);
  EXPECT_EQ(lane.memory.agent().response_tail, 0u);
  EXPECT_FALSE(lane.client.take()) << "what the former one asked is not answered to this one";
  EXPECT_EQ(ask(hello_frame(test_key().ids_id), 5).frame.size(), 144u);
}

TEST_F(Lane, WhileAClientComesNothingIsAnError) {
  // Each step of its coming, as far as it has got: the agent may look at any time.
  shake();
  const auto malformed = agent.count(SEVMON_COUNT_MALFORMED);
  lane.memory.ids().claim = 0;
  EXPECT_TRUE(lane.is_due());
  lane.serve();
  EXPECT_EQ(lane.memory.agent().accepted, 0u);
  lane.memory.ids().request_tail = 0;
  EXPECT_FALSE(lane.is_due());
  lane.memory.ids().response_head = 0;
  EXPECT_FALSE(lane.is_due());
  EXPECT_EQ(lane.poll(), SEVMON_LANE_NOTHING);
  come(99);
  EXPECT_EQ(agent.count(SEVMON_COUNT_MALFORMED), malformed);
}

TEST_F(Lane, TheSameClaimAgainIsNotANewOne) {
  shake();
  lane.memory.ids().request_tail += 8;
  expect_dropped("so that there is something to come back from");
  lane.client.claim(kClaim);
  EXPECT_FALSE(lane.is_due());
  EXPECT_EQ(lane.memory.agent().accepted, 0u);
  come(kClaim + 1);
  EXPECT_EQ(ask(hello_frame(test_key().ids_id)).frame.size(), 144u);
}

TEST_F(Lane, AStartOfTheAgentEndsTheClient) {
  shake();
  lane.client.send(hello_frame(test_key().ids_id), 1);
  sevmon_lane_init(&lane.state, lane.memory.data(), 1);
  EXPECT_EQ(lane.memory.agent().accepted, 0u);
  EXPECT_FALSE(lane.is_due());
  EXPECT_FALSE(lane.client.is_accepted());
  come(kClaim);
}

TEST_F(Lane, AnEndIsSeen) {
  shake();
  lane.client.send(hello_frame(test_key().ids_id), 1);
  sevmon_lane_end(&lane.state);
  EXPECT_EQ(lane.memory.agent().accepted, 0u);
  EXPECT_EQ(lane.memory.agent().magic, 0u);
  EXPECT_FALSE(lane.is_due());
}

TEST_F(Lane, TwoLanesDoNotMeet) {
  HostedLane other{agent, 2};
  other.client.claim(77);
  other.serve();
  const auto session = shake();
  lane.client.send(session.request(0, nothing()), 1);
  other.client.send(hello_frame(test_key().ids_id), 2);
  EXPECT_EQ(other.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(other.client.take()->tag, 2u);
  other.memory.ids().request_tail += 1;
  other.poll();
  EXPECT_EQ(other.memory.agent().accepted, 0u);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED) << "the one's nonsense is not the other's";
  EXPECT_EQ(lane.client.take()->tag, 1u);
  // A session belongs to no lane: it is sealed either way.
  other.client.claim(78);
  other.serve();
  other.client.send(session.request(1, nothing()), 3);
  other.serve();
  EXPECT_TRUE(session.open(other.client.take()->frame).has_value());
}

// ---- Programs ----

TEST_F(Lane, ARunGoesOnFromPollToPoll) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  lane.client.send(client.run_frame(image.name(), {}, 50 * SEVMON_RUN_SLICE), 5);
  lane.client.send(hello_frame(test_key().ids_id), 6);
  unsigned slices = 1;
  for (; lane.poll() == SEVMON_LANE_RUNNING; ++slices) {
    EXPECT_TRUE(lane.is_due());
    EXPECT_FALSE(lane.client.take());
    ASSERT_LT(slices, 200u);
  }
  const auto answer = lane.client.take();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->tag, 5u);
  const auto got =
      client.result({.rc = static_cast<int>(answer->frame.size()), .frame = answer->frame});
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_EQ(got.report.slices, slices);
  EXPECT_GT(slices, 10u);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED) << "what waited for it";
  EXPECT_EQ(lane.client.take()->tag, 6u);
}

TEST_F(Lane, ARunWhoseClientIsGoneIsGivenUp) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  lane.client.send(client.run_frame(image.name(), {}, 50 * SEVMON_RUN_SLICE), 5);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_RUNNING);
  come(kClaim + 1);
  EXPECT_FALSE(lane.is_due());
  EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_BUSY);
  host.advance_seconds(2.5);
  EXPECT_EQ(client.run(image.name(), {}, 10).status, SEVMON_STATUS_OK);
}

/// Numbers of runs are no secret: Dom0 tries them all by its hypercall, and so does another lane.
TEST_F(Lane, NobodyElseGoesOnWithItsRun) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  const auto frame = client.run_frame(image.name(), {}, 3 * SEVMON_RUN_SLICE);
  lane.client.send(frame, 5);
  ASSERT_EQ(lane.poll(), SEVMON_LANE_RUNNING);
  const auto token = lane.state.token;
  EXPECT_EQ(agent.go_on(token).rc, -EBADMSG);
  HostedLane other{agent, 2};
  other.client.claim(77);
  other.serve();
  other.state.runs = true;
  other.state.token = token;
  EXPECT_EQ(other.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(other.client.take()->notice, SEVMON_NOTICE_REJECTED);
  lane.serve();
  const auto answer = lane.client.take();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->notice, 0) << "its own client has the answer";
  EXPECT_EQ(client.result({.rc = static_cast<int>(answer->frame.size()), .frame = answer->frame})
                .report.state,
            SEVMON_RUN_OVER_BUDGET);

  // Nor does a lane's poll leave its way to the frames that come after it.
  const auto through = agent.frame(client.run_frame(image.name(), {}, 3 * SEVMON_RUN_SLICE));
  ASSERT_EQ(through.rc, -ERESTART);
  const auto theirs = sevmon_work_token(&agent.work());
  lane.state.runs = true;
  lane.state.token = theirs;
  EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(lane.client.take()->notice, SEVMON_NOTICE_REJECTED);
  auto last = agent.go_on(theirs);
  while (last.rc == -ERESTART) last = agent.go_on(theirs);
  EXPECT_GT(last.rc, 0);
}

TEST_F(Lane, ARunInAnotherLaneDoesNotWait) {
  auto program = endless();
  const Image image{program};
  client.load_all(image);
  HostedLane other{agent, 2};
  other.client.claim(77);
  other.serve();
  lane.client.send(client.run_frame(image.name(), {}, 50 * SEVMON_RUN_SLICE), 5);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_RUNNING);
  other.client.send(hello_frame(test_key().ids_id), 6);
  EXPECT_EQ(other.poll(), SEVMON_LANE_ANSWERED);
  lane.serve();
  EXPECT_EQ(lane.client.take()->frame.size(), SEVMON_RESPONSE_FRAME_BYTES(2));
}

// ---- What a client, or the host, can write ----

TEST_F(Lane, NonsenseIndicesEndIt) {
  std::uint32_t claim = 0x1000;
  const auto hello = hello_frame(test_key().ids_id);
  // A tail behind what was taken, beyond what the ring holds, or not between two records.
  for (const std::uint32_t by : {1u, 8u, 15u, 17u, 0x80000000u, 0xfffffff0u, 0xffffffffu,
                                 SEVMON_SHM_REQUEST_BYTES + 16u, SEVMON_SHM_REQUEST_BYTES + 1u}) {
    come(++claim);
    ask(hello);
    lane.memory.ids().request_tail += by;
    expect_dropped("tail by " + std::to_string(by));
  }
  // A head before what was answered, or so far behind it.
  for (const std::uint32_t by :
       {1u, 8u, 16u, 17u, 0x80000000u, 0xffffffffu, 0u - SEVMON_SHM_RESPONSE_BYTES - 16u,
        1u - SEVMON_SHM_RESPONSE_BYTES}) {
    come(++claim);
    lane.client.send(hello, 1);
    lane.serve();
    lane.client.take();
    lane.memory.ids().response_head += by;
    lane.client.send(hello, 1);
    expect_dropped("head by " + std::to_string(by));
  }
}

TEST_F(Lane, NonsenseEnvelopesEndIt) {
  std::uint32_t claim = 0x2000;
  const Bytes frame(32, 1);
  const auto cases = std::vector<std::function<void(sevmon_envelope&)>>{
      [](auto& e) { e.bytes = 0; },          [](auto& e) { e.bytes = 15; },
      [](auto& e) { e.bytes = 1021; },       [](auto& e) { e.bytes = 0xffffffff; },
      [](auto& e) { e.bytes = 0xfffffff0; }, [](auto& e) { e.status = 1; },
      [](auto& e) { e.status = -1; },        [](auto& e) { e.zero = 1; },
      [](auto& e) { e.zero = 0x80000000; },
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    come(++claim);
    // There is more behind it, so that its length is all that speaks against it.
    auto bytes = LaneClient::record(Bytes(2048, 0), 9);
    auto envelope = load<sevmon_envelope>(bytes_of(sevmon_envelope{32, 9, 0, 0}));
    cases[i](envelope);
    std::ranges::copy(bytes_of(envelope), bytes.begin());
    lane.client.put(bytes);
    expect_dropped("envelope " + std::to_string(i));
  }
}

TEST_F(Lane, RecordsThatAreNotThereWholeEndIt) {
  std::uint32_t claim = 0x3000;
  const auto record = LaneClient::record(hello_frame(test_key().ids_id), 1);
  for (std::size_t bytes = 16; bytes < record.size(); bytes += 16) {
    come(++claim);
    lane.client.put(ByteView{record}.first(bytes));
    expect_dropped(std::to_string(bytes) + " bytes");
  }
}

TEST_F(Lane, PaddingIsZero) {
  std::uint32_t claim = 0x4000;
  for (std::size_t size = 17; size < 32; ++size)
    for (std::size_t at = 16 + size; at < 48; ++at) {
      come(++claim);
      auto record = LaneClient::record(Bytes(size, 1), 1);
      record[at] = 0x80;
      lane.client.put(record);
      expect_dropped(std::to_string(size) + ", " + std::to_string(at));
    }
  come(++claim);
  EXPECT_EQ(ask(Bytes(1020, 1)).notice, SEVMON_NOTICE_REJECTED) << "the greatest record";
}

TEST_F(Lane, NeverReadsItsOwnIndicesBack) {
  const auto session = shake();
  lane.memory.agent().request_head = 0x40;
  lane.memory.agent().response_tail = 0x7fff0000;
  lane.memory.agent().accepted = 0;
  lane.memory.agent().lanes = 0xffff;
  lane.client.send(session.request(0, nothing()), 1);
  EXPECT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
  EXPECT_EQ(lane.memory.agent().request_head, lane.memory.ids().request_tail);
  EXPECT_TRUE(session.open(lane.client.take()->frame).has_value());
}

TEST_F(Lane, WritesOnlyItsLineAndItsRing) {
  const auto session = shake(SEVMON_CLASS_15_PAGES);
  std::fill_n(lane.memory.data() + 64, 64, std::uint8_t{0xa5});
  std::fill_n(lane.memory.data() + 4096, 0x10000 - 4096, std::uint8_t{0xa5});
  std::fill_n(lane.memory.data() + 0x20000, 0x60000, std::uint8_t{0xa5});
  for (unsigned n = 0; n < 20; ++n) ask(session.request(n, nothing()));
  const auto is_untouched = [&](std::size_t at, std::size_t bytes) {
    return std::ranges::all_of(ByteView{lane.memory.data() + at, bytes},
                               [](auto byte) { return byte == 0xa5; });
  };
  EXPECT_TRUE(is_untouched(64, 64));
  EXPECT_TRUE(is_untouched(4096, 0x10000 - 4096));
  EXPECT_TRUE(is_untouched(0x20000, 0x60000));
}

#if defined(__SANITIZE_THREAD__)
#define SEVMON_WITH_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SEVMON_WITH_THREAD_SANITIZER 1
#endif
#endif

// Races are what these are about, so not under the sanitizer that reports races.
#ifndef SEVMON_WITH_THREAD_SANITIZER
TEST_F(Lane, LooksAtEachByteOnce) {
  // The host changes the envelope while the agent reads it: to one that is as good.
  std::atomic<bool> is_over{false};
  const auto hello = hello_frame(test_key().ids_id);
  auto* const length = reinterpret_cast<std::uint32_t*>(&lane.memory.request(0));
  std::thread host{[&] {
    const std::atomic_ref<std::uint32_t> bytes{*length};
    while (!is_over) {
      for (int i = 0; i < 64; ++i) {
        bytes.store(144, std::memory_order_relaxed);
        bytes.store(112, std::memory_order_relaxed);
      }
    }
  }};
  unsigned whole = 0, cut = 0;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto start = now();
  // A busy machine may give the host its turn late.
  for (unsigned i = 0;
       (i < 30'000 && now() - start < 1s) || (!(whole && cut) && now() - start < 30s); ++i) {
    come(i + 1);
    lane.client.put(LaneClient::record(hello, i));
    ASSERT_EQ(lane.poll(), SEVMON_LANE_ANSWERED);
    const auto taken = lane.memory.agent().request_head;
    const auto answer = lane.client.take();
    ASSERT_TRUE(answer);
    ASSERT_EQ(taken, answer->frame.empty() ? 128u : 160u) << "what was taken is what was answered";
    ++(answer->frame.empty() ? cut : whole);
  }
  is_over = true;
  host.join();
  EXPECT_GT(whole, 0u);
  EXPECT_GT(cut, 0u);
}
/// Runs `call` one instruction at a time, and `meanwhile` after the one that is counted down to.
class Stepper {
 public:
  Stepper() {
    struct sigaction action {};
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &before_);
  }
  ~Stepper() { sigaction(SIGTRAP, &before_, nullptr); }

  /// Returns false when it had fewer instructions.
  bool run(unsigned instructions, const std::function<void()>& meanwhile,
           const std::function<void()>& call) {
    constexpr unsigned long long kTrap = 0x100;
    left_ = instructions;
    meanwhile_ = &meanwhile;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | kTrap);
    call();
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~kTrap);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return !std::exchange(meanwhile_, nullptr);
  }

 private:
  static void on_step(int, siginfo_t*, void* context) {
    if (left_-- > 0 || !meanwhile_) return;
    (*std::exchange(meanwhile_, nullptr))();
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
  }

  static inline unsigned left_ = 0;
  static inline const std::function<void()>* meanwhile_ = nullptr;
  struct sigaction before_ {};
};

TEST_F(Lane, AClientThatComesAtAnyMomentIsNoError) {
  Stepper stepper;
  std::uint32_t claim = kClaim;
  unsigned instruction = 0;
  for (bool is_before_its_end = true; is_before_its_end; ++instruction) {
    come(++claim);
    ask(hello_frame(test_key().ids_id));  // its indices are not those of one that comes
    LaneClient next{lane.memory};
    ++claim;
    is_before_its_end = stepper.run(
        instruction, [&] { next.claim(claim); }, [&] { lane.poll(); });
    ASSERT_EQ(agent.count(SEVMON_COUNT_MALFORMED), 0u) << "after instruction " << instruction;
    ASSERT_LT(instruction, 100'000u);
  }
  EXPECT_GT(instruction, 20u);
}
#endif

}  // namespace
}  // namespace sevmon::tests
