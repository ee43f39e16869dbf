// SPDX-License-Identifier: Apache-2.0
#include <sevmon/transport.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <thread>

#include <dlfcn.h>
#include <netdb.h>

#include <sevmon/codec.hpp>

namespace {
std::atomic<bool> is_resolver_stuck{false};
std::atomic<int> stuck_resolvers{0};
}  // namespace

/// In place of the C library's: a name server that does not answer.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  if (node != nullptr && std::strcmp(node, "stuck.invalid") == 0) {
    ++stuck_resolvers;
    while (is_resolver_stuck) std::this_thread::sleep_for(std::chrono::milliseconds{5});
    --stuck_resolvers;
    return EAI_AGAIN;
  }
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return next(node, service, hints, found);
}

namespace sevmon::ids {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using common::ErrorCode;
using std::chrono::milliseconds;
using Bytes = FrameBytes;

FrameTransport::Deadline in(milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

constexpr milliseconds kLong{20000};
constexpr milliseconds kShort{50};
// More than one call waits: the transport's patience is 200 ms.
constexpr milliseconds kSeveralCalls{450};

Bytes envelope(std::uint32_t bytes, std::uint32_t tag, std::int32_t status,
               std::uint32_t zero = 0) {
  const auto raw = common::encode_envelope({bytes, tag, status, zero});
  return {raw.begin(), raw.end()};
}

Bytes delivery(const Bytes& frame, std::uint32_t tag) {
  auto bytes = envelope(static_cast<std::uint32_t>(frame.size()), tag, 0);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

/// A peer on an ephemeral port of this machine.
class TransportTcpTest : public ::testing::Test {
 protected:
  TransportTcpTest() : acceptor_{io_, {asio::ip::address_v4::loopback(), 0}}, peer_{io_} {
    port_ = std::to_string(acceptor_.local_endpoint().port());
    auto connected = connect_tcp("127.0.0.1", port_, kLong);
    if (!connected) throw std::runtime_error{connected.error().message()};
    transport_ = *std::move(connected);
    acceptor_.accept(peer_);
  }

  void peer_sends(const Bytes& bytes) { asio::write(peer_, asio::buffer(bytes)); }

  void expect_error(ErrorCode code, milliseconds time = kLong) {
    const auto received = transport_->receive(in(time));
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().code, code) << received.error().message();
  }

  asio::io_context io_;
  tcp::acceptor acceptor_;
  tcp::socket peer_;
  std::string port_;
  std::unique_ptr<FrameTransport> transport_;
};

TEST_F(TransportTcpTest, FramesGoOutBehindTheirEnvelope) {
  const Bytes frame(144, std::byte{7});
  ASSERT_TRUE(transport_->send(frame, 42, in(kLong)));
  Bytes got(16 + 144);
  std::thread reader{[&] { asio::read(peer_, asio::buffer(got)); }};
  static_cast<void>(transport_->receive(in(kShort)));
  reader.join();
  EXPECT_EQ(got, delivery(frame, 42));
  EXPECT_EQ(transport_->describe(), "tcp:127.0.0.1:" + port_);
}

TEST_F(TransportTcpTest, SeveralDeliveriesInOnePiece) {
  auto bytes = delivery(Bytes(16, std::byte{1}), 1);
  const auto notice = envelope(0, 2, SEVMON_NOTICE_BUSY);
  const auto large = delivery(Bytes(SEVMON_MAX_FRAME_BYTES, std::byte{3}), 3);
  bytes.insert(bytes.end(), notice.begin(), notice.end());
  bytes.insert(bytes.end(), large.begin(), large.end());
  bytes.insert(bytes.end(), large.begin(), large.end());
  std::thread writer{[&] { peer_sends(bytes); }};
  const auto first = transport_->receive(in(kLong));
  const auto second = transport_->receive(in(kLong));
  const auto third = transport_->receive(in(kLong));
  const auto fourth = transport_->receive(in(kLong));
  writer.join();
  ASSERT_TRUE(first && second && third && fourth);
  EXPECT_EQ(first->frame, Bytes(16, std::byte{1}));
  EXPECT_EQ(second->notice, SEVMON_NOTICE_BUSY);
  EXPECT_EQ(second->tag, 2u);
  EXPECT_TRUE(second->frame.empty());
  EXPECT_EQ(third->frame, Bytes(SEVMON_MAX_FRAME_BYTES, std::byte{3}));
  EXPECT_EQ(fourth->tag, 3u);
}

TEST_F(TransportTcpTest, HalfADeliveryIsKeptForTheNextCall) {
  const auto bytes = delivery(Bytes(100, std::byte{5}), 9);
  for (const std::size_t cut : {1, 15, 16, 17, 115}) {
    peer_sends({bytes.begin(), bytes.begin() + cut});
    expect_error(ErrorCode::kTimeout, kShort);
    peer_sends({bytes.begin() + cut, bytes.end()});
    const auto received = transport_->receive(in(kLong));
    ASSERT_TRUE(received) << received.error().message();
    EXPECT_EQ(received->frame, Bytes(100, std::byte{5}));
  }
}

/// Answers that come at once are looked for without sleeping; those that do not, and the end, are
/// not missed for it.
TEST_F(TransportTcpTest, AnswersAtOnceAndLateOnesByTurns) {
  constexpr std::uint32_t kAnswers = 400;
  const Bytes frame(144, std::byte{7});
  peer_.set_option(tcp::no_delay{true});
  std::thread peer{[&] {
    for (std::uint32_t tag = 1; tag <= kAnswers; ++tag) {
      Bytes got(16 + frame.size());
      boost::system::error_code error;
      asio::read(peer_, asio::buffer(got), error);
      if (error) return;
      if (tag % 50 == 0) std::this_thread::sleep_for(milliseconds{5});
      const auto bytes = delivery(frame, tag);
      // Half of one that is due at once comes late.
      peer_sends({bytes.begin(), bytes.begin() + 80});
      if (tag % 50 == 25) std::this_thread::sleep_for(milliseconds{5});
      peer_sends({bytes.begin() + 80, bytes.end()});
    }
    peer_.close();
  }};
  for (std::uint32_t tag = 1; tag <= kAnswers; ++tag) {
    const bool sent{transport_->send(frame, tag, in(kLong))};
    const auto received = transport_->receive(in(kLong));
    if (!sent || !received || received->tag != tag || received->frame.size() != frame.size()) {
      ADD_FAILURE() << tag;
      break;
    }
  }
  if (HasFailure()) transport_.reset();
  peer.join();
  if (transport_) expect_error(ErrorCode::kConnect);
}

TEST_F(TransportTcpTest, DeadlinesHoldHoweverManyCallsWait) {
  const auto deadline = in(kSeveralCalls);
  expect_error(ErrorCode::kTimeout, kSeveralCalls);
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

/// On a busy machine each may be late, but not all of many.
TEST_F(TransportTcpTest, DeadlinesThatAreNearerThanACallsPatienceHold) {
  auto least = kLong;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    expect_error(ErrorCode::kTimeout, kShort);
    const auto took = std::chrono::steady_clock::now() - start;
    least = std::min(least, std::chrono::floor<milliseconds>(took));
  }
  EXPECT_GE(least, kShort);
  EXPECT_LT(least, milliseconds{150});
}

TEST_F(TransportTcpTest, ADeliveryEndsTheWait) {
  std::thread peer{[this] {
    std::this_thread::sleep_for(kSeveralCalls / 2);
    peer_sends(delivery(Bytes(100, std::byte{5}), 7));
  }};
  const auto start = std::chrono::steady_clock::now();
  const auto delivered = transport_->receive(in(kLong));
  peer.join();
  ASSERT_TRUE(delivered);
  EXPECT_EQ(delivered->tag, 7u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLong);
}

TEST_F(TransportTcpTest, WhatIsThereAlreadyIsDeliveredAfterTheDeadline) {
  const auto bytes = delivery(Bytes(100, std::byte{5}), 7);
  for (int i = 0; i < 2; ++i) {
    peer_sends(bytes);
    // Both deliveries are there: one in the socket, and the other, then, read ahead.
    peer_sends(bytes);
    std::this_thread::sleep_for(kShort);
    EXPECT_TRUE(transport_->receive(in(kLong)));
    EXPECT_TRUE(transport_->receive(std::chrono::steady_clock::now() - kShort));
  }
  // Nothing is read ahead now, and the first look is after the deadline.
  peer_sends(bytes);
  bool came = false;
  for (int i = 0; i < 400 && !came; ++i) {
    std::this_thread::sleep_for(milliseconds{5});
    came = transport_->receive(std::chrono::steady_clock::now() - kShort).has_value();
  }
  EXPECT_TRUE(came);
}

TEST_F(TransportTcpTest, EnvelopesThatCannotBeEndIt) {
  const Bytes envelopes[] = {envelope(SEVMON_MAX_FRAME_BYTES + 1, 0, 0),
                             envelope(0xffffffff, 0, 0),
                             envelope(15, 0, 0),
                             envelope(0, 0, 0),
                             envelope(0, 0, 9),
                             envelope(0, 0, -1),
                             envelope(16, 0, 3),
                             envelope(16, 0, 0, 1)};
  for (const auto& bytes : envelopes) {
    auto connected = connect_tcp("127.0.0.1", port_, kLong);
    ASSERT_TRUE(connected);
    tcp::socket peer{io_};
    acceptor_.accept(peer);
    asio::write(peer, asio::buffer(bytes));
    for (int i = 0; i < 2; ++i) {  // and it stays so, whatever follows
      const auto received = (*connected)->receive(in(kLong));
      ASSERT_FALSE(received);
      EXPECT_TRUE(received.error().code == ErrorCode::kMalformed ||
                  received.error().code == ErrorCode::kTooLarge)
          << received.error().message();
      asio::write(peer, asio::buffer(delivery(Bytes(16), 1)));
    }
    EXPECT_FALSE((*connected)->send(Bytes(16), 1, in(kShort)));
  }
}

TEST_F(TransportTcpTest, WhatCameBeforeTheEndIsDelivered) {
  peer_sends(delivery(Bytes(20), 1));
  peer_.close();
  EXPECT_TRUE(transport_->receive(in(kLong)));
  expect_error(ErrorCode::kConnect);
  expect_error(ErrorCode::kConnect);
}

TEST_F(TransportTcpTest, HalfAFrameAndThenTheEnd) {
  const auto bytes = delivery(Bytes(100, std::byte{5}), 1);
  peer_sends({bytes.begin(), bytes.end() - 1});
  peer_.close();
  expect_error(ErrorCode::kConnect);
}

TEST_F(TransportTcpTest, PeerThatTakesNothingIsATimeout) {
  const Bytes frame(SEVMON_REQUEST_FRAME_BYTES, std::byte{0});
  common::Result<void> sent;
  for (int i = 0; i < 100000 && sent; ++i) sent = transport_->send(frame, 1, in(kShort));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::kTimeout);
}

TEST_F(TransportTcpTest, PeerThatWritesBeforeItReadsDoesNotBlock) {
  // Both directions are fuller than what sockets hold, and the peer reads nothing until it has
  // written everything.
  constexpr int kFrames = 200;
  std::thread peer{[&] {
    for (int i = 0; i < kFrames; ++i) peer_sends(delivery(Bytes(SEVMON_MAX_FRAME_BYTES), 1));
    Bytes got((16 + SEVMON_REQUEST_FRAME_BYTES) * 256);
    asio::read(peer_, asio::buffer(got));
  }};
  for (int i = 0; i < 256; ++i)
    ASSERT_TRUE(transport_->send(Bytes(SEVMON_REQUEST_FRAME_BYTES), 1, in(kLong)));
  for (int i = 0; i < kFrames; ++i) ASSERT_TRUE(transport_->receive(in(kLong)));
  static_cast<void>(transport_->receive(in(kShort)));
  peer.join();
}

TEST(ConnectTcp, NobodyThere) {
  std::string port;
  {
    asio::io_context io;
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    port = std::to_string(acceptor.local_endpoint().port());
  }
  const auto connected = connect_tcp("127.0.0.1", port, kLong);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, ErrorCode::kConnect);
}

TEST(ConnectTcp, ANameServerThatDoesNotAnswerIsNotWaitedFor) {
  is_resolver_stuck = true;
  const auto connected = connect_tcp("stuck.invalid", "7100", kShort);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(stuck_resolvers, 1);  // or this test shows nothing
  is_resolver_stuck = false;
  while (stuck_resolvers > 0) std::this_thread::yield();
  EXPECT_EQ(connect_tcp("stuck.invalid", "7100", kLong).error().code, ErrorCode::kConnect);
}

TEST(ConnectTcp, NamesAreFound) {
  asio::io_context io;
  tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
  const auto port = std::to_string(acceptor.local_endpoint().port());
  const auto connected = connect_tcp("localhost", port, kLong);
  EXPECT_TRUE(connected) << connected.error().message();
}

TEST(ConnectTcp, BadPortsAreUsage) {
  for (const auto* port : {"", "0", "65536", "-1", "http", "1x", " 1"}) {
    const auto connected = connect_tcp("127.0.0.1", port, kLong);
    ASSERT_FALSE(connected) << port;
    EXPECT_EQ(connected.error().code, ErrorCode::kUsage) << port;
  }
  EXPECT_EQ(connect_tcp("", "1", kLong).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace sevmon::ids
