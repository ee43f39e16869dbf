// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sevmon/kernel_info.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

// The kernel's id tables (struct idr): an xarray, that is a radix tree of struct xa_node.
namespace sevmon::ids {

struct IdTableLayout {
  std::uint32_t head_offset = 0;  // of the head entry in struct idr
  std::uint32_t node_bytes = 0;
  std::uint32_t shift_offset = 0;
  std::uint32_t offset_offset = 0;
  std::uint32_t parent_offset = 0;
  std::uint32_t slots_offset = 0;
  std::uint32_t slots = 0;       // a power of two
  std::uint32_t slots_bits = 0;  // its logarithm

  static common::Result<IdTableLayout> resolve(const KernelInfo& info);
};

struct IdEntry {
  std::uint64_t id = 0;
  common::Gva object{};
};

struct IdTear {
  common::Gva address{};  // of the node
  std::string text;
};

struct IdTable {
  std::vector<IdEntry> entries;  // in no particular order
  std::vector<IdTear> tears;
};

/// Every object of the table at `idr`, breadth first: one wave of reads per level. Each node must
/// have the shift, parent and offset that its place demands, so a loop or a node with two parents
/// is met as a tear at once; `max_nodes` and `max_entries` bound what is left.
/// @return errors of the channel only.
common::Result<IdTable> read_id_table(const IdTableLayout& layout, Memory& memory, common::Gva idr,
                                      std::uint32_t max_nodes, std::uint32_t max_entries);

}  // namespace sevmon::ids
