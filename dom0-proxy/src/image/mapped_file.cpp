// SPDX-License-Identifier: Apache-2.0
#include "image/mapped_file.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;

common::Result<std::span<const std::byte>> map(int fd, const std::string& path) {
  struct stat status;
  if (::fstat(fd, &status)) return Error{ErrorCode::kIo, path + ": " + std::strerror(errno)};
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kUnsupported, path + ": no regular file"};
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return Error{ErrorCode::kTruncated, path + ": empty"};
  void* const start = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (start == MAP_FAILED) return Error{ErrorCode::kIo, path + ": " + std::strerror(errno)};
  return std::span{static_cast<const std::byte*>(start), size};
}

}  // namespace

common::Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: a FIFO shall be refused, not waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error{ErrorCode::kIo, path + ": " + std::strerror(errno)};
  const auto bytes = map(fd, path);
  ::close(fd);
  if (!bytes) return bytes.error();
  return MappedFile{*bytes};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace sevmon::proxy
