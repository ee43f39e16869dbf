// SPDX-License-Identifier: Apache-2.0
#include "file_sink.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sevmon::cli {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

/// The child: one byte says "rename", the end of the stream "remove". Answers with errno.
[[noreturn]] void commit_when_told(int socket, const char* temporary, const char* path) {
  // Whoever interrupts the command means it, not this: it ends when its parent does.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  char told = 0;
  ssize_t got = 0;
  do {
    got = read(socket, &told, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) {
    const int error = rename(temporary, path) == 0 ? 0 : errno;
    if (error != 0) unlink(temporary);
    _exit(write(socket, &error, sizeof(error)) == sizeof(error) ? 0 : 1);
  }
  unlink(temporary);
  _exit(0);
}

}  // namespace

Error FileSink::failed(const char* what, int error) const {
  return {ErrorCode::kIo, path_ + ' ' + what + ": " + std::strerror(error)};
}

Result<std::unique_ptr<FileSink>> FileSink::open(const std::string& path) {
  std::unique_ptr<FileSink> sink{new FileSink};
  sink->path_ = path;
  if (path == "-") {
    sink->fd_ = dup(STDOUT_FILENO);
  } else if (struct stat status; stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // Root must not replace /dev/null, or a FIFO that somebody reads.
    sink->fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    sink->temporary_ = path + ".XXXXXX";
    sink->fd_ = mkostemp(sink->temporary_.data(), O_CLOEXEC);
    if (sink->fd_ < 0) sink->temporary_.clear();
  }
  if (sink->fd_ < 0) return sink->failed("cannot be created", errno);
  if (!sink->temporary_.empty())
    if (auto started = sink->start_committer(); !started) return started.error();
  return sink;
}

Result<void> FileSink::start_committer() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return failed("cannot be created", errno);
  std::fflush(nullptr);  // or both would print it
  child_ = fork();
  if (child_ == 0) {
    close(ends[0]);
    close(fd_);
    commit_when_told(ends[1], temporary_.c_str(), path_.c_str());
  }
  const int error = errno;
  close(ends[1]);
  to_child_ = ends[0];
  return child_ > 0 ? Result<void>{} : failed("cannot be created", error);
}

FileSink::~FileSink() {
  if (fd_ >= 0) close(fd_);
  if (to_child_ >= 0) close(to_child_);
  if (child_ > 0)
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  else if (!temporary_.empty())
    unlink(temporary_.c_str());
}

Result<void> FileSink::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> FileSink::finish() {
  if (child_ < 0) return {};
  if (fsync(fd_) != 0) return failed("cannot be written", errno);
  int error = EIO;
  const char now = 'c';
  if (::write(to_child_, &now, 1) != 1 || read(to_child_, &error, sizeof(error)) != sizeof(error))
    return failed("cannot be replaced", EIO);
  if (error != 0) return failed("cannot be replaced", error);
  return {};
}

}  // namespace sevmon::cli
