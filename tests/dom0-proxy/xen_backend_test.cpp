// SPDX-License-Identifier: Apache-2.0
#include "xen_backend.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "asio.hpp"
#include "helper/fake_call.hpp"

namespace sevmon::proxy::test {
namespace {

class Backend : public ::testing::Test {
 protected:
  void make(std::size_t max_calls = 16) {
    backend_ = make_xen_backend(io_.get_executor(), path_, max_calls);
  }
  ~Backend() override {
    backend_->stop();
    run();
  }

  void run() {
    io_.restart();
    io_.run_for(std::chrono::seconds{20});
  }

  // Submit one frame and run until its answer is there.
  BackendAnswer ask(Bytes frame) {
    std::optional<BackendAnswer> answer;
    asio::co_spawn(
        io_,
        [&]() -> asio::awaitable<void> {
          answer = co_await answer_of(*backend_, std::move(frame));
        },
        ReportException{"test"});
    io_.restart();
    while (!answer && io_.run_one_for(std::chrono::seconds{20}) > 0) continue;
    if (!answer) ADD_FAILURE() << "no answer";
    return answer.value_or(BackendAnswer{.error = -1, .frame = {}});
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.file("helper.sock");
  asio::io_context io_{1};
  std::shared_ptr<proxy::Backend> backend_;
};

const Bytes kFrame(64, std::byte{3});

TEST_F(Backend, FramesGoThroughTheHelperAndBack) {
  FakeCall call{FakeCall::echo};
  const RunningHelper helper{path_, call};
  make();
  for (int i = 0; i < 3; ++i) {
    const auto answer = ask(kFrame);
    EXPECT_EQ(answer.error, 0);
    EXPECT_TRUE(std::ranges::equal(answer.frame.bytes(), kFrame));
  }
}

TEST_F(Backend, ManyFramesAtOnceFindTheirOwnAnswers) {
  FakeCall call{FakeCall::echo};
  const RunningHelper helper{path_, call};
  make(100);
  int right = 0;
  for (int i = 0; i < 100; ++i)
    asio::co_spawn(
        io_,
        [this, i, &right]() -> asio::awaitable<void> {
          const Bytes frame(16 + static_cast<std::size_t>(i), std::byte{9});
          const auto answer = co_await answer_of(*backend_, frame);
          right += std::ranges::equal(answer.frame.bytes(), frame);
          if (right == 100) backend_->stop();
        },
        ReportException{"test"});
  run();
  EXPECT_EQ(right, 100);
}

TEST_F(Backend, TheHypercallsErrorComesBack) {
  FakeCall call{[](auto, auto) { return -ENOSYS; }};
  const RunningHelper helper{path_, call};
  make();
  EXPECT_EQ(ask(kFrame).error, ENOSYS);
}

TEST_F(Backend, ConnectsAgainAfterTheHelperWentAway) {
  FakeCall call{FakeCall::echo};
  make();
  EXPECT_EQ(ask(kFrame).error, EPIPE);  // never was there
  {
    const RunningHelper helper{path_, call};
    EXPECT_EQ(ask(kFrame).error, 0);
  }
  EXPECT_EQ(ask(kFrame).error, EPIPE);
  const RunningHelper helper{path_, call};
  EXPECT_EQ(ask(kFrame).error, 0);
}

TEST_F(Backend, FramesUnderWayFailWhenTheHelperDies) {
  const auto listener = listen_seqpacket(path_, -1);
  ASSERT_TRUE(listener);
  make();
  std::thread dying{[&] {
    const Descriptor client{::accept(listener->get(), nullptr, nullptr)};
    Bytes message(kMaxIpcRequestBytes);
    ::recv(client.get(), message.data(), message.size(), 0);
  }};
  EXPECT_EQ(ask(kFrame).error, EPIPE);
  dying.join();
}

TEST_F(Backend, RepliesThatMakeNoSenseEndTheConnection) {
  const auto listener = listen_seqpacket(path_, -1);
  ASSERT_TRUE(listener);
  make();
  const auto header = [](std::uint64_t id, std::int32_t status, std::uint32_t bytes) {
    const auto raw = encode_ipc_header({.id = id, .status = status, .bytes = bytes});
    return Bytes{raw.begin(), raw.end()};
  };
  // The ids are those of the first, second, … call.
  const Bytes replies[] = {Bytes(3), header(99, -EBADMSG, 0), header(3, 1, 0), header(4, 0, 16)};
  for (const auto& reply : replies) {
    std::thread helper{[&] {
      const Descriptor client{::accept(listener->get(), nullptr, nullptr)};
      Bytes message(kMaxIpcRequestBytes);
      ::recv(client.get(), message.data(), message.size(), 0);
      ::send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
      ::recv(client.get(), message.data(), message.size(), 0);  // until it hangs up
    }};
    EXPECT_EQ(ask(kFrame).error, EPIPE);
    helper.join();
  }
}

TEST_F(Backend, CallsNobodyWaitsForStillCountUntilTheyAreAnswered) {
  std::atomic<bool> leave = false;
  FakeCall call{[&](auto frame, auto answer) {
    while (!leave) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    return FakeCall::echo(frame, answer);
  }};
  const RunningHelper helper{path_, call};
  make(2);
  int gave_up = 0;
  for (int i = 0; i < 2; ++i)
    asio::co_spawn(
        io_,
        [&]() -> asio::awaitable<void> {
          const auto answer =
              co_await within(std::chrono::milliseconds{30}, answer_of(*backend_, kFrame));
          gave_up += !answer;
        },
        ReportException{"test"});
  while (gave_up < 2 && io_.run_one_for(std::chrono::seconds{20}) > 0) continue;
  EXPECT_EQ(gave_up, 2);
  EXPECT_EQ(ask(kFrame).error, EBUSY);
  leave = true;
  while (call.calls < 2) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  BackendAnswer answer{.error = EBUSY, .frame = {}};
  for (int i = 0; i < 1000 && answer.error == EBUSY; ++i) {
    io_.restart();
    io_.run_for(std::chrono::milliseconds{5});
    answer = ask(kFrame);
  }
  EXPECT_EQ(answer.error, 0);
}

}  // namespace
}  // namespace sevmon::proxy::test
