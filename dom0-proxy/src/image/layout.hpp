// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// Guest-physical memory that lies in one piece in the image file.
struct Segment {
  std::uint64_t gpa = 0;
  std::uint64_t bytes = 0;
  std::uint64_t file_offset = 0;
};

/// What the kernel wrote into its VMCOREINFO note. Out of the guest's own memory: a hint.
struct Vmcoreinfo {
  std::optional<std::uint64_t> kernel_offset;  // KASLR slide
  std::optional<std::uint64_t> phys_base;      // two's complement
  std::array<std::uint8_t, 20> build_id{};     // zeros: not there
};

/// Everything that a reader learns from an image file but the memory itself.
struct ImageLayout {
  std::string_view format;               // "elf", "lime" or "raw"
  std::vector<Segment> segments;         // sorted, no overlaps, none empty, within the file
  std::vector<sevmon_vcpu_state> vcpus;  // empty where the format does not tell
  std::optional<Vmcoreinfo> vmcoreinfo;
};

enum class ImageFormat { kAuto, kElf, kLime, kRaw };

/// "auto", "elf", "lime" or "raw".
std::optional<ImageFormat> parse_image_format(std::string_view name);

/// Find out what a file is and where memory lies in it. kAuto goes by the first bytes; a raw
/// image's first bytes are the guest's, who could make it look like another format: say kRaw where
/// that matters.
/// @return kTruncated, kTooLarge, kMalformed; kUnsupported: compressed, kdump, 32-bit, …
common::Result<ImageLayout> read_layout(std::span<const std::byte> file, ImageFormat format);

/// ELF64 vmcore: QEMU's dump-guest-memory, /proc/vmcore. Segments by physical address.
common::Result<ImageLayout> read_elf(std::span<const std::byte> file);
/// LiME, version 1 of its headers.
common::Result<ImageLayout> read_lime(std::span<const std::byte> file);
/// Flat, from guest-physical address 0; whole pages.
common::Result<ImageLayout> read_raw(std::span<const std::byte> file);

/// Read what KEY=VALUE lines say; what does not parse is as if it were not there.
Vmcoreinfo parse_vmcoreinfo(std::string_view text);

/// Sort, and cut away what is there twice (QEMU's paging dumps list memory once per mapping).
/// @return kTruncated: outside of the file; kMalformed: past the end of physical addresses.
common::Result<std::vector<Segment>> normalise(std::vector<Segment> segments,
                                               std::uint64_t file_bytes);

}  // namespace sevmon::proxy
