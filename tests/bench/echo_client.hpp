// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace sevmon::bench {

/// A blocking TCP connection to 127.0.0.1. Whatever fails throws.
class Socket {
 public:
  explicit Socket(std::uint16_t port) : fd_{socket(AF_INET, SOCK_STREAM, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ||
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
      throw std::runtime_error{"cannot connect to port " + std::to_string(port)};
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void write(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const auto put = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put <= 0) throw std::runtime_error{"the connection broke"};
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }
  /// What is there, or comes first. @return its bytes.
  std::size_t read_some(std::span<std::uint8_t> bytes) {
    const auto got = recv(fd_, bytes.data(), bytes.size(), 0);
    if (got <= 0) throw std::runtime_error{"the connection broke"};
    return static_cast<std::size_t>(got);
  }
  void read(std::span<std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const auto got = recv(fd_, bytes.data(), bytes.size(), 0);
      if (got <= 0) throw std::runtime_error{"the connection broke"};
      bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
  }

 private:
  int fd_;
};

/// Talks to tests/bench/guest/tcp-echo.c.
class EchoClient {
 public:
  explicit EchoClient(std::uint16_t port) : socket_{port} {}

  /// `count` messages and their answers, at most `depth` unanswered at any time.
  void exchange(std::size_t count, std::size_t depth, std::uint32_t message_bytes,
                std::uint32_t answer_bytes) {
    std::vector<std::uint8_t> message(message_bytes), answer(answer_bytes);
    std::memcpy(message.data(), &message_bytes, 4);
    std::memcpy(message.data() + 4, &answer_bytes, 4);
    std::size_t sent = 0;
    for (std::size_t answered = 0; answered < count; ++answered) {
      for (; sent < count && sent < answered + depth; ++sent) socket_.write(message);
      socket_.read(answer);
    }
  }

 private:
  Socket socket_;
};

}  // namespace sevmon::bench
