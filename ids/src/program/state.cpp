// SPDX-License-Identifier: Apache-2.0
#include "program/state.hpp"

#include <algorithm>

namespace sevmon::ids {
namespace {

Value of_bytes(unsigned bytes) {
  return bytes >= 8 ? Value{} : Value::range(0, (std::uint64_t{1} << (8 * bytes)) - 1);
}

Cell join(const Cell& a, const Cell& b) {
  if (a == b) return a;
  Cell both;
  both.written = a.written & b.written;
  if (a.width == b.width && a.width != 0) {
    both.width = a.width;
    both.value = join(a.value, b.value);
  }
  return both;
}

/// An 8's second half is nothing when the first is no 8 any more.
template <typename Merge>
State merge(const State& a, const State& b, Merge each) {
  State both = a;
  for (std::size_t i = 0; i < both.registers.size(); ++i)
    both.registers[i] = each(a.registers[i], b.registers[i]);
  for (std::size_t frame = 0; frame < both.kept.size(); ++frame)
    for (std::size_t i = 0; i < 4; ++i)
      both.kept[frame][i] = each(a.kept[frame][i], b.kept[frame][i]);
  for (std::size_t i = 0; i < both.stack.cells().size(); ++i) {
    const auto& cell_a = a.stack.cells()[i];
    const auto& cell_b = b.stack.cells()[i];
    auto& cell = both.stack.cells()[i];
    cell = join(cell_a, cell_b);
    if (cell.width != 0) cell.value = each(cell_a.value, cell_b.value);
  }
  both.input_bytes = std::min(a.input_bytes, b.input_bytes);
  return both;
}

}  // namespace

void Stack::set_frames(std::size_t frames) {
  cells_.resize(frames * kCells);
  // An 8 whose second half was in the frame that is gone.
  if (cells_.back().width == 8) cells_.back().width = 0;
}

Value Stack::load(std::uint32_t offset, unsigned bytes) const {
  const auto& cell = cells_[offset / 4];
  if (offset % 4 != 0 || bytes < 4) return of_bytes(bytes);
  if (cell.width == bytes) return cell.value;
  if (cell.width == 8 && bytes == 4) return truncate32(cell.value);
  if (bytes == 4 && offset >= 4) {
    const auto& before = cells_[offset / 4 - 1];
    if (cell.width == 0 && before.width == 8 && before.value.is_constant())
      return Value::constant(before.value.low >> 32);
  }
  if (bytes == 8 && cell.width == 4 && cell.value.is_constant()) {
    const auto& after = cells_[offset / 4 + 1];
    if (after.width == 4 && after.value.is_constant())
      return Value::constant(cell.value.low | after.value.low << 32);
  }
  return of_bytes(bytes);
}

/// Make two 4s of an 8 that begins at `cell` or right before it.
void Stack::split(std::uint32_t cell) {
  const std::uint32_t first = cells_[cell].width == 0 && cell > 0 ? cell - 1 : cell;
  if (cells_[first].width != 8) return;
  const Value whole = cells_[first].value;
  cells_[first].width = cells_[first + 1].width = 4;
  cells_[first].value = truncate32(whole);
  cells_[first + 1].value = arithmetic(BPF_RSH, whole, Value::constant(32), 0, false);
  cells_[first].value.is_length = false;
}

void Stack::store(std::uint32_t offset, unsigned bytes, const Value& value) {
  fill(offset, bytes, true);
  if (offset % 4 != 0 || bytes < 4) return;
  auto& cell = cells_[offset / 4];
  cell.width = static_cast<std::uint8_t>(bytes);
  cell.value = bytes == 4 ? truncate32(value) : value;
}

void Stack::fill(std::uint32_t offset, std::uint32_t bytes, bool surely) {
  for (std::uint32_t at = offset; at < offset + bytes; ++at) {
    auto& cell = cells_[at / 4];
    if (at == offset || at % 4 == 0) {
      split(at / 4);
      cell.width = 0;
      cell.value = Value::unset();
    }
    if (surely) cell.written |= static_cast<std::uint8_t>(1U << at % 4);
  }
}

bool Stack::is_written(std::uint32_t offset, std::uint32_t bytes) const {
  for (std::uint32_t at = offset; at < offset + bytes; ++at)
    if ((cells_[at / 4].written & 1U << at % 4) == 0) return false;
  return true;
}

State join(const State& a, const State& b) {
  return merge(a, b, [](const Value& x, const Value& y) { return join(x, y); });
}

State widen(const State& previous, const State& next, const Thresholds& thresholds) {
  return merge(previous, next,
               [&](const Value& x, const Value& y) { return widen(x, y, thresholds); });
}

}  // namespace sevmon::ids
