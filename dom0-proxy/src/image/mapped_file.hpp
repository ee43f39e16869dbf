// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// A regular file, mapped read-only. Its size is taken once: whoever shortens the file afterwards
/// kills this process with SIGBUS, so images must belong to the one who analyses them.
class MappedFile {
 public:
  /// @return kIo; kUnsupported when it is no regular file; kTruncated when it is empty.
  static common::Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_{bytes} {}
  std::span<const std::byte> bytes_;
};

}  // namespace sevmon::proxy
