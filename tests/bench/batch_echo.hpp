// SPDX-License-Identifier: Apache-2.0
//
// What the network alone costs between two processes that do it as well as they can: all that came
// is taken with one call, all that is due is sent with one.
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/echo_client.hpp"

namespace sevmon::bench {

/// A message begins with its own size and its answer's, as in tests/bench/guest/tcp-echo.c.
class EchoServer {
 public:
  EchoServer()
      : listener_{socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)}, epoll_{epoll_create1(0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || bind(listener_, raw, bytes) || listen(listener_, 64) ||
        getsockname(listener_, raw, &bytes))
      throw std::runtime_error{"cannot listen"};
    port_ = ntohs(address.sin_port);
    watch(listener_, EPOLLIN, EPOLL_CTL_ADD);
  }

  std::uint16_t port() const { return port_; }

  /// Until the process is ended.
  [[noreturn]] void run() {
    while (true) {
      std::array<epoll_event, 16> events;
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_)
          accept_one();
        else if (!serve(fd, peers_[fd]))
          forget(fd);
      }
    }
  }

 private:
  struct Peer {
    std::vector<std::uint8_t> in = std::vector<std::uint8_t>(1 << 17);
    std::size_t in_bytes = 0;
    std::size_t due = 0;  // bytes of answers
    bool waits_to_write = false;
  };

  void accept_one() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peers_[fd];
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
  }
  void forget(int fd) {
    peers_.erase(fd);
    close(fd);
  }
  void watch(int fd, std::uint32_t events, int how) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_, how, fd, &event);
  }

  /// @return whether the peer is still there.
  bool serve(int fd, Peer& peer) {
    if (peer.due == 0) {
      const auto got = recv(fd, peer.in.data() + peer.in_bytes, peer.in.size() - peer.in_bytes, 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
      if (got > 0) peer.in_bytes += static_cast<std::size_t>(got);
      if (!take_messages(peer)) return false;
    }
    return send_answers(fd, peer);
  }

  bool take_messages(Peer& peer) {
    std::size_t at = 0;
    while (peer.in_bytes - at >= 8) {
      std::array<std::uint32_t, 2> bytes;
      std::memcpy(bytes.data(), peer.in.data() + at, sizeof(bytes));
      if (bytes[0] < sizeof(bytes) || bytes[0] > peer.in.size()) return false;
      if (peer.in_bytes - at < bytes[0]) break;
      at += bytes[0];
      peer.due += bytes[1];
    }
    peer.in_bytes -= at;
    std::memmove(peer.in.data(), peer.in.data() + at, peer.in_bytes);
    return true;
  }

  bool send_answers(int fd, Peer& peer) {
    while (peer.due > 0) {
      const auto put = send(fd, answer_.data(), std::min(peer.due, answer_.size()), MSG_NOSIGNAL);
      if (put < 0 && errno != EAGAIN) return false;
      if (put < 0) break;
      peer.due -= static_cast<std::size_t>(put);
    }
    if (peer.waits_to_write != (peer.due > 0)) {
      peer.waits_to_write = peer.due > 0;
      watch(fd, peer.waits_to_write ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
    return true;
  }

  int listener_, epoll_;
  std::uint16_t port_ = 0;
  std::map<int, Peer> peers_;
  const std::vector<std::uint8_t> answer_ = std::vector<std::uint8_t>(1 << 20, 0x5a);
};

/// One connection to it.
class BatchEchoClient {
 public:
  explicit BatchEchoClient(std::uint16_t port) : socket_{port} {}

  /// `count` messages and their answers, `depth` under way at any time. `took(i)` is called when
  /// the answer to message `i` is there, `sent(i)` before it goes.
  template <typename Sent, typename Took>
  void exchange(std::size_t count, std::size_t depth, std::uint32_t message_bytes,
                std::uint32_t answer_bytes, Sent&& sent, Took&& took) {
    prepare(depth, message_bytes, answer_bytes);
    std::size_t asked = 0, bytes = 0;
    for (std::size_t answered = 0; answered < count;) {
      const auto more = std::min(count, answered + depth) - asked;
      for (std::size_t i = 0; i < more; ++i) sent(asked + i);
      socket_.write(std::span{messages_}.first(more * message_bytes));
      asked += more;
      bytes += socket_.read_some(in_);
      for (; bytes >= answer_bytes; bytes -= answer_bytes) took(answered++);
    }
  }

 private:
  void prepare(std::size_t depth, std::uint32_t message_bytes, std::uint32_t answer_bytes) {
    messages_.assign(depth * message_bytes, 0);
    for (std::size_t i = 0; i < depth; ++i) {
      std::memcpy(messages_.data() + i * message_bytes, &message_bytes, 4);
      std::memcpy(messages_.data() + i * message_bytes + 4, &answer_bytes, 4);
    }
    in_.resize(1 << 18);
  }

  Socket socket_;
  std::vector<std::uint8_t> messages_, in_;
};

}  // namespace sevmon::bench
