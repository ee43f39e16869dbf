// SPDX-License-Identifier: Apache-2.0
#include "linux/id_table.hpp"

#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/hostile.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

// include/linux/xarray.h: entries with the low bits 10 are internal; those above 4096 are nodes.
constexpr std::uint64_t kEntryTagMask = 3;
constexpr std::uint64_t kInternalTag = 2;
constexpr std::uint64_t kLargestSpecialEntry = 4096;
constexpr std::uint32_t kMaxIdBits = 32;  // ids are ints

bool is_node(std::uint64_t entry) {
  return (entry & kEntryTagMask) == kInternalTag && entry > kLargestSpecialEntry;
}

struct PendingNode {
  Gva address{};
  Gva parent{};                        // 0: the head
  std::uint32_t offset = 0;            // in the parent
  std::optional<std::uint32_t> shift;  // that it must have; the topmost node chooses
  std::uint64_t first_id = 0;
};

class Walk {
 public:
  Walk(const IdTableLayout& layout, Memory& memory, std::uint32_t max_nodes,
       std::uint32_t max_entries)
      : layout_{layout}, memory_{memory}, max_nodes_{max_nodes}, max_entries_{max_entries} {}

  Result<IdTable> run(Gva idr) {
    const Gva head_address = idr + layout_.head_offset;
    const auto head = memory_.read_uint(head_address, 8);
    if (!head && !is_about_data(head.error())) return head.error();
    if (!head)
      tear(head_address, head.error().detail);
    else
      take_entry(*head, {}, std::nullopt);
    while (!next_.empty()) {
      const auto level = std::exchange(next_, {});
      if (auto done = read_level(level); !done) return done.error();
    }
    return std::move(table_);
  }

 private:
  Result<void> read_level(const std::vector<PendingNode>& level) {
    std::vector<Range> ranges;
    for (const auto& node : level) ranges.push_back({node.address, layout_.node_bytes});
    if (auto fetched = memory_.fetch(ranges); !fetched) return fetched.error();
    for (const auto& node : level) {
      const auto bytes = memory_.read({node.address, layout_.node_bytes});
      if (bytes)
        take_node(node, *bytes);
      else if (is_about_data(bytes.error()))
        tear(node.address, bytes.error().detail);
      else
        return bytes.error();
    }
    return {};
  }

  void take_node(const PendingNode& node, const std::vector<std::byte>& bytes) {
    const auto shift = static_cast<std::uint32_t>(bytes[layout_.shift_offset]);
    const auto offset = static_cast<std::uint32_t>(bytes[layout_.offset_offset]);
    if (node.shift ? shift != *node.shift
                   : shift % layout_.slots_bits != 0 || shift + layout_.slots_bits > kMaxIdBits + 4)
      return tear(node.address, "node has shift " + std::to_string(shift));
    if (word(bytes, layout_.parent_offset) != node.parent.value || offset != node.offset)
      return tear(node.address, "node does not point back to its parent");
    for (std::uint32_t slot = 0; slot < layout_.slots; ++slot) {
      PendingNode child{.address = {},
                        .parent = node.address,
                        .offset = slot,
                        .shift = shift - layout_.slots_bits,
                        .first_id = node.first_id + (std::uint64_t{slot} << shift)};
      const auto entry = word(bytes, layout_.slots_offset + slot * 8);
      take_entry(entry, child, shift > 0);
    }
  }

  /// `inner`: may the place hold a node? At the head it may, and an object too.
  void take_entry(std::uint64_t entry, PendingNode place, std::optional<bool> inner) {
    // Empty, or reserved and not filled yet, or a place from which something is being removed.
    if (entry == 0 || ((entry & kEntryTagMask) == kInternalTag && !is_node(entry))) return;
    if (is_node(entry) && inner.value_or(true)) {
      if (++nodes_ > max_nodes_) return bound("nodes", max_nodes_);
      place.address = {entry - kInternalTag};
      if (!is_kernel_pointer(place.address.value))
        return tear(place.parent, "entry " + hex_address(entry) + " points to no node");
      next_.push_back(place);
    } else if (!inner.value_or(false) && is_kernel_pointer(entry)) {
      if (table_.entries.size() >= max_entries_) return bound("entries", max_entries_);
      table_.entries.push_back({place.first_id, {entry}});
    } else {
      tear(place.parent, "entry " + hex_address(entry) + " for id " +
                             std::to_string(place.first_id) + " points to no object");
    }
  }

  void bound(const char* what, std::uint32_t limit) {
    if (!over_bound_) tear({}, "over " + std::to_string(limit) + ' ' + what + " in the id table");
    over_bound_ = true;
  }

  void tear(Gva address, std::string text) {
    // A table made of nothing but nonsense need not be quoted whole.
    constexpr std::size_t kMaxTears = 64;
    if (table_.tears.size() < kMaxTears) table_.tears.push_back({address, std::move(text)});
  }

  static std::uint64_t word(const std::vector<std::byte>& bytes, std::uint32_t offset) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
  }

  const IdTableLayout& layout_;
  Memory& memory_;
  const std::uint32_t max_nodes_;
  const std::uint32_t max_entries_;
  std::uint32_t nodes_ = 0;
  bool over_bound_ = false;
  std::vector<PendingNode> next_;
  IdTable table_;
};

}  // namespace

Result<IdTableLayout> IdTableLayout::resolve(const KernelInfo& info) {
  const auto root = info.member("idr", "idr_rt");
  if (!root) return root.error();
  const auto head = info.member("xarray", "xa_head");
  if (!head) return head.error();
  const auto size = info.size_of("xa_node");
  if (!size) return size.error();
  const auto shift = info.member("xa_node", "shift");
  if (!shift) return shift.error();
  const auto offset = info.member("xa_node", "offset");
  if (!offset) return offset.error();
  const auto parent = info.member("xa_node", "parent");
  if (!parent) return parent.error();
  const auto slots = info.member("xa_node", "slots");
  if (!slots) return slots.error();

  IdTableLayout layout{.head_offset = root->offset_bytes + head->offset_bytes,
                       .node_bytes = *size,
                       .shift_offset = shift->offset_bytes,
                       .offset_offset = offset->offset_bytes,
                       .parent_offset = parent->offset_bytes,
                       .slots_offset = slots->offset_bytes,
                       .slots = slots->size_bytes / 8,
                       .slots_bits = 0};
  const auto inside = [&](std::uint64_t at, std::uint64_t bytes) { return at + bytes <= *size; };
  if (layout.slots < 2 || layout.slots > 256 || !std::has_single_bit(layout.slots) ||
      shift->size_bytes != 1 || offset->size_bytes != 1 || !inside(layout.shift_offset, 1) ||
      !inside(layout.offset_offset, 1) || !inside(layout.parent_offset, 8) ||
      !inside(layout.slots_offset, slots->size_bytes))
    return Error{ErrorCode::kUnsupported, "struct xa_node of " + info.release() + " is unlike any"};
  layout.slots_bits = static_cast<std::uint32_t>(std::countr_zero(layout.slots));
  return layout;
}

Result<IdTable> read_id_table(const IdTableLayout& layout, Memory& memory, Gva idr,
                              std::uint32_t max_nodes, std::uint32_t max_entries) {
  return Walk{layout, memory, max_nodes, max_entries}.run(idr);
}

}  // namespace sevmon::ids
