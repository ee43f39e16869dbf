// SPDX-License-Identifier: Apache-2.0
#include "image/memory_image.hpp"

#include <algorithm>
#include <utility>

namespace sevmon::proxy {

common::Result<MemoryImage> MemoryImage::open(const std::string& path, ImageFormat format,
                                              const ImageOpened& opened) {
  auto file = MappedFile::open(path);
  if (!file) return file.error();
  if (opened)
    if (auto done = opened(); !done) return done.error();
  auto layout = read_layout(file->bytes(), format);
  if (!layout) return common::Error{layout.error().code, path + ": " + layout.error().detail};
  return MemoryImage{*std::move(file), *std::move(layout)};
}

std::span<const std::byte> MemoryImage::frame(std::uint64_t gfn) const {
  if (gfn >= frame_end()) return {};
  const std::uint64_t gpa = gfn * SEVMON_PAGE_BYTES;
  const auto next = std::ranges::upper_bound(layout_.segments, gpa, {}, &Segment::gpa);
  if (next == layout_.segments.begin()) return {};
  const Segment& segment = *std::prev(next);
  const std::uint64_t offset = gpa - segment.gpa;
  if (segment.bytes < SEVMON_PAGE_BYTES || offset > segment.bytes - SEVMON_PAGE_BYTES) return {};
  return file_.bytes().subspan(segment.file_offset + offset, SEVMON_PAGE_BYTES);
}

std::uint64_t MemoryImage::frame_end() const {
  const Segment& last = layout_.segments.back();
  return (last.gpa + last.bytes + SEVMON_PAGE_BYTES - 1) / SEVMON_PAGE_BYTES;
}

}  // namespace sevmon::proxy
