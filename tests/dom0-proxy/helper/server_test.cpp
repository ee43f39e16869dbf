// SPDX-License-Identifier: Apache-2.0
#include "helper/server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "helper/fake_call.hpp"

namespace sevmon::proxy::test {
namespace {

class Peer {
 public:
  explicit Peer(const std::string& path)
      : fd_{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)} {
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  void send_raw(std::span<const std::byte> bytes) const {
    ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void send(std::uint64_t id, const Bytes& frame) const {
    const auto head = encode_ipc_header(
        {.id = id, .status = 0, .bytes = static_cast<std::uint32_t>(frame.size())});
    Bytes all{head.begin(), head.end()};
    all.insert(all.end(), frame.begin(), frame.end());
    send_raw(all);
  }
  // Empty at the end of the connection.
  Bytes receive_raw() const {
    Bytes message(kMaxIpcReplyBytes + 1);
    const ssize_t got = ::recv(fd_.get(), message.data(), message.size(), 0);
    message.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return message;
  }
  struct Reply {
    std::uint64_t id;
    std::int32_t status;
    Bytes frame;
  };
  Reply receive() const {
    const auto message = receive_raw();
    const auto reply = decode_ipc_reply(message);
    if (!reply) {
      ADD_FAILURE() << reply.error().message();
      return {};
    }
    return {reply->id, reply->status, {reply->frame.begin(), reply->frame.end()}};
  }

 private:
  Descriptor fd_;
};

class Helper : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::string path_ = directory_.file("helper.sock");
};

const Bytes kFrame(100, std::byte{7});

TEST_F(Helper, AnswersUnderTheRequestsId) {
  FakeCall call{FakeCall::echo};
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  peer.send(0xfeedfacecafebeef, kFrame);
  const auto reply = peer.receive();
  EXPECT_EQ(reply.id, 0xfeedfacecafebeef);
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.frame, kFrame);
}

TEST_F(Helper, PassesTheLargestMessagesFromAllWorkersAtOnce) {
  FakeCall call{[](auto, auto) { return static_cast<long>(kMaxAnswerBytes); }};
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  for (std::uint64_t id = 1; id <= 50; ++id) peer.send(id, Bytes(kMaxFrameBytes));
  std::uint64_t ids = 0;
  for (int i = 1; i <= 50; ++i) {
    const auto reply = peer.receive();
    ids += reply.id;
    ASSERT_EQ(reply.frame.size(), kMaxAnswerBytes);
  }
  EXPECT_EQ(ids, 50U * 51U / 2U);
}

TEST_F(Helper, ErrorsComeBackWithoutAFrame) {
  FakeCall call{[](auto, auto) { return -EBADMSG; }};
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  peer.send(1, kFrame);
  const auto reply = peer.receive();
  EXPECT_EQ(reply.status, -EBADMSG);
  EXPECT_TRUE(reply.frame.empty());
}

TEST_F(Helper, ResultsThatCannotBeBecomeAnError) {
  std::atomic<long> result = 0;
  FakeCall call{[&](auto, auto) { return result.load(); }};
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  for (const long impossible : {0L, static_cast<long>(kMinFrameBytes) - 1,
                                static_cast<long>(kMaxAnswerBytes) + 1, -4096L, -1'000'000L}) {
    result = impossible;
    peer.send(1, kFrame);
    EXPECT_EQ(peer.receive().status, -EIO) << impossible;
  }
}

TEST_F(Helper, AnAnswerThatIsNotOfItsOwnSizeBecomesAnError) {
  // What is in the buffer behind the answer is somebody else's.
  class WrongSize : public AgentCall {
   public:
    long call(unsigned, std::span<const std::byte>, std::span<const std::byte>& answer) override {
      answer = buffer_;
      return static_cast<long>(buffer_.size()) - 1;
    }

   private:
    const Bytes buffer_ = Bytes(64);
  } call;
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  peer.send(1, kFrame);
  EXPECT_EQ(peer.receive().status, -EIO);
}

TEST_F(Helper, WhatIsOverTheRateIsNotAskedAgain) {
  std::atomic<int> busy = 1;
  FakeCall call{
      [&](auto frame, auto answer) { return busy-- > 0 ? -EBUSY : FakeCall::echo(frame, answer); }};
  const RunningHelper helper{path_, call};
  const Peer peer{path_};
  peer.send(1, kFrame);
  EXPECT_EQ(peer.receive().status, -EBUSY);
  peer.send(2, kFrame);
  EXPECT_EQ(peer.receive().status, 0);
}

TEST_F(Helper, ClientsThatBreakTheRulesAreDroppedAndTheNextIsServed) {
  FakeCall call{FakeCall::echo};
  const RunningHelper helper{path_, call};
  const auto message = [](IpcHeader header, std::size_t frame_bytes) {
    const auto head = encode_ipc_header(header);
    Bytes all{head.begin(), head.end()};
    all.resize(all.size() + frame_bytes);
    return all;
  };
  std::vector<Bytes> wrong{
      message({.id = 1, .status = 0, .bytes = kMinFrameBytes - 1}, kMinFrameBytes - 1),
      message({.id = 1, .status = 0, .bytes = kMaxFrameBytes + 1}, kMaxFrameBytes + 1),
      message({.id = 1, .status = 0, .bytes = 17}, 16),
      message({.id = 1, .status = 0, .bytes = 16}, 17),
      message({.id = 1, .status = 0, .bytes = 0xffffffff}, 16),
      message({.id = 1, .status = 1, .bytes = 16}, 16),
      message({.id = 1, .status = -1, .bytes = 16}, 16),
      Bytes(60'000),
  };
  for (std::size_t bytes = 1; bytes < sizeof(IpcHeader); ++bytes) wrong.emplace_back(bytes);
  for (const auto& bad : wrong) {
    const Peer peer{path_};
    peer.send_raw(bad);
    EXPECT_TRUE(peer.receive_raw().empty()) << bad.size();
  }
  EXPECT_EQ(call.calls, 0U);
  const Peer good{path_};
  good.send(1, kFrame);
  EXPECT_EQ(good.receive().status, 0);
}

TEST_F(Helper, AClientThatDiesInTheMiddleOfACallDisturbsNobody) {
  std::mutex mutex;
  std::condition_variable changed;
  bool entered = false, leave = false;
  FakeCall call{[&](auto frame, auto answer) {
    std::unique_lock lock{mutex};
    entered = true;
    changed.notify_all();
    changed.wait(lock, [&] { return leave; });
    return FakeCall::echo(frame, answer);
  }};
  const RunningHelper helper{path_, call};
  {
    const Peer dying{path_};
    dying.send(1, kFrame);
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return entered; });
  }
  const Peer next{path_};
  next.send(2, kFrame);
  {
    const std::lock_guard lock{mutex};
    leave = true;
    changed.notify_all();
  }
  EXPECT_EQ(next.receive().id, 2U);
}

TEST_F(Helper, StopsWithAClientConnected) {
  FakeCall call{FakeCall::echo};
  std::optional<RunningHelper> helper{std::in_place, path_, call};
  const Peer peer{path_};
  peer.send(1, kFrame);
  ASSERT_EQ(peer.receive().id, 1U);
  helper.reset();
  EXPECT_TRUE(peer.receive_raw().empty());
}

TEST_F(Helper, ReplacesADeadSocketAndNothingElse) {
  FakeCall call{FakeCall::echo};
  { const RunningHelper before{path_, call}; }
  const RunningHelper helper{path_, call};  // over the file that the one before left
  EXPECT_FALSE(listen_seqpacket(path_, -1));
  const auto plain = directory_.file("plain");
  Descriptor{::creat(plain.c_str(), 0600)};
  EXPECT_FALSE(listen_seqpacket(plain, -1));
  EXPECT_FALSE(listen_seqpacket(std::string(200, 'x'), -1));
  EXPECT_FALSE(listen_seqpacket("", -1));
  struct stat status;
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660U);
}

TEST(Ipc, RepliesAreCheckedAsStrictly) {
  const auto reply = [](std::int32_t status, std::uint32_t bytes, std::size_t frame_bytes) {
    const auto head = encode_ipc_header({.id = 1, .status = status, .bytes = bytes});
    Bytes all{head.begin(), head.end()};
    all.resize(all.size() + frame_bytes);
    return decode_ipc_reply(all).has_value();
  };
  EXPECT_TRUE(reply(0, kMinFrameBytes, kMinFrameBytes));
  EXPECT_TRUE(reply(0, kMaxAnswerBytes, kMaxAnswerBytes));
  EXPECT_TRUE(reply(-1, 0, 0));
  EXPECT_TRUE(reply(-kMaxErrno, 0, 0));
  EXPECT_FALSE(reply(0, 0, 0));
  EXPECT_FALSE(reply(0, kMinFrameBytes - 1, kMinFrameBytes - 1));
  EXPECT_FALSE(reply(0, kMaxAnswerBytes + 1, kMaxAnswerBytes + 1));
  EXPECT_FALSE(reply(0, 17, 16));
  EXPECT_FALSE(reply(-1, 16, 16));
  EXPECT_FALSE(reply(1, 0, 0));
  EXPECT_FALSE(reply(-kMaxErrno - 1, 0, 0));
  EXPECT_FALSE(reply(INT32_MIN, 0, 0));
  for (std::size_t bytes = 0; bytes < sizeof(IpcHeader); ++bytes)
    EXPECT_FALSE(decode_ipc_reply(Bytes(bytes)));
}

}  // namespace
}  // namespace sevmon::proxy::test
