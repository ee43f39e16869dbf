// SPDX-License-Identifier: Apache-2.0
#include "channel/file.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/crypto.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

std::string folder_of(const std::string& path) {
  const auto folder = std::filesystem::path{path}.parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_error("write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return ::fsync(fd) == 0 ? Result<void>{} : io_error("fsync", path);
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Error io_error(const std::string& what, const std::string& path) {
  const auto error = errno;
  return {error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
          path + ": " + what + ": " + std::generic_category().message(error)};
}

Result<FileDescriptor> open_private(const std::string& path) {
  // Non-blocking, or a FIFO in its place would hang us before fstat() can tell.
  FileDescriptor fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!fd && errno == ELOOP)
    return Error{ErrorCode::kKey, path + ": a symbolic link; name the file itself"};
  if (!fd) return io_error("open", path);
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) return io_error("stat", path);
  if (!S_ISREG(facts.st_mode)) return Error{ErrorCode::kKey, path + ": not a plain file"};
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0)
    return Error{ErrorCode::kKey, path + ": belongs to somebody else"};
  if ((facts.st_mode & 077) != 0)
    return Error{ErrorCode::kKey, path + ": others may use it; chmod 600 it"};
  return fd;
}

Result<void> write_new(const std::string& path, std::span<const std::byte> bytes) {
  const FileDescriptor fd{
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd) return io_error("create", path);
  auto written = write_all(fd.get(), bytes, path);
  if (!written) ::unlink(path.c_str());
  return written;
}

Result<void> replace(const std::string& path, std::span<const std::byte> bytes) {
  std::string temporary = path + ".";
  for (const auto byte : random_array<8>()) {
    char hex[3];
    std::snprintf(hex, sizeof(hex), "%02x", static_cast<unsigned>(byte));
    temporary += hex;
  }
  if (auto ok = write_new(temporary, bytes); !ok) return ok;
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = io_error("replace", path);
    ::unlink(temporary.c_str());
    return error;
  }
  const FileDescriptor folder{::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!folder || ::fsync(folder.get()) != 0) return io_error("fsync", folder_of(path));
  return {};
}

Result<FileDescriptor> lock_folder_of(const std::string& path) {
  const auto folder = folder_of(path);
  FileDescriptor fd{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) return io_error("open", folder);
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return io_error("lock", folder);
  return fd;
}

}  // namespace sevmon::ids
