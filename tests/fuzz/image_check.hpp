// SPDX-License-Identifier: Apache-2.0
// What must hold of every layout that a reader of memory images accepts.
#pragma once

#include <cstdlib>
#include <span>

#include "image/layout.hpp"

namespace sevmon::proxy {

inline void check_layout(const common::Result<ImageLayout>& layout,
                         std::span<const std::byte> file) {
  const auto require = [](bool held) {
    if (!held) std::abort();
  };
  if (!layout) return require(!layout.error().detail.empty());
  require(!layout->segments.empty());
  std::uint64_t end = 0;
  for (const auto& segment : layout->segments) {
    require(segment.bytes > 0 && segment.gpa >= end);
    end = segment.gpa + segment.bytes;
    require(end > segment.gpa && end <= 1ULL << 52);
    require(segment.file_offset <= file.size() &&
            segment.bytes <= file.size() - segment.file_offset);
  }
  for (std::size_t i = 0; i < layout->vcpus.size(); ++i) require(layout->vcpus[i].vcpu == i);
}

}  // namespace sevmon::proxy
