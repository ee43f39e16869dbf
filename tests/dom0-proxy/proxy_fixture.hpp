// SPDX-License-Identifier: Apache-2.0
// A server on a loopback port with a backend that does what each frame says, and a blocking client.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "helper/ipc.hpp"
#include "server.hpp"

#include <sevmon/wire.h>

namespace sevmon::proxy::test {

using Bytes = std::vector<std::byte>;

// What a frame asks the FakeBackend to do; in its first bytes.
struct Order {
  enum Kind : std::uint8_t {
    kEcho,
    kFail,
    kHold,
    kSize,
    kProve = SEVMON_FRAME_RESPONSE,  // echoed, it looks like an answer to a request
  } kind = kEcho;
  std::uint8_t error = 0;  // kFail
  std::uint16_t zero = 0;
  std::uint32_t number = 0;  // kHold: for release(); kSize: the answer's bytes
  std::uint64_t filler = 0;
};
static_assert(sizeof(Order) == kMinFrameBytes);

inline Bytes frame_of(Order order, std::size_t bytes = sizeof(Order)) {
  Bytes frame(bytes, std::byte{0x5a});
  std::memcpy(frame.data(), &order, sizeof(order));
  return frame;
}

class FakeBackend : public Backend {
 public:
  explicit FakeBackend(asio::any_io_executor executor) : executor_{std::move(executor)} {}

  Submission submit(std::span<const std::byte> frame) override {
    Order order;
    std::memcpy(&order, frame.data(), sizeof(order));
    ++submitted;
    Bytes copy{frame.begin(), frame.end()};
    if (order.kind == Order::kHold)
      return {.now = {}, .later = hold(order.number, std::move(copy))};
    if (order.kind == Order::kFail)
      return {.now = BackendAnswer{.error = order.error, .frame = {}}, .later = {}};
    if (order.kind == Order::kSize) copy.assign(order.number, std::byte{1});
    return {.now = BackendAnswer{.error = 0, .frame = std::move(copy)}, .later = {}};
  }
  void stop() override {}
  std::string describe() const override { return "fake"; }

  void release(std::uint32_t number) { held_.at(number)->notify(); }
  bool holds(std::uint32_t number) const { return held_.contains(number); }

  std::size_t submitted = 0;

 private:
  asio::awaitable<BackendAnswer> hold(std::uint32_t number, Bytes frame) {
    const auto held = std::make_shared<Signal>(executor_);
    held_[number] = held;
    co_await held->wait();
    held_.erase(number);
    co_return BackendAnswer{.error = 0, .frame = std::move(frame)};
  }

  asio::any_io_executor executor_;
  std::map<std::uint32_t, std::shared_ptr<Signal>> held_;
};

struct Received {
  std::uint32_t tag = 0;
  std::int32_t notice = 0;
  Bytes frame;
};

// Fails the test instead of waiting for ever.
class Client {
 public:
  explicit Client(const Endpoint& server, const char* from = "127.0.0.1") {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const int on = 1;  // what a test sends by itself comes by itself
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &address.sin_addr);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::inet_pton(AF_INET, server.address().to_string().c_str(), &address.sin_addr);
    address.sin_port = htons(server.port());
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  Client(Client&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  ~Client() { close(); }

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void finish_sending() const { ::shutdown(fd_, SHUT_WR); }

  bool send_raw(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
  }

  bool send(std::uint32_t tag, const Bytes& frame) const {
    const auto envelope = encode_answer(tag, static_cast<std::uint32_t>(frame.size()));
    Bytes all{envelope.begin(), envelope.end()};
    all.insert(all.end(), frame.begin(), frame.end());
    return send_raw(all);
  }

  // Nothing at the end of the stream.
  std::optional<Received> receive() const {
    EnvelopeBytes raw;
    if (!receive_raw(raw)) return std::nullopt;
    const auto envelope = common::decode_envelope(raw, common::Direction::kToIds);
    if (!envelope) {
      ADD_FAILURE() << envelope.error().message();
      return std::nullopt;
    }
    Received received{envelope->tag, envelope->status, Bytes(envelope->bytes)};
    if (!receive_raw(received.frame)) return std::nullopt;
    return received;
  }

  std::optional<std::int32_t> receive_notice() const {
    const auto received = receive();
    return received ? std::optional{received->notice} : std::nullopt;
  }

  // The stream ended; a reset counts, too, unless `cleanly`.
  bool at_end(bool cleanly = true) const {
    std::byte byte;
    const ssize_t got = ::recv(fd_, &byte, 1, 0);
    return got == 0 || (!cleanly && got < 0 && (errno == ECONNRESET || errno == EPIPE));
  }

 private:
  bool receive_raw(std::span<std::byte> into) const {
    return into.empty() ||
           ::recv(fd_, into.data(), into.size(), MSG_WAITALL) == static_cast<ssize_t>(into.size());
  }

  int fd_;
  bool connected_ = false;
};

class ProxyTest : public ::testing::Test {
 protected:
  ProxyTest() {
    settings_.listen = {*parse_endpoint("127.0.0.1:0")};
    settings_.limits.connections_per_source = settings_.limits.connections;
    settings_.limits.frames_unproven = settings_.limits.frames;  // what most tests are not about
    set_log_level(LogLevel::kError);
  }

  ~ProxyTest() override {
    if (!thread_.joinable()) return;
    ask([this] { server_->stop(); });
    work_.reset();
    thread_.join();
    EXPECT_EQ(server_->connections(), 0U);
    EXPECT_EQ(server_->budget().frames_taken(), 0U);
    EXPECT_EQ(server_->budget().bytes_taken(), 0U);
  }

  void start() {
    backend_ = std::make_shared<FakeBackend>(io_.get_executor());
    server_ = std::make_shared<Server>(io_.get_executor(), settings_, backend_);
    ASSERT_TRUE(server_->listen());
    endpoint_ = server_->endpoints().front();
    asio::co_spawn(io_, server_->run(), ReportException{"test server"});
    thread_ = std::thread{[this] { io_.run(); }};
  }

  // Run `question` on the I/O thread, to which everything belongs; give back its answer.
  template <typename Question>
  std::invoke_result_t<Question> ask(Question question) {
    std::packaged_task<std::invoke_result_t<Question>()> task{std::move(question)};
    auto answer = task.get_future();
    asio::post(io_, std::move(task));
    return answer.get();
  }

  // Wait until `condition` holds on the I/O thread; fail after 20 s.
  template <typename Condition>
  void wait_until(Condition condition) {
    for (int i = 0; i < 4000; ++i) {
      if (ask(condition)) return;
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    FAIL() << "the condition never held";
  }

  Settings settings_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::shared_ptr<FakeBackend> backend_;
  std::shared_ptr<Server> server_;
  Endpoint endpoint_;
  std::thread thread_;
};

}  // namespace sevmon::proxy::test
