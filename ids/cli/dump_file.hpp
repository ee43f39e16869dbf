// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <sevmon/result.hpp>

#include "dump_state.hpp"

namespace sevmon::cli {

/// A dump while it is made: PATH.part, and PATH.part.state that says how far it has come. Both stay
/// when it is interrupted. A child of ours gives it its name at the end, which a confined process
/// cannot. "-" is standard output: it cannot be gone on with.
class DumpFile {
 public:
  enum class Begin : std::uint8_t { kNew, kAnew, kResume };  // kAnew: --force

  /// Open, or make, and lock. Nothing of an older dump is lost before begin().
  /// @return kIo, kUsage.
  static common::Result<std::unique_ptr<DumpFile>> open(const std::string& path, Begin begin,
                                                        bool replace);
  ~DumpFile();
  DumpFile(const DumpFile&) = delete;
  DumpFile& operator=(const DumpFile&) = delete;

  /// With kResume: how far it has come. @return kMalformed, kMismatch.
  const std::optional<DumpState>& resumed() const { return resumed_; }
  /// Begin anew: leaves room for the header.
  common::Result<void> begin(const DumpPlan& plan);

  /// Write behind what is there.
  common::Result<void> append(std::span<const std::byte> bytes);
  std::uint64_t bytes() const { return bytes_; }
  /// A step whose pages were appended; kept in mind until there are enough to sync.
  common::Result<void> done(const DumpStep& step);
  /// Pages first, then the state that says that they are there.
  common::Result<void> sync();
  /// Write the header, sync, name it, and take the state away.
  common::Result<void> finish(std::span<const std::byte> header);
  bool is_stream() const { return path_ == "-"; }
  const std::string& part_path() const { return part_; }

 private:
  DumpFile() = default;
  common::Error failed(const std::string& path, const char* what, int error) const;
  common::Result<void> open_part(Begin begin);
  common::Result<void> read_state();
  common::Result<void> start_committer();
  common::Result<void> write_all(int fd, const std::string& path, std::span<const std::byte> bytes);

  std::string path_, part_, state_path_;
  int fd_ = -1;
  int state_fd_ = -1;
  int to_child_ = -1;
  pid_t child_ = -1;
  bool replace_ = false;
  bool is_lost_ = false;  // pages that were appended, by the disk
  std::uint64_t bytes_ = 0;
  std::uint64_t synced_ = 0;
  std::string pending_;  // lines of the state
  std::optional<DumpState> resumed_;
};

}  // namespace sevmon::cli
