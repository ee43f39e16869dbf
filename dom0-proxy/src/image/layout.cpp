// SPDX-License-Identifier: Apache-2.0
#include "image/layout.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint64_t kPhysicalEnd = 1ULL << 52;  // AMD64 APM vol. 2, 5.1

bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

struct Refused {
  std::string_view magic;
  const char* what;
};

constexpr Refused kRefused[] = {
    {"KDUMP   ", "a kdump-compressed dump: take it without -z, -l, -s (QEMU) or -c (makedumpfile)"},
    {"DISKDUMP", "a diskdump file"},
    {"makedumpfile", "a flattened makedumpfile dump"},
    {"\x1f\x8b", "compressed with gzip: decompress it first"},
    {"\x28\xb5\x2f\xfd", "compressed with zstd: decompress it first"},
    {"\xfd"
     "7zXZ",
     "compressed with xz: decompress it first"},
    {"QEVM", "a QEMU migration stream"},
};

}  // namespace

std::optional<ImageFormat> parse_image_format(std::string_view name) {
  if (name == "auto") return ImageFormat::kAuto;
  if (name == "elf") return ImageFormat::kElf;
  if (name == "lime") return ImageFormat::kLime;
  if (name == "raw") return ImageFormat::kRaw;
  return std::nullopt;
}

Result<ImageLayout> read_layout(std::span<const std::byte> file, ImageFormat format) {
  switch (format) {
    case ImageFormat::kElf:
      return read_elf(file);
    case ImageFormat::kLime:
      return read_lime(file);
    case ImageFormat::kRaw:
      return read_raw(file);
    case ImageFormat::kAuto:
      break;
  }
  for (const auto& refused : kRefused)
    if (starts_with(file, refused.magic)) return Error{ErrorCode::kUnsupported, refused.what};
  if (starts_with(file,
                  "\x7f"
                  "ELF"))
    return read_elf(file);
  if (starts_with(file, "EMiL")) return read_lime(file);
  return read_raw(file);
}

Result<ImageLayout> read_raw(std::span<const std::byte> file) {
  if (file.empty() || file.size() % SEVMON_PAGE_BYTES != 0)
    return Error{ErrorCode::kTruncated,
                 "a raw image has whole pages, this one " + std::to_string(file.size()) + " bytes"};
  auto segments = normalise({{.gpa = 0, .bytes = file.size(), .file_offset = 0}}, file.size());
  if (!segments) return segments.error();
  return ImageLayout{
      .format = "raw", .segments = *std::move(segments), .vcpus = {}, .vmcoreinfo = {}};
}

Result<std::vector<Segment>> normalise(std::vector<Segment> segments, std::uint64_t file_bytes) {
  for (const auto& segment : segments) {
    if (segment.file_offset > file_bytes || segment.bytes > file_bytes - segment.file_offset)
      return Error{ErrorCode::kTruncated, "memory is missing: a segment ends after the file"};
    if (segment.gpa >= kPhysicalEnd || segment.bytes > kPhysicalEnd - segment.gpa)
      return Error{ErrorCode::kMalformed, "a segment lies past the last physical address"};
  }
  std::ranges::stable_sort(segments, {}, &Segment::gpa);
  std::vector<Segment> kept;
  std::uint64_t covered = 0;  // everything below is in `kept` or in no segment
  for (auto segment : segments) {
    const std::uint64_t end = segment.gpa + segment.bytes;
    if (end <= covered || segment.bytes == 0) continue;
    const std::uint64_t cut = covered > segment.gpa ? covered - segment.gpa : 0;
    segment = {segment.gpa + cut, segment.bytes - cut, segment.file_offset + cut};
    covered = end;
    // In one piece where the file has it in one piece, so that a page may lie across the seam.
    if (!kept.empty() && kept.back().gpa + kept.back().bytes == segment.gpa &&
        kept.back().file_offset + kept.back().bytes == segment.file_offset)
      kept.back().bytes += segment.bytes;
    else
      kept.push_back(segment);
  }
  if (kept.empty()) return Error{ErrorCode::kMalformed, "no memory in it"};
  return kept;
}

}  // namespace sevmon::proxy
