// SPDX-License-Identifier: Apache-2.0
#include "profile/file_io.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Error io_error(const std::string& what) {
  return {ErrorCode::kIo, what + ": " + std::system_category().message(errno)};
}

bool write_all(int fd, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return true;
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::string& path, std::size_t limit_bytes) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return io_error(path);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kIo, path + ": not a regular file"};
  if (static_cast<std::uint64_t>(status.st_size) > limit_bytes)
    return Error{ErrorCode::kTooLarge, path + ": " + std::to_string(status.st_size) + " bytes"};
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t got = ::read(file.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error(path);
    if (got == 0) return Error{ErrorCode::kIo, path + ": shrank while it was read"};
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

Result<void> write_file(const std::string& path, ByteSpan bytes) {
  // Root's rename() would replace a device such as /dev/null.
  if (struct stat status; ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return Error{ErrorCode::kIo, path + ": not a regular file"};
  std::string temporary = path + ".XXXXXX";
  const Descriptor file{::mkostemp(temporary.data(), O_CLOEXEC)};
  if (file.get() < 0) return io_error(temporary);
  constexpr mode_t kReadableByAll = 0644;  // mkostemp's 0600 would hide it from other users
  if (write_all(file.get(), bytes) && ::fchmod(file.get(), kReadableByAll) == 0 &&
      ::fsync(file.get()) == 0 && ::rename(temporary.c_str(), path.c_str()) == 0)
    return {};
  const Error error = io_error(path);
  ::unlink(temporary.c_str());
  return error;
}

}  // namespace sevmon::ids
