// SPDX-License-Identifier: Apache-2.0
#include "altered_image.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sevmon::test {

namespace {

std::uint64_t below(std::mt19937_64& random, std::uint64_t end) {
  return std::uniform_int_distribution<std::uint64_t>{0, end - 1}(random);
}

bool looks_like_pointer(std::uint64_t word) {
  return word >> 56 == 0xff && word < 0xfffffffffffff000;
}

}  // namespace

void AlteredImage::collect_pointers() {
  recording_ = false;
  frames_.assign(recorded_.begin(), recorded_.end());
  std::set<std::uint64_t> pointers;
  for (const auto frame : frames_) {
    const auto page = copy_of(frame);
    for (const auto word : page->words)
      if (looks_like_pointer(word)) pointers.insert(word);
  }
  pointers_.assign(pointers.begin(), pointers.end());
}

std::unique_ptr<AlteredPage> AlteredImage::copy_of(std::uint64_t frame) const {
  auto page = std::make_unique<AlteredPage>();
  const auto bytes = image_.frame(frame);
  if (!bytes.empty()) std::memcpy(page->words.data(), bytes.data(), kPageBytes);
  return page;
}

std::uint64_t AlteredImage::any_frame(Random& random) const {
  return frames_[below(random, frames_.size())];
}

void AlteredImage::alter(Random& random, unsigned pages) {
  altered_.clear();
  for (unsigned i = 0; i < pages; ++i) {
    const auto frame = any_frame(random);
    auto page = copy_of(frame);
    alter_page(random, *page);
    page->flickers = below(random, 8) == 0;
    altered_[frame] = std::move(page);
  }
}

std::array<std::uint64_t, kPageBytes / 8>& AlteredImage::edit(std::uint64_t frame) {
  auto& page = altered_[frame];
  if (!page) page = copy_of(frame);
  return page->words;
}

std::uint64_t AlteredImage::spare_frame() {
  for (;;) {
    const std::uint64_t frame = image_.frame_end() - ++next_spare_;
    if (!image_.frame(frame).empty() && !recorded_.contains(frame)) return frame;
  }
}

void AlteredImage::alter_page(Random& random, AlteredPage& page) {
  auto* const bytes = reinterpret_cast<std::uint8_t*>(page.words.data());
  switch (below(random, 16)) {
    case 0:  // a tree or a list in a place where it does not belong, itself included
      page.words = copy_of(any_frame(random))->words;
      return;
    case 1:
      page.words.fill(below(random, 2) ? 0 : ~std::uint64_t{0});
      return;
    case 2:
      for (auto& word : page.words) word = random();
      return;
    case 3: {  // all pointers the same
      const auto target = pointers_[below(random, pointers_.size())];
      for (auto& word : page.words)
        if (looks_like_pointer(word)) word = target;
      return;
    }
    case 4: {  // strings without end
      const auto from = below(random, kPageBytes);
      std::fill_n(bytes + from, below(random, kPageBytes - from) + 1, 'A');
      return;
    }
    case 5: {  // as if an object were elsewhere in its page
      const auto shift = below(random, page.words.size());
      std::rotate(page.words.begin(), page.words.begin() + static_cast<std::ptrdiff_t>(shift),
                  page.words.end());
      return;
    }
    default:
      for (auto count = below(random, 32) + 1; count > 0; --count) alter_word(random, page);
  }
}

void AlteredImage::alter_word(Random& random, AlteredPage& page) {
  auto& word = page.words[below(random, page.words.size())];
  const auto near = [&](std::uint64_t value) { return value + below(random, 129) - 64; };
  switch (below(random, 10)) {
    case 0:
      word = 0;
      return;
    case 1:
      word = ~std::uint64_t{0};
      return;
    case 2:
      word ^= std::uint64_t{1} << below(random, 64);
      return;
    case 3:
      word = random();
      return;
    case 4:
      word = below(random, 1 << 20);
      return;
    case 5:  // its neighbour: a list that ends too early, or never
      word = page.words[below(random, page.words.size())];
      return;
    case 6:
      word = near(word);
      return;
    case 7:  // a page table's entry: another frame, the same rights
      word = (word & ~std::uint64_t{0x000ffffffffff000}) | any_frame(random) << 12;
      return;
    case 8:
      word = near(pointers_[below(random, pointers_.size())]);
      return;
    default:  // loops, and trees that point at themselves
      word = pointers_[below(random, pointers_.size())];
  }
}

const std::uint8_t* AlteredImage::look(std::uint64_t frame) {
  if (recording_) recorded_.insert(frame);
  const auto found = altered_.find(frame);
  if (found == altered_.end()) return nullptr;
  AlteredPage& page = *found->second;
  if (page.flickers && ++page.looks % 2 == 0) return nullptr;
  return reinterpret_cast<const std::uint8_t*>(page.words.data());
}

}  // namespace sevmon::test
