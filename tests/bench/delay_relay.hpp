// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sevmon::bench {

/// Between a client and 127.0.0.1:`port`: every byte arrives half of `delay` later than it was
/// sent, so that a round trip takes `delay` more. One connection.
class DelayRelay {
 public:
  DelayRelay(std::uint16_t port, std::chrono::microseconds delay) : delay_{delay / 2} {
    listener_ = make_socket();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), bytes) || listen(listener_, 1) ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes))
      throw std::runtime_error{"the relay cannot listen"};
    port_ = ntohs(address.sin_port);
    server_ = make_socket();
    address.sin_port = htons(port);
    if (connect(server_, reinterpret_cast<sockaddr*>(&address), sizeof(address)))
      throw std::runtime_error{"the relay cannot connect"};
    acceptor_ = std::thread{[this] { accept_one(); }};
  }
  /// Once the client has closed its connection.
  ~DelayRelay() {
    acceptor_.join();
    for (auto& thread : threads_) thread.join();
    for (const int fd : {listener_, client_, server_}) close(fd);
  }
  DelayRelay(const DelayRelay&) = delete;
  DelayRelay& operator=(const DelayRelay&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Piece {
    Clock::time_point due;
    std::vector<char> bytes;  // none: the end
  };
  /// One direction.
  struct Way {
    std::mutex mutex;
    std::condition_variable filled;
    std::deque<Piece> pieces;
  };

  static int make_socket() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
      throw std::runtime_error{"no socket"};
    return fd;
  }

  void accept_one() {
    client_ = accept(listener_, nullptr, nullptr);
    const int on = 1;
    setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    threads_.emplace_back([this] { take(client_, up_); });
    threads_.emplace_back([this] { give(server_, up_); });
    threads_.emplace_back([this] { take(server_, down_); });
    threads_.emplace_back([this] { give(client_, down_); });
  }

  void take(int from, Way& way) const {
    for (bool open = true; open;) {
      std::vector<char> bytes(65536);
      const auto got = recv(from, bytes.data(), bytes.size(), 0);
      open = got > 0;
      bytes.resize(open ? static_cast<std::size_t>(got) : 0);
      const std::lock_guard lock{way.mutex};
      way.pieces.push_back({Clock::now() + delay_, std::move(bytes)});
      way.filled.notify_one();
    }
  }

  void give(int to, Way& way) const {
    prctl(PR_SET_TIMERSLACK, 1000UL);  // ns; 50 us otherwise
    for (;;) {
      std::unique_lock lock{way.mutex};
      way.filled.wait(lock, [&] { return !way.pieces.empty(); });
      auto piece = std::move(way.pieces.front());
      way.pieces.pop_front();
      lock.unlock();
      std::this_thread::sleep_until(piece.due);
      if (piece.bytes.empty()) break;
      for (std::size_t at = 0; at < piece.bytes.size();) {
        const auto put = send(to, piece.bytes.data() + at, piece.bytes.size() - at, MSG_NOSIGNAL);
        if (put <= 0) break;
        at += static_cast<std::size_t>(put);
      }
    }
    shutdown(to, SHUT_WR);
  }

  const std::chrono::microseconds delay_;
  int listener_ = -1, client_ = -1, server_ = -1;
  std::uint16_t port_ = 0;
  Way up_, down_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace sevmon::bench
