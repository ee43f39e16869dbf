// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <sevmon/wire.h>
#include <sevmon/codec.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// A page that is locked in memory where the system allows it, left out of core dumps, and wiped.
class LockedPage {
 public:
  LockedPage();
  ~LockedPage();
  LockedPage(const LockedPage&) = delete;
  LockedPage& operator=(const LockedPage&) = delete;

  static constexpr std::size_t kBytes = 4096;
  std::span<std::byte, kBytes> bytes() const { return std::span<std::byte, kBytes>{data_, kBytes}; }

 private:
  std::byte* data_;
};

/// A key file as it lies on disk, validated, in locked memory.
class KeyFile {
 public:
  static_assert(SEVMON_KEY_FILE_MAX_BYTES <= LockedPage::kBytes);

  /// @return kKey.
  static common::Result<KeyFile> parse(std::span<const std::byte> bytes);
  /// @return kIo; kNotFound; kKey: not a plain file of ours or root's that others cannot read, or
  ///         not a key file.
  static common::Result<KeyFile> read(const std::string& path);
  /// A new file's: a fresh agent id, no entry yet.
  static KeyFile make_empty(const common::IdBytes& agent_id);

  /// The head; `count` says how many entries follow.
  const sevmon_key_head& head() const;
  const sevmon_key_entry& entry(std::size_t index) const;
  /// There must be fewer than SEVMON_MAX_KEYS.
  void add(const sevmon_key_entry& entry);
  /// Those that follow move up.
  void remove(std::size_t index);
  std::span<const std::byte> bytes() const;

 private:
  KeyFile() : page_{std::make_unique<LockedPage>()} {}
  std::unique_ptr<LockedPage> page_;
};

}  // namespace sevmon::ids
