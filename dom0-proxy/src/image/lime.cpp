// SPDX-License-Identifier: Apache-2.0
// The LiME format: a header before each range of System RAM (github.com/504ensicsLabs/LiME,
// doc/README.md, "lime header").
#include <string>

#include "image/layout.hpp"

#include <sevmon/cursor.hpp>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;

struct LimeHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t first;  // byte
  std::uint64_t last;   // byte, inclusive
  std::uint64_t reserved;
};
static_assert(sizeof(LimeHeader) == 32);

constexpr std::uint32_t kMagic = 0x4c694d45;
constexpr std::size_t kMaxSegments = 65'536;

}  // namespace

common::Result<ImageLayout> read_lime(std::span<const std::byte> file) {
  std::vector<Segment> segments;
  common::Reader reader{file};
  while (!reader.done()) {
    const std::string where = " at byte " + std::to_string(file.size() - reader.left());
    const auto header = reader.take<LimeHeader>();
    if (reader.failed()) return Error{ErrorCode::kTruncated, "LiME header" + where};
    if (header.magic != kMagic) return Error{ErrorCode::kMalformed, "no LiME header" + where};
    if (header.version != 1)
      return Error{ErrorCode::kUnsupported,
                   "LiME version " + std::to_string(header.version) + where};
    if (header.last < header.first || header.last - header.first == ~0ULL)
      return Error{ErrorCode::kMalformed, "LiME range ends before it begins" + where};
    if (segments.size() == kMaxSegments) return Error{ErrorCode::kTooLarge, "LiME ranges" + where};
    const std::uint64_t offset = file.size() - reader.left();
    const std::uint64_t bytes = header.last - header.first + 1;
    reader.bytes(bytes);
    if (reader.failed()) return Error{ErrorCode::kTruncated, "LiME range" + where};
    segments.push_back({.gpa = header.first, .bytes = bytes, .file_offset = offset});
  }
  auto normal = normalise(std::move(segments), file.size());
  if (!normal) return normal.error();
  return ImageLayout{
      .format = "lime", .segments = *std::move(normal), .vcpus = {}, .vmcoreinfo = {}};
}

}  // namespace sevmon::proxy
