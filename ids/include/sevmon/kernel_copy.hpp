// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// Which kernel a copy is of, and of which start of it.
struct KernelCopyOrigin {
  std::array<std::uint8_t, 32> file_sha256{};  // of its vmlinuz
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce{};
  std::uint64_t slide_bytes = 0;
  std::uint64_t time_ns = 0;  // the host's clock when the first page was read

  bool operator==(const KernelCopyOrigin&) const = default;
};

/// A part of the kernel that the kernel itself does not write once it runs, but for code that it
/// patches: whole pages.
struct KernelPart {
  common::Gva address{};  // as linked
  std::vector<std::byte> bytes;

  std::uint32_t pages() const {
    return static_cast<std::uint32_t>(bytes.size() / SEVMON_PAGE_BYTES);
  }
};

/// Text and constants of a kernel as they were at one time, kept by the IDS.
class KernelCopy {
 public:
  /// Read them from the target: some 20 MiB. What cannot be read is an error: of a kernel that
  /// runs, all of it can.
  /// @return kNotFound for a symbol that the kernel has not; kNotMapped; errors of the channel.
  static common::Result<KernelCopy> take(Channel& channel, common::DomId domain,
                                         const Kernel& kernel);

  /// What encode() gave. @return kTruncated, kMalformed, kTooLarge; kUnsupported: another version.
  static common::Result<KernelCopy> decode(std::span<const std::byte> file);
  /// @return also kIo.
  static common::Result<KernelCopy> load(const std::string& path);
  std::vector<std::byte> encode() const;

  const KernelCopyOrigin& origin() const { return origin_; }
  const std::vector<KernelPart>& parts() const { return parts_; }
  std::size_t pages() const;

 private:
  KernelCopy() = default;

  KernelCopyOrigin origin_;
  std::vector<KernelPart> parts_;
};

/// Bytes in a page that are not those of the copy.
struct KernelChange {
  common::Gva address{};            // of the first
  std::uint32_t bytes = 0;          // up to the last, within a page
  std::vector<std::byte> expected;  // up to 16 of them
  std::vector<std::byte> found;
  bool passed = false;  // the digest was another's, and a read afterwards found the copy's bytes
};

struct KernelChanges {
  std::vector<KernelChange> changes;    // by address
  std::vector<common::Gva> unreadable;  // pages
  std::vector<std::string> notes;       // why it is not complete
  std::size_t pages = 0;                // that were compared
  std::size_t differing = 0;            // of those
  std::uint64_t digest_round_trips = 0;
  std::uint64_t loading_round_trips = 0;
  bool complete = true;
};

struct KernelChangesOptions {
  std::size_t max_changes = 256;
};

/// Is the target's memory what `copy` says? Xen digests each page under a key that is drawn for
/// the run, in a round trip for some 7,500 pages; pages that differ are read.
/// @return kMismatch when `copy` is of another kernel or of another place in memory; kRefused,
///         kUnsupported when the agent runs no programs; errors of the channel.
common::Result<KernelChanges> find_kernel_changes(Channel& channel, common::DomId domain,
                                                  const Kernel& kernel, const KernelCopy& copy,
                                                  const KernelChangesOptions& options = {});

}  // namespace sevmon::ids
