// SPDX-License-Identifier: Apache-2.0
#include "process/notify.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace sevmon::proxy {

namespace {

int number_in_environment(const char* name) {
  const char* text = std::getenv(name);
  int number = -1;
  if (text) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

}  // namespace

void notify_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  const std::size_t path_bytes = std::strlen(path);
  if (path_bytes >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, path_bytes);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto address_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_bytes);
  ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), address_bytes);
  ::close(fd);
}

std::vector<int> passed_sockets() {
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  std::vector<int> sockets;
  if (number_in_environment("LISTEN_PID") != ::getpid()) return sockets;
  const int count = number_in_environment("LISTEN_FDS");
  for (int fd = kFirst; fd - kFirst < count && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0; ++fd)
    sockets.push_back(fd);
  return sockets;
}

}  // namespace sevmon::proxy
