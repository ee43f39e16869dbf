// SPDX-License-Identifier: Apache-2.0
#include "memory/page.hpp"

#include <algorithm>
#include <cassert>

namespace sevmon::ids {

LineSet lines_of(std::uint64_t offset, std::uint64_t bytes) {
  assert(bytes >= 1 && offset + bytes <= kPageBytes);
  const auto first = offset / kLineBytes;
  const auto last = (offset + bytes - 1) / kLineBytes;
  const LineSet up_to_last = ~LineSet{0} >> (kLinesPerPage - 1 - last);
  return up_to_last & (~LineSet{0} << first);
}

void Page::store(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (!data_) data_ = std::make_unique<std::array<std::byte, kPageBytes>>();
  const auto fresh = lines_of(offset, bytes.size()) & ~valid_;
  for (unsigned line = 0; line < kLinesPerPage; ++line) {
    if ((fresh >> line & 1) == 0) continue;  // the epoch's first view of a line stays
    const auto at = line * kLineBytes;
    std::ranges::copy(bytes.subspan(at - offset, kLineBytes), data_->begin() + at);
  }
  valid_ |= fresh;
}

void Page::fail(std::uint16_t status, std::uint8_t level) {
  status_ = status;
  level_ = level;
}

std::span<const std::byte> Page::bytes(std::uint64_t offset, std::uint64_t count) const {
  assert(has(lines_of(offset, count)));
  return std::span{*data_}.subspan(offset, count);
}

}  // namespace sevmon::ids
