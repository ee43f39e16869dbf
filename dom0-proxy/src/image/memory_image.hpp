// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "image/layout.hpp"
#include "image/mapped_file.hpp"

namespace sevmon::proxy {

/// Called once the file is mapped, before anything looks at it: the place to give up privileges.
using ImageOpened = std::function<common::Result<void>()>;

/// A guest's memory at one instant, out of a file. Immutable, thread-safe.
class MemoryImage {
 public:
  /// @return errors of MappedFile::open(), `opened` and read_layout(), with the path.
  static common::Result<MemoryImage> open(const std::string& path, ImageFormat format,
                                          const ImageOpened& opened = {});

  /// The 4096 bytes of frame `gfn`, at any alignment; empty unless all of it is in the image.
  std::span<const std::byte> frame(std::uint64_t gfn) const;
  /// Every frame in the image lies below this.
  std::uint64_t frame_end() const;
  const ImageLayout& layout() const { return layout_; }

 private:
  MemoryImage(MappedFile file, ImageLayout layout)
      : file_{std::move(file)}, layout_{std::move(layout)} {}

  MappedFile file_;
  ImageLayout layout_;
};

}  // namespace sevmon::proxy
