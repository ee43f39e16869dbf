// SPDX-License-Identifier: Apache-2.0
#include "helper/server.hpp"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "helper/ipc.hpp"

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Error failed(const std::string& what) {
  return Error{ErrorCode::kIo, what + ": " + std::strerror(errno)};
}

// Only a socket that refuses connections is dead; anything else at the path is somebody's.
bool is_dead_socket(const sockaddr_un& address) {
  struct stat status;
  if (lstat(address.sun_path, &status) || !S_ISSOCK(status.st_mode)) return false;
  const Descriptor probe{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 &&
         errno == ECONNREFUSED;
}

bool send_reply(int fd, const IpcHeader& header, std::span<const std::byte> frame) {
  auto head = encode_ipc_header(header);
  std::array<iovec, 2> parts{
      {{head.data(), head.size()}, {const_cast<std::byte*>(frame.data()), frame.size()}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t sent;
  do {
    sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(head.size() + frame.size());
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Descriptor> listen_seqpacket(const std::string& path, long gid) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return Error{ErrorCode::kUsage, "socket path '" + path + "' is empty or too long"};
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  if (!listener) return failed("socket");
  if (is_dead_socket(address)) ::unlink(path.c_str());
  // Nobody may connect between bind() and chmod().
  const mode_t before = ::umask(0777);
  const int bound =
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(before);
  errno = error;
  if (bound) return failed("bind " + path);
  if (gid >= 0 && ::lchown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(gid)))
    return failed("chown " + path);
  if (::chmod(path.c_str(), 0660)) return failed("chmod " + path);
  if (::listen(listener.get(), 4)) return failed("listen " + path);
  return listener;
}

Result<void> HelperServer::run(int listen_fd, int stop_fd) {
  while (true) {
    std::array<pollfd, 2> events{{{listen_fd, POLLIN, 0}, {stop_fd, POLLIN, 0}}};
    if (::poll(events.data(), events.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return failed("poll");
    }
    if (events[1].revents) return {};
    const Descriptor client{::accept4(listen_fd, nullptr, nullptr, SOCK_CLOEXEC)};
    if (!client) {
      if (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN) continue;
      return failed("accept");
    }
    enlarge_socket_buffers(client.get());
    log(LogLevel::kInfo, "client connected");
    serve(client.get(), stop_fd);
    log(LogLevel::kInfo, "client gone");
  }
}

void HelperServer::serve(int client_fd, int stop_fd) {
  const Descriptor finished{::eventfd(0, EFD_CLOEXEC)};
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < workers_; ++worker)
    threads.emplace_back([this, worker, client_fd, &finished] {
      work(worker, client_fd);
      eventfd_write(finished.get(), 1);
    });
  // The first worker that ends does so because the client is gone or wrong; the stop event is for
  // all. Either way the others wake up from recv() by this shutdown().
  std::array<pollfd, 2> events{{{finished.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}}};
  while (::poll(events.data(), events.size(), -1) < 0 && errno == EINTR) continue;
  ::shutdown(client_fd, SHUT_RDWR);
  for (auto& thread : threads) thread.join();
}

void HelperServer::work(unsigned worker, int client_fd) {
  // One more than allowed, so that a longer message shows instead of being cut to a valid one.
  std::array<std::byte, kMaxIpcRequestBytes + 1> buffer;
  while (answer_one(worker, client_fd, buffer)) continue;
}

bool HelperServer::answer_one(unsigned worker, int client_fd, std::span<std::byte> buffer) {
  const ssize_t received = ::recv(client_fd, buffer.data(), buffer.size(), 0);
  if (received < 0 && errno == EINTR) return true;
  if (received <= 0) return false;
  const auto request = decode_ipc_request(buffer.first(static_cast<std::size_t>(received)));
  if (!request) {
    client_log_.log(LogLevel::kError, "dropping a client: " + request.error().message());
    return false;
  }
  std::span<const std::byte> answer;
  long result = agent_.call(worker, request->frame, answer);
  // A size that cannot be would be a mistake of the agent or of Xen; the proxy shall not see more
  // of the buffer than an answer.
  if (result >= 0 && (static_cast<std::size_t>(result) < kMinFrameBytes ||
                      static_cast<std::size_t>(result) > kMaxAnswerBytes ||
                      static_cast<std::size_t>(result) != answer.size()))
    result = -EIO;
  if (result < -kMaxErrno) result = -EIO;
  if (result < 0) answer = {};
  return send_reply(client_fd,
                    IpcHeader{.id = request->id,
                              .status = result < 0 ? static_cast<std::int32_t>(result) : 0,
                              .bytes = static_cast<std::uint32_t>(answer.size())},
                    answer);
}

}  // namespace sevmon::proxy
