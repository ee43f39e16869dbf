// SPDX-License-Identifier: Apache-2.0
#include "relay.hpp"

#include <atomic>

#include "proxy_fixture.hpp"

namespace sevmon::proxy::test {
namespace {

using Relaying = ProxyTest;

Order hold(std::uint32_t number) {
  return {.kind = Order::kHold, .number = number};
}

TEST_F(Relaying, AnswersPipelinedFramesUnderTheirTags) {
  start();
  const Client client{endpoint_};
  for (std::uint32_t tag = 0; tag < 200; ++tag)
    ASSERT_TRUE(client.send(tag, frame_of({.number = tag}, 16 + tag)));
  for (std::uint32_t i = 0; i < 200; ++i) {
    const auto received = client.receive();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->notice, 0);
    EXPECT_EQ(received->frame, frame_of({.number = received->tag}, 16 + received->tag));
  }
}

TEST_F(Relaying, FramesMayComeByteByByte) {
  start();
  const Client client{endpoint_};
  for (std::uint32_t tag = 1; tag <= 3; ++tag) {
    const auto frame = frame_of({.number = tag}, 16 + tag);
    const auto envelope = encode_answer(tag, static_cast<std::uint32_t>(frame.size()));
    Bytes whole{envelope.begin(), envelope.end()};
    whole.insert(whole.end(), frame.begin(), frame.end());
    for (std::size_t at = 0; at < whole.size(); ++at) {
      ASSERT_TRUE(client.send_raw(std::span{whole}.subspan(at, 1)));
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
      EXPECT_EQ(ask([this] { return backend_->submitted; }), tag - 1) << at;
      if (at + 2 == whole.size()) break;  // the last byte below: then it may have been submitted
    }
    ASSERT_TRUE(client.send_raw(std::span{whole}.last(1)));
    const auto received = client.receive();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->tag, tag);
    EXPECT_EQ(received->frame, frame);
  }
}

TEST_F(Relaying, PassesTheLargestFrames) {
  start();
  const Client client{endpoint_};
  ASSERT_TRUE(client.send(1, frame_of({}, kMaxFrameBytes)));
  EXPECT_EQ(client.receive()->frame.size(), kMaxFrameBytes);
  ASSERT_TRUE(client.send(2, frame_of({.kind = Order::kSize, .number = kMaxAnswerBytes})));
  EXPECT_EQ(client.receive()->frame.size(), kMaxAnswerBytes);
}

TEST_F(Relaying, AnswersLeaveInTheOrderInWhichTheyCome) {
  start();
  const Client client{endpoint_};
  client.send(1, frame_of(hold(1)));
  client.send(2, frame_of({}));
  EXPECT_EQ(client.receive()->tag, 2U);
  ask([this] { backend_->release(1); });
  EXPECT_EQ(client.receive()->tag, 1U);
}

TEST_F(Relaying, BackendErrorsBecomeNoticesAndKeepTheConnection) {
  start();
  const Client client{endpoint_};
  for (const auto& [error, notice] : {std::pair{EBADMSG, SEVMON_NOTICE_REJECTED},
                                      {ENOSYS, SEVMON_NOTICE_NO_AGENT},
                                      {EBUSY, SEVMON_NOTICE_BUSY},
                                      {EPIPE, SEVMON_NOTICE_INTERNAL}}) {
    client.send(7, frame_of({.kind = Order::kFail, .error = static_cast<std::uint8_t>(error)}));
    const auto received = client.receive();
    ASSERT_TRUE(received);
    EXPECT_EQ(received->tag, 7U);
    EXPECT_EQ(received->notice, notice);
  }
}

TEST_F(Relaying, AnswersOfImpossibleSizeAreNotPassedOn) {
  start();
  const Client client{endpoint_};
  for (const std::uint32_t bytes : {std::size_t{0}, kMinFrameBytes - 1, kMaxAnswerBytes + 1}) {
    client.send(1, frame_of({.kind = Order::kSize, .number = bytes}));
    EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_INTERNAL) << bytes;
  }
}

struct BadEnvelope {
  const char* what;
  sevmon_envelope envelope;
};

TEST_F(Relaying, EnvelopesOutsideTheLimitsEndTheConnectionAfterANotice) {
  start();
  const BadEnvelope table[] = {
      {"no frame", {.bytes = 0, .tag = 1, .status = 0, .zero = 0}},
      {"short by one", {.bytes = kMinFrameBytes - 1, .tag = 1, .status = 0, .zero = 0}},
      {"long by one", {.bytes = kMaxFrameBytes + 1, .tag = 1, .status = 0, .zero = 0}},
      {"largest", {.bytes = 0xffffffff, .tag = 1, .status = 0, .zero = 0}},
      {"status", {.bytes = 16, .tag = 1, .status = 1, .zero = 0}},
      {"negative status", {.bytes = 16, .tag = 1, .status = -1, .zero = 0}},
      {"reserved", {.bytes = 16, .tag = 1, .status = 0, .zero = 0x80000000}},
      {"a notice", {.bytes = 0, .tag = 1, .status = SEVMON_NOTICE_BUSY, .zero = 0}},
  };
  for (const auto& bad : table) {
    SCOPED_TRACE(bad.what);
    const Client client{endpoint_};
    client.send(5, frame_of({}));
    client.send_raw(std::as_bytes(std::span{&bad.envelope, 1}));
    client.send_raw(Bytes(5000, std::byte{0xee}));  // does not turn the close into a reset
    const auto before = client.receive();
    ASSERT_TRUE(before);
    EXPECT_EQ(before->tag, 5U);
    EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_MALFORMED);
    client.finish_sending();
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(Relaying, StreamsThatEndInTheMiddleSubmitNothing) {
  start();
  Bytes whole(sizeof(sevmon_envelope) + kMinFrameBytes);
  const auto envelope = encode_answer(1, kMinFrameBytes);
  std::ranges::copy(envelope, whole.begin());
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Client client{endpoint_};
    client.send_raw(std::span{whole}.first(bytes));
    client.finish_sending();
    EXPECT_TRUE(client.at_end()) << bytes;
  }
  EXPECT_EQ(ask([this] { return backend_->submitted; }), 0U);
}

TEST_F(Relaying, HalfClosedPeersGetTheirAnswers) {
  start();
  const Client client{endpoint_};
  client.send(1, frame_of(hold(1)));
  client.send(2, frame_of({}));
  client.finish_sending();
  EXPECT_EQ(client.receive()->tag, 2U);
  ask([this] { backend_->release(1); });
  EXPECT_EQ(client.receive()->tag, 1U);
  EXPECT_TRUE(client.at_end());
}

TEST_F(Relaying, PeersThatVanishLeaveNothingBehind) {
  start();
  {
    const Client client{endpoint_};
    client.send(1, frame_of(hold(1)));
    wait_until([this] { return backend_->holds(1); });
  }
  ask([this] { backend_->release(1); });
  wait_until([this] { return server_->connections() == 0; });
}

// ---- Back-pressure ----

TEST_F(Relaying, TakesNoMoreFramesThanItsConnectionMay) {
  settings_.limits.frames_per_connection = 2;
  start();
  const Client client{endpoint_};
  for (std::uint32_t n = 1; n <= 5; ++n) client.send(n, frame_of(hold(n)));
  wait_until([this] { return backend_->holds(2); });
  const Client other{endpoint_};  // is not held up by the first, and gives it time to misbehave
  for (int i = 0; i < 20; ++i) {
    other.send(9, frame_of({}));
    ASSERT_TRUE(other.receive());
  }
  EXPECT_FALSE(ask([this] { return backend_->holds(3); }));
  for (std::uint32_t n = 1; n <= 5; ++n) {
    wait_until([this, n] { return backend_->holds(n); });
    ask([this, n] { backend_->release(n); });
    EXPECT_EQ(client.receive()->tag, n);
  }
}

TEST_F(Relaying, TakesFewFramesOfSomebodyWhoHasShownNoKeyYet) {
  settings_.limits.frames_unproven = 2;
  start();
  const Client client{endpoint_};
  for (std::uint32_t i = 0; i < 4; ++i)
    client.send(i, frame_of({.kind = Order::kHold, .number = i}));
  wait_until([this] { return backend_->holds(1); });
  EXPECT_EQ(ask([this] { return server_->budget().frames_taken(); }), 2U);
  ask([this] { backend_->release(0); });
  ASSERT_TRUE(client.receive());
  wait_until([this] { return backend_->holds(2); });
  EXPECT_FALSE(ask([this] { return backend_->holds(3); }));
  client.send(9, frame_of({.kind = Order::kProve}));
  for (const std::uint32_t i : {1, 2}) ask([this, i] { backend_->release(i); });
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(client.receive());
  wait_until([this] { return backend_->holds(3); });
  EXPECT_EQ(client.receive()->tag, 9U);
  for (std::uint32_t i = 10; i < 14; ++i)
    client.send(i, frame_of({.kind = Order::kHold, .number = i}));
  wait_until([this] { return backend_->holds(13); });
  EXPECT_EQ(ask([this] { return server_->budget().frames_taken(); }), 5U);
  for (const std::uint32_t i : {3, 10, 11, 12, 13}) ask([this, i] { backend_->release(i); });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.receive());
}

TEST_F(Relaying, TakesNoMoreFramesThanEverybodyMay) {
  settings_.limits.frames = 2;
  settings_.limits.frames_per_connection = 2;
  start();
  const Client first{endpoint_};
  first.send(1, frame_of(hold(1)));
  first.send(2, frame_of(hold(2)));
  wait_until([this] { return backend_->holds(2); });
  const Client second{endpoint_};
  second.send(3, frame_of({}));
  wait_until([this] { return server_->budget().waiting() == 1; });
  EXPECT_EQ(ask([this] { return backend_->submitted; }), 2U);
  ask([this] { backend_->release(1); });
  EXPECT_EQ(second.receive()->tag, 3U);
  ask([this] { backend_->release(2); });
}

TEST_F(Relaying, APeerThatWaitsForTheBudgetAndVanishesLosesItsPlace) {
  settings_.limits.frames = 1;
  settings_.limits.frames_per_connection = 1;
  start();
  const Client first{endpoint_};
  first.send(1, frame_of(hold(1)));
  wait_until([this] { return backend_->holds(1); });
  Client gone{endpoint_};
  gone.send(2, frame_of({}));
  wait_until([this] { return server_->budget().waiting() == 1; });
  gone.close();
  ask([this] { backend_->release(1); });
  ASSERT_TRUE(first.receive());
  first.send(3, frame_of({}));
  EXPECT_EQ(first.receive()->tag, 3U);
}

TEST_F(Relaying, APeerThatDoesNotReadHoldsBoundedMemoryForABoundedTime) {
  settings_.limits.bytes_per_connection = 300'000;
  settings_.deadlines.write = std::chrono::milliseconds{300};
  start();
  const Client client{endpoint_};
  std::atomic<bool> ended = false;
  std::thread greedy{[&] {
    while (client.send(1, frame_of({.kind = Order::kSize, .number = kMaxAnswerBytes}))) continue;
    ended = true;
  }};
  std::size_t most = 0;
  for (int i = 0; i < 4000 && !ended; ++i) {
    most = std::max(most, ask([this] { return server_->budget().bytes_taken(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  greedy.join();
  EXPECT_GT(most, 0U);
  EXPECT_LE(most, 300'000U);
}

// ---- Deadlines ----

TEST_F(Relaying, APeerThatDoesNotReadIsSentAway) {
  settings_.deadlines.write = std::chrono::milliseconds{100};
  start();
  const Client client{endpoint_};
  // More than the sockets between the two hold, and nobody reads it.
  std::thread asking{[&] {
    while (client.send(1, frame_of({.kind = Order::kSize, .number = kMaxAnswerBytes}))) continue;
  }};
  wait_until([this] { return backend_->submitted > 0; });
  wait_until([this] { return server_->connections() == 0; });
  asking.join();
}

TEST_F(Relaying, APeerThatIsSentAwayIsNotWaitedFor) {
  start();
  const Client client{endpoint_};
  client.send_raw(Bytes(sizeof(sevmon_envelope)));  // of no bytes: malformed
  EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_MALFORMED);
  wait_until([this] { return server_->connections() == 0; });  // though this side stays open
}

TEST_F(Relaying, SilentPeersAreSentAway) {
  settings_.deadlines.idle = std::chrono::milliseconds{50};
  start();
  const Client client{endpoint_};
  EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_TIMEOUT);
  EXPECT_TRUE(client.at_end());
}

TEST_F(Relaying, WaitingForAnAnswerIsNotSilence) {
  settings_.deadlines.idle = std::chrono::milliseconds{50};
  start();
  const Client client{endpoint_};
  client.send(1, frame_of(hold(1)));
  std::this_thread::sleep_for(std::chrono::milliseconds{200});
  ask([this] { backend_->release(1); });
  EXPECT_EQ(client.receive()->notice, 0);
}

TEST_F(Relaying, FramesMustArriveInTime) {
  settings_.deadlines.frame = std::chrono::milliseconds{50};
  start();
  const auto envelope = encode_answer(1, kMinFrameBytes);
  Bytes whole{envelope.begin(), envelope.end()};
  whole.resize(whole.size() + kMinFrameBytes);
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{31}}) {
    const Client client{endpoint_};
    client.send_raw(std::span{whole}.first(bytes));
    EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_TIMEOUT) << bytes;
  }
}

/// A frame whose bytes come one by one, until `client` is told something. @return the longest time
/// between two of them.
std::chrono::milliseconds drip(const Client& client, std::optional<std::int32_t>& notice) {
  using Clock = std::chrono::steady_clock;
  std::atomic<bool> is_over = false;
  Clock::duration longest{};
  std::thread sender{[&] {
    const Bytes byte(1);
    for (auto last = Clock::now(); !is_over && client.send_raw(byte);) {
      std::this_thread::sleep_for(std::chrono::milliseconds{20});
      longest = std::max(longest, Clock::now() - std::exchange(last, Clock::now()));
    }
  }};
  notice = client.receive_notice();
  is_over = true;
  sender.join();
  return std::chrono::ceil<std::chrono::milliseconds>(longest);
}

TEST_F(Relaying, FramesMustArriveInTimeHoweverSteadilyTheyCome) {
  settings_.deadlines.frame = std::chrono::seconds{1};
  start();
  for (int attempt = 0; attempt < 5; ++attempt) {
    const Client client{endpoint_};
    client.send_raw(encode_answer(1, kMaxFrameBytes));
    std::optional<std::int32_t> notice;
    const auto longest = drip(client, notice);
    EXPECT_EQ(notice, SEVMON_NOTICE_TIMEOUT);
    if (2 * longest < settings_.deadlines.frame) return;
  }
  GTEST_SKIP() << "this machine is too busy to send steadily";
}

TEST_F(Relaying, AnswersMustComeInTime) {
  settings_.deadlines.answer = std::chrono::milliseconds{50};
  start();
  const Client client{endpoint_};
  client.send(42, frame_of(hold(1)));
  const auto received = client.receive();
  ASSERT_TRUE(received);
  EXPECT_EQ(received->notice, SEVMON_NOTICE_TIMEOUT);
  EXPECT_EQ(received->tag, 42U);
  EXPECT_TRUE(client.at_end());
}

}  // namespace
}  // namespace sevmon::proxy::test
