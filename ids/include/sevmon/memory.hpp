// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

struct Range {
  common::Gva address{};
  std::uint32_t bytes = 0;
  auto operator<=>(const Range&) const = default;
};

/// The virtual memory of a target under one root, as one analysis pass sees it: what was read once
/// in an epoch stays as it was read, so that a pass never contradicts itself. Make a new one for
/// the next pass. Thread-safe.
class Memory {
 public:
  virtual ~Memory() = default;

  /// Read whatever of `ranges` is not there yet, all at once: one wave of vectored, pipelined
  /// requests. A range that is not mapped is no error here, but of the read() that wants it.
  /// @return only errors of the channel.
  virtual common::Result<void> fetch(std::span<const Range> ranges) = 0;

  /// `range`'s bytes, fetched when they are not there yet. May cross pages; at most 16 MiB.
  /// @return kNotMapped with address and reason; kTooLarge; errors of the channel.
  virtual common::Result<std::vector<std::byte>> read(Range range) = 0;

  /// Little-endian unsigned integer of 1, 2, 4 or 8 bytes.
  virtual common::Result<std::uint64_t> read_uint(common::Gva address, std::uint32_t bytes) = 0;

  /// Up to `max_bytes` bytes before the first NUL. @return kTorn when there is none in that range.
  virtual common::Result<std::string> read_string(common::Gva address, std::uint32_t max_bytes) = 0;
};

/// An epoch over a channel: a cache of 64-byte lines keyed by address.
std::unique_ptr<Memory> open_epoch(Channel& channel, common::DomId domain, Root root);

}  // namespace sevmon::ids
