// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <sevmon/result.hpp>

namespace sevmon::cli {

/// A file that appears when it is complete: half a dump is never taken for a whole one. Open it
/// before this process is confined. A child that reads nothing from outside gives the file its
/// name, or takes it away when this process ends without finish(): a confined one cannot.
class FileSink {
 public:
  /// @return kIo.
  static common::Result<std::unique_ptr<FileSink>> open(const std::string& path);
  ~FileSink();
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  common::Result<void> write(std::span<const std::byte> bytes);
  common::Result<void> finish();

 private:
  FileSink() = default;
  common::Error failed(const char* what, int error) const;
  common::Result<void> start_committer();

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  int to_child_ = -1;  // a socket
  pid_t child_ = -1;
};

}  // namespace sevmon::cli
