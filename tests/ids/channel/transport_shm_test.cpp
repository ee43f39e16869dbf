// SPDX-License-Identifier: Apache-2.0
//
// The IDS's end of a lane, against a file whose other end the test writes.
#include <sevmon/transport.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sevmon/codec.hpp>

#include "support/shm_file.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using std::chrono::milliseconds;
using tests::ShmFile;
using Frame = FrameBytes;

constexpr milliseconds kLong{20000};
constexpr milliseconds kShort{50};

FrameTransport::Deadline in(milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

tests::Bytes record(std::size_t bytes, std::uint32_t tag, std::uint8_t fill) {
  auto out = tests::bytes_of(sevmon_envelope{
      .bytes = static_cast<std::uint32_t>(bytes), .tag = tag, .status = 0, .zero = 0});
  out.resize(16 + bytes, fill);
  out.resize((out.size() + 15) / 16 * 16);
  return out;
}

tests::Bytes notice(std::int32_t status, std::uint32_t tag) {
  return tests::bytes_of(sevmon_envelope{.bytes = 0, .tag = tag, .status = status, .zero = 0});
}

/// Greets clients in lane 0, for as long as it lives.
class Greeter {
 public:
  explicit Greeter(ShmFile& file)
      : thread_{[this, &file] {
          const std::atomic_ref claim{file.ids().claim}, accepted{file.agent().accepted},
              tail{file.agent().response_tail}, head{file.agent().request_head};
          std::uint32_t greeted = 0;
          while (!is_over_) {
            const std::uint32_t now = claim;
            if (now != greeted) {
              accepted = 0;
              tail = head = 0;
              accepted = greeted = now;
            }
            std::this_thread::yield();
          }
        }} {}
  ~Greeter() {
    is_over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

class TransportShmTest : public ::testing::Test {
 protected:
  TransportShmTest() { file_.announce(1); }

  void connect() {
    transport_.reset();
    if (!lane_) {
      auto lane = open_shm(file_.path());
      ASSERT_TRUE(lane) << lane.error().message();
      lane_ = *std::move(lane);
    }
    const Greeter greeter{file_};
    auto connected = connect_shm(lane_, kLong);
    ASSERT_TRUE(connected) << connected.error().message();
    transport_ = *std::move(connected);
  }

  /// And so it stays, whatever follows.
  void expect_end(ErrorCode code, const std::string& why) {
    for (int i = 0; i < 2; ++i) {
      const auto received = transport_->receive(in(kLong));
      ASSERT_FALSE(received) << why;
      EXPECT_EQ(received.error().code, code) << why << ": " << received.error().message();
      EXPECT_FALSE(transport_->send(Frame(16), 1, in(kShort))) << why;
      file_.put(record(16, 1, 1));
    }
  }

  ShmFile file_;
  std::shared_ptr<ShmLane> lane_;
  std::unique_ptr<FrameTransport> transport_;
};

// ---- Frames ----

TEST_F(TransportShmTest, FramesGoOutBehindTheirEnvelope) {
  connect();
  EXPECT_EQ(transport_->describe(), "shm:" + file_.path());
  ASSERT_TRUE(transport_->send(Frame(144, std::byte{7}), 42, in(kLong)));
  ASSERT_TRUE(transport_->send(Frame(SEVMON_REQUEST_FRAME_BYTES, std::byte{8}), 43, in(kLong)));
  auto expected = record(144, 42, 7);
  const auto second = record(SEVMON_REQUEST_FRAME_BYTES, 43, 8);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(file_.ids().request_tail, expected.size());
  EXPECT_TRUE(
      std::equal(expected.begin(), expected.end(), file_.lane() + SEVMON_SHM_REQUEST_OFFSET));
}

TEST_F(TransportShmTest, DeliveriesOfEverySize) {
  connect();
  for (std::uint32_t bytes = 16; bytes < 64; ++bytes) file_.put(record(bytes, bytes, 3));
  file_.put(notice(SEVMON_NOTICE_BUSY, 2));
  file_.put(record(SEVMON_MAX_FRAME_BYTES, 9, 4));
  for (std::uint32_t bytes = 16; bytes < 64; ++bytes) {
    const auto delivery = transport_->receive(in(kLong));
    ASSERT_TRUE(delivery) << delivery.error().message();
    EXPECT_EQ(delivery->tag, bytes);
    EXPECT_EQ(delivery->frame, Frame(bytes, std::byte{3}));
  }
  const auto busy = transport_->receive(in(kLong));
  EXPECT_EQ(busy->notice, SEVMON_NOTICE_BUSY);
  EXPECT_TRUE(busy->frame.empty());
  // One that is there is returned even after the deadline.
  const auto large = transport_->receive(in(milliseconds{-1}));
  ASSERT_TRUE(large);
  EXPECT_EQ(large->frame, Frame(SEVMON_MAX_FRAME_BYTES, std::byte{4}));
  EXPECT_EQ(file_.ids().response_head, file_.agent().response_tail) << "its room is given back";
  EXPECT_EQ(transport_->receive(in(kShort)).error().code, ErrorCode::kTimeout);
}

TEST_F(TransportShmTest, RecordsGoRoundTheEndOfBothRings) {
  connect();
  for (std::uint32_t i = 0; i < 600; ++i) {
    const auto value = static_cast<std::uint8_t>(i);
    ASSERT_TRUE(transport_->send(Frame(1004, std::byte{value}), i, in(kLong)));
    const auto tail = file_.ids().request_tail;
    const auto byte = [&](std::uint32_t index) {
      return file_.lane()[SEVMON_SHM_REQUEST_OFFSET + index % SEVMON_SHM_REQUEST_BYTES];
    };
    EXPECT_EQ(byte(tail - 1024 + 16), value);
    EXPECT_EQ(byte(tail - 5), value);
    EXPECT_EQ(byte(tail - 4), 0);
    file_.agent().request_head = tail;
    file_.put(record(5000 + i, i, value));
    const auto delivery = transport_->receive(in(kLong));
    ASSERT_TRUE(delivery) << delivery.error().message();
    ASSERT_EQ(delivery->frame, Frame(5000 + i, std::byte{value}));
  }
  EXPECT_GT(file_.ids().request_tail, 8 * SEVMON_SHM_REQUEST_BYTES);
}

TEST_F(TransportShmTest, AFullRingHoldsRequestsBackAndLosesNone) {
  connect();
  std::uint32_t sent = 0;
  common::Result<void> last;
  for (; sent < 5000; ++sent)
    if (last = transport_->send(Frame(1020), sent, in(kShort)); !last) break;
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(file_.ids().request_tail, 63 * 1040u) << "as many as have room";
  EXPECT_GT(sent, 63u + 400) << "more than the deepest pipeline";
  // Taken as they come, whatever the IDS waits for.
  std::uint32_t taken = 0;
  for (std::uint32_t head = 0; taken < sent; ++taken, head += 1040) {
    if (file_.ids().request_tail == head) {
      file_.agent().request_head = head;
      EXPECT_EQ(transport_->receive(in(milliseconds{0})).error().code, ErrorCode::kTimeout);
    }
    tests::Bytes envelope;
    for (std::uint32_t i = 0; i < 16; ++i)
      envelope.push_back(
          file_.lane()[SEVMON_SHM_REQUEST_OFFSET + (head + i) % SEVMON_SHM_REQUEST_BYTES]);
    ASSERT_EQ(tests::load<sevmon_envelope>(envelope).tag, taken);
  }
}

TEST_F(TransportShmTest, AnAgentThatWaitsForItsAnswersToBeTakenDoesNotBlock) {
  // Both rings are fuller than they can be, and the agent goes on only when there is room.
  connect();
  constexpr std::uint32_t kFrames = 300;
  std::thread agent{[&] {
    const std::atomic_ref tail{file_.ids().request_tail}, head{file_.ids().response_head},
        taken{file_.agent().request_head};
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      while (tail == taken) std::this_thread::yield();
      while (file_.agent().response_tail - head > SEVMON_SHM_RESPONSE_BYTES - 62032)
        std::this_thread::yield();
      taken += 1040;
      file_.put(record(SEVMON_MAX_FRAME_BYTES, i, 1));
    }
  }};
  for (std::uint32_t i = 0; i < kFrames; ++i)
    ASSERT_TRUE(transport_->send(Frame(1020), i, in(kLong)));
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    const auto delivery = transport_->receive(in(kLong));
    ASSERT_TRUE(delivery) << delivery.error().message();
    EXPECT_EQ(delivery->tag, i);
  }
  agent.join();
}

// ---- What the other end, or the host, can write ----

TEST_F(TransportShmTest, EnvelopesThatCannotBeEndIt) {
  const sevmon_envelope envelopes[] = {{SEVMON_MAX_FRAME_BYTES + 1, 0, 0, 0},
                                       {0xffffffff, 0, 0, 0},
                                       {0xfffffff0, 0, 0, 0},
                                       {15, 0, 0, 0},
                                       {0, 0, 0, 0},
                                       {0, 0, 9, 0},
                                       {0, 0, -1, 0},
                                       {16, 0, 3, 0},
                                       {16, 0, 0, 1}};
  for (const auto& envelope : envelopes) {
    connect();
    auto bytes = record(SEVMON_MAX_FRAME_BYTES + 16, 1, 1);
    std::ranges::copy(tests::bytes_of(envelope), bytes.begin());
    file_.put(bytes);
    expect_end(ErrorCode::kMalformed, std::to_string(envelope.bytes));
  }
}

TEST_F(TransportShmTest, RecordsThatAreNotThereWholeEndIt) {
  const auto whole = record(144, 1, 1);
  for (std::size_t bytes = 16; bytes < whole.size(); bytes += 16) {
    connect();
    file_.put(tests::ByteView{whole}.first(bytes));
    expect_end(ErrorCode::kMalformed, std::to_string(bytes));
  }
}

TEST_F(TransportShmTest, PaddingIsZero) {
  for (std::size_t at = 16 + 17; at < 48; ++at) {
    connect();
    auto bytes = record(17, 1, 1);
    bytes[at] = 1;
    file_.put(bytes);
    expect_end(ErrorCode::kMalformed, std::to_string(at));
  }
}

TEST_F(TransportShmTest, NonsenseIndicesEndIt) {
  for (const std::uint32_t by : {1u, 8u, 15u, 17u, 0x80000000u, 0xfffffff0u, 0xffffffffu,
                                 SEVMON_SHM_RESPONSE_BYTES + 16u, SEVMON_SHM_RESPONSE_BYTES + 1u}) {
    connect();
    file_.put(record(144, 1, 1));
    ASSERT_TRUE(transport_->receive(in(kLong)));
    file_.agent().response_tail += by;
    expect_end(ErrorCode::kMalformed, "tail by " + std::to_string(by));
  }
  for (const std::uint32_t by :
       {1u, 8u, 16u, 17u, 0x80000000u, 0xffffffffu, 0u - SEVMON_SHM_REQUEST_BYTES - 16u}) {
    connect();
    ASSERT_TRUE(transport_->send(Frame(16), 1, in(kLong)));
    file_.agent().request_head += 32 + by;
    EXPECT_FALSE(transport_->send(Frame(16), 1, in(kLong))) << by;
    expect_end(ErrorCode::kMalformed, "head by " + std::to_string(by));
  }
}

TEST_F(TransportShmTest, NeverReadsItsOwnIndicesBack) {
  connect();
  file_.ids().request_tail = 0x4000;
  file_.ids().response_head = 0x7fff0000;
  ASSERT_TRUE(transport_->send(Frame(16, std::byte{5}), 1, in(kLong)));
  EXPECT_EQ(file_.ids().request_tail, 32u);
  EXPECT_EQ(file_.lane()[SEVMON_SHM_REQUEST_OFFSET + 16], 5);
  file_.put(record(16, 3, 1));
  EXPECT_EQ(transport_->receive(in(kLong))->tag, 3u);
  EXPECT_EQ(file_.ids().response_head, 32u);
}

TEST_F(TransportShmTest, ALaneThatIsGivenUpIsALostConnection) {
  const std::function<void()> ends[] = {
      [&] { file_.agent().accepted = 0; }, [&] { file_.agent().accepted ^= 1; },
      // The monitored machine starts again, or its agent ends.
      [&] { std::fill_n(file_.lane(), SEVMON_SHM_CONTROL_BYTES, std::uint8_t{0}); },
      [&] {
        std::fill_n(file_.lane(), SEVMON_SHM_CONTROL_BYTES, std::uint8_t{0});
        file_.announce(1);
      }};
  for (const auto& end : ends) {
    file_.announce(1);
    connect();
    file_.put(record(144, 1, 1));
    ASSERT_TRUE(transport_->receive(in(kLong)));
    ASSERT_TRUE(transport_->send(Frame(16), 1, in(kLong)));
    end();
    expect_end(ErrorCode::kConnect, "given up");
  }
}

TEST_F(TransportShmTest, AFileThatIsCutIsALostConnectionAndNoCrash) {
  connect();
  file_.put(record(144, 1, 1));
  file_.cut(0);
  const auto received = transport_->receive(in(kLong));
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, ErrorCode::kConnect);
  EXPECT_NE(received.error().detail.find("was cut"), std::string::npos);
  EXPECT_FALSE(transport_->send(Frame(16), 1, in(kShort)));
  transport_.reset();
  lane_.reset();
  file_.cut(SEVMON_LANE_BYTES);
  file_.announce(1);
  connect();
  file_.put(record(144, 1, 1));
  EXPECT_TRUE(transport_->receive(in(kLong)));
}

TEST(PageGuard, AnotherSigbusIsStillOne) {
  ShmFile file, other;
  file.announce(1);
  const auto lane = open_shm(file.path());  // from here on there is a handler
  ASSERT_TRUE(lane);
  // By the signal, or by a sanitizer that reports it.
  EXPECT_DEATH(
      {
        other.cut(0);
        other.lane()[0] = 1;
      },
      "");
}

// ---- Coming and going ----

TEST(OpenShm, WhatIsNoLaneOfAnAgents) {
  const auto code = [](const std::string& path) {
    const auto lane = open_shm(path);
    return lane ? ErrorCode::kInternal : lane.error().code;
  };
  EXPECT_EQ(code("/nonexistent/lanes"), ErrorCode::kIo);
  EXPECT_EQ(code("/dev"), ErrorCode::kIo);
  EXPECT_EQ(code("/dev/zero"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(ShmFile{0}.path()), ErrorCode::kTruncated);
  ShmFile small;
  small.cut(SEVMON_LANE_BYTES - 1);
  EXPECT_EQ(code(small.path()), ErrorCode::kTruncated);
}

TEST(OpenShm, AFileOfSomebodyElsesStaysAsItIs) {
  for (const auto magic : {0ULL, SEVMON_SHM_MAGIC ^ 1}) {
    ShmFile file;
    file.agent().magic = magic;
    const tests::Bytes before{file.lane(), file.lane() + SEVMON_LANE_BYTES};
    const auto lane = open_shm(file.path());
    ASSERT_TRUE(lane);
    const auto connected = connect_shm(*lane, kShort);
    ASSERT_FALSE(connected);
    EXPECT_EQ(connected.error().code, ErrorCode::kConnect);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), file.lane()));
  }
}

TEST(OpenShm, OtherVersionsAreNotSpokenTo) {
  ShmFile file;
  file.announce(1);
  file.agent().version = 2;
  const auto connected = connect_shm(*open_shm(file.path()), kShort);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(file.ids().claim, 0u);
}

TEST(OpenShm, AnAgentThatIsGoneIsATimeout) {
  ShmFile file;
  file.announce(1);
  const auto connected = connect_shm(*open_shm(file.path()), kShort);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, ErrorCode::kTimeout);
  EXPECT_NE(connected.error().detail.find("nothing serves shm:"), std::string::npos);
  EXPECT_EQ(file.ids().claim, 0u) << "nobody is there any more";
}

TEST(OpenShm, EachClientHasALaneOfItsOwn) {
  ShmFile file{3 * SEVMON_LANE_BYTES};
  auto first = open_shm(file.path()), second = open_shm(file.path()), third = open_shm(file.path());
  ASSERT_TRUE(first && second && third);
  const auto fourth = open_shm(file.path());
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().code, ErrorCode::kConnect);
  EXPECT_NE(fourth.error().detail.find("(3)"), std::string::npos) << fourth.error().detail;
  (*second).reset();
  EXPECT_TRUE(open_shm(file.path()));
}

TEST(OpenShm, ALaneIsFreeWhenItsClientDied) {
  ShmFile file;
  const pid_t child = fork();
  if (child == 0) {
    const auto lane = open_shm(file.path());
    _exit(lane && !open_shm(file.path()) ? 0 : 1);  // and nothing of it is undone
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(open_shm(file.path()));
}

TEST(OpenShm, NoMoreLanesThanTheAgentServes) {
  ShmFile file{3 * SEVMON_LANE_BYTES};
  file.announce(1);
  const auto first = open_shm(file.path());
  ASSERT_TRUE(first);
  const auto second = open_shm(file.path());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().detail.find("(1)"), std::string::npos);
  // Nor than there can be, whatever it says.
  file.agent().lanes = 0xffffffff;
  const auto next = open_shm(file.path()), last = open_shm(file.path());
  EXPECT_TRUE(next && last);
  EXPECT_FALSE(open_shm(file.path())) << "there is nothing behind the file's end";
  ShmFile large{17 * SEVMON_LANE_BYTES};
  std::vector<std::shared_ptr<ShmLane>> lanes;
  for (auto lane = open_shm(large.path()); lane; lane = open_shm(large.path()))
    lanes.push_back(*lane);
  EXPECT_EQ(lanes.size(), 16u);
}

TEST_F(TransportShmTest, EachClaimIsNew) {
  std::uint32_t before = 0;
  for (int i = 0; i < 5; ++i) {
    connect();
    EXPECT_NE(file_.ids().claim, 0u);
    EXPECT_NE(file_.ids().claim, before);
    before = file_.ids().claim;
  }
  transport_.reset();
  EXPECT_EQ(file_.ids().claim, 0u);
}

TEST_F(TransportShmTest, AClaimThatTheAgentsStartWipedIsMadeAgain) {
  lane_ = *open_shm(file_.path());
  std::atomic<bool> is_over{false};
  std::thread agent{[&] {
    const std::atomic_ref claim{file_.ids().claim}, accepted{file_.agent().accepted};
    const auto wait = [&] {
      while (claim == 0 && !is_over) std::this_thread::yield();
    };
    wait();
    claim = 0;
    wait();
    accepted = claim.load();
  }};
  const auto connected = connect_shm(lane_, std::chrono::seconds{5});
  EXPECT_TRUE(connected) << connected.error().message();
  is_over = true;
  agent.join();
}

TEST_F(TransportShmTest, ANewTransportCutsTheOldOneOff) {
  connect();
  const auto old = std::move(transport_);
  connect();
  const auto claim = file_.ids().claim;
  EXPECT_EQ(old->send(Frame(16), 1, in(kShort)).error().code, ErrorCode::kConnect);
  EXPECT_EQ(old->receive(in(kShort)).error().code, ErrorCode::kConnect);
  EXPECT_EQ(file_.ids().request_tail, 0u);
  EXPECT_EQ(file_.ids().claim, claim);
  file_.put(record(144, 1, 1));
  EXPECT_TRUE(transport_->receive(in(kLong)));
}

}  // namespace
}  // namespace sevmon::ids
