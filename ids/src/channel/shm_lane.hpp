// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <sevmon/shm.h>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// A lane of a device's memory or of a file, mapped, and locked against other clients while this
/// lives. Everything in it may change at any time, and be anything.
class ShmLane {
 public:
  /// Take the first lane of `path` that nobody has.
  static common::Result<std::shared_ptr<ShmLane>> open(const std::string& path);
  ~ShmLane();
  ShmLane(const ShmLane&) = delete;
  ShmLane& operator=(const ShmLane&) = delete;

  const std::string& path() const { return path_; }
  unsigned number() const { return number_; }

  /// A number that the agent or we write. Loads acquire, stores release, also for memory that is
  /// mapped write-combining (resource2_wc), which x86 orders with fences alone.
  static std::uint32_t load(std::uint32_t& number);
  static void store(std::uint32_t& number, std::uint32_t value);
  std::uint64_t magic() const;
  sevmon_shm_agent& agent() const;
  sevmon_shm_ids& ids() const;

  /// Copy out of the answers' ring, each byte once.
  void copy_out(std::uint32_t index, std::span<std::byte> to) const;
  /// Copy into the requests' ring.
  void copy_in(std::uint32_t index, std::span<const std::byte> from);

  /// Has the file been cut since? Its pages are then zeros of ours.
  bool is_truncated() const;

  /// The claim of the transport that has it: one at a time, the last that came.
  std::uint32_t claim = 0;

 private:
  ShmLane(std::string path, int fd) : path_{std::move(path)}, fd_{fd} {}
  common::Result<void> take();
  common::Result<bool> lock(unsigned number) const;
  unsigned lanes_served(unsigned lanes) const;

  const std::string path_;
  const int fd_;
  unsigned number_ = 0;
  std::byte* memory_ = nullptr;
  std::optional<unsigned> guard_;  // its place among the mappings that may lose their pages
};

}  // namespace sevmon::ids
