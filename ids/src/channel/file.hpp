// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <sevmon/result.hpp>

namespace sevmon::ids {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_{fd} {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// kIo with errno's text; kNotFound for ENOENT.
common::Error io_error(const std::string& what, const std::string& path);

/// Open a file that holds a secret, for reading: a plain file, not a symbolic link, ours or root's,
/// with nothing for group and others.
/// @return kIo, kNotFound; kKey when it is not like that.
common::Result<FileDescriptor> open_private(const std::string& path);

/// Create `path`, which must not exist, with mode 0600, and write `bytes` through to the disk.
/// Leaves nothing behind when it fails. @return kIo.
common::Result<void> write_new(const std::string& path, std::span<const std::byte> bytes);

/// Replace `path`, or create it, so that at any moment it is wholly the old or wholly the new.
/// @return kIo.
common::Result<void> replace(const std::string& path, std::span<const std::byte> bytes);

/// The folder that `path` is in, locked against others who do the same. Blocks. @return kIo.
common::Result<FileDescriptor> lock_folder_of(const std::string& path);

}  // namespace sevmon::ids
