// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "image/memory_image.hpp"

namespace sevmon::test {

constexpr std::size_t kPageBytes = 4096;

/// What stands in place of one frame of an image.
struct alignas(64) AlteredPage {
  std::array<std::uint64_t, kPageBytes / 8> words{};
  bool flickers = false;  // every other look at it shows the image's own
  unsigned looks = 0;
};

/// A real image, and an intruder's changes to it. The image itself stays as it is.
class AlteredImage {
 public:
  explicit AlteredImage(proxy::MemoryImage image) : image_{std::move(image)} {}

  const proxy::MemoryImage& image() const { return image_; }

  /// From now on note which frames are looked at.
  void record() { recording_ = true; }
  const std::set<std::uint64_t>& recorded() const { return recorded_; }
  /// Of what was recorded: all that looks like one of the kernel's pointers. Call once, after it.
  void collect_pointers();

  /// Undo everything and make `pages` of the recorded frames hostile.
  void alter(std::mt19937_64& random, unsigned pages);

  /// Undo everything.
  void restore() { altered_.clear(); }
  /// The words of `frame` as they are now, to be changed. Valid until restore() or alter().
  std::array<std::uint64_t, kPageBytes / 8>& edit(std::uint64_t frame);
  /// A frame of the image that nothing recorded looks at, another one at each call.
  std::uint64_t spare_frame();

  /// What the agent shall see in place of `frame`; null: what is in the image.
  const std::uint8_t* look(std::uint64_t frame);

 private:
  using Random = std::mt19937_64;
  void alter_page(Random& random, AlteredPage& page);
  void alter_word(Random& random, AlteredPage& page);
  std::uint64_t any_frame(Random& random) const;
  std::unique_ptr<AlteredPage> copy_of(std::uint64_t frame) const;

  proxy::MemoryImage image_;
  bool recording_ = false;
  std::set<std::uint64_t> recorded_;
  std::vector<std::uint64_t> frames_;  // recorded_, to draw from
  std::vector<std::uint64_t> pointers_;
  std::map<std::uint64_t, std::unique_ptr<AlteredPage>> altered_;
  std::uint64_t next_spare_ = 0;  // counted from the image's end
};

}  // namespace sevmon::test
