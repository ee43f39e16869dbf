// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "bpf.h"
#include "program/value.hpp"

namespace sevmon::ids {

/// Four bytes of the stack.
struct Cell {
  Value value = Value::unset();  // of `width` bytes from here on
  std::uint8_t width = 0;        // 4, 8; 0: nothing is known of it, or it is an 8's second half
  std::uint8_t written = 0;      // bits: bytes that were surely written

  bool operator==(const Cell&) const = default;
};

/// The stack of the functions that are active, from its begin (SEVMON_REGION_STACK).
class Stack {
 public:
  static constexpr std::uint32_t kCells = SEVMON_BPF_STACK_BYTES / 4;

  explicit Stack(std::size_t frames) : cells_(frames * kCells) {}

  std::uint32_t bytes() const { return static_cast<std::uint32_t>(cells_.size()) * 4; }
  /// Grows by empty frames, or loses the last ones.
  void set_frames(std::size_t frames);

  /// What `bytes` at `offset` hold; all must be inside.
  Value load(std::uint32_t offset, unsigned bytes) const;
  void store(std::uint32_t offset, unsigned bytes, const Value& value);
  /// Anything, written for sure or not.
  void fill(std::uint32_t offset, std::uint32_t bytes, bool surely);
  bool is_written(std::uint32_t offset, std::uint32_t bytes) const;

  bool operator==(const Stack&) const = default;
  std::vector<Cell>& cells() { return cells_; }
  const std::vector<Cell>& cells() const { return cells_; }

 private:
  void split(std::uint32_t cell);

  std::vector<Cell> cells_;
};

/// What is known where an instruction begins.
struct State {
  std::array<Value, 16> registers;         // any number that fits an instruction
  std::vector<std::array<Value, 4>> kept;  // r6 to r9 of the callers
  Stack stack{1};
  std::uint64_t input_bytes = 0;  // the input has at least so many

  bool operator==(const State&) const = default;
};

/// Calls `visit` with each value of `state` that has an origin. @return false as soon as one did.
template <typename Visit>
bool each_origin(State& state, Visit visit) {
  const auto one = [&](Value& value) { return value.origin == 0 || visit(value); };
  for (auto& value : state.registers)
    if (!one(value)) return false;
  for (auto& frame : state.kept)
    for (auto& value : frame)
      if (!one(value)) return false;
  for (auto& cell : state.stack.cells())
    if (cell.width != 0 && !one(cell.value)) return false;
  return true;
}

State join(const State& a, const State& b);
State widen(const State& previous, const State& next, const Thresholds& thresholds);

}  // namespace sevmon::ids
