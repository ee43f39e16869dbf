// SPDX-License-Identifier: Apache-2.0
#include "checks/page_tables.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "linux/locate.hpp"

namespace sevmon::ids {

using common::Result;

namespace {

constexpr std::size_t kRequestsPerExchange = 256;  // of answers that are held at once

Entry decode(std::uint64_t entry, const Entry& parent, unsigned level) {
  if ((entry & kPtePresent) == 0) return {};
  const bool large = (entry & kPteLarge) != 0;
  if (large && level > 3) return {};  // a reserved bit: the CPU faults
  constexpr std::uint64_t kAllowed = SEVMON_PTE_WRITE | SEVMON_PTE_USER;
  const auto access =
      (parent.access & entry & kAllowed) | ((parent.access | entry) & SEVMON_PTE_NX);
  const auto frame = (entry & kPteAddress) >> 12;
  if (level > 1 && !large) return {Entry::Kind::kTable, frame, access};
  const std::uint64_t within = (1ULL << (9 * (level - 1))) - 1;  // a large page's PAT bit is there
  return {Entry::Kind::kPage, frame & ~within, access};
}

}  // namespace

Result<void> PageTables::fetch(std::span<const std::uint64_t> frames) {
  std::set<std::uint64_t> missing;
  for (const auto frame : frames)
    if (!tables_.contains(frame)) missing.insert(frame);
  if (missing.size() > max_tables_ - std::min(max_tables_, tables_.size())) {
    full_ = true;
    return {};
  }
  std::vector<sevmon_item> items;
  for (const auto frame : missing) {
    sevmon_item item{};
    item.type = SEVMON_ITEM_READ_PHYSICAL;
    item.bytes = SEVMON_PAGE_BYTES;
    item.address = frame << 12;
    items.push_back(item);
  }
  auto next = missing.begin();
  const auto requests = pack(domain_, Root{}, items, channel_.size_class());
  for (std::span<const Request> rest{requests}; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), kRequestsPerExchange));
    const auto answers = ask(channel_, some);
    if (!answers) return answers.error();
    for (const auto& result : answers->items) {
      auto& table = tables_[*next++];
      if (result.status != SEVMON_STATUS_OK || result.bytes.size() != sizeof(Table)) continue;
      std::memcpy(table.emplace().data(), result.bytes.data(), sizeof(Table));
      for (auto& entry : *table) entry &= ~c_bit_mask_;
    }
    rest = rest.subspan(some.size());
  }
  return {};
}

const Table* PageTables::find(std::uint64_t frame) const {
  const auto found = tables_.find(frame);
  return found != tables_.end() && found->second ? &*found->second : nullptr;
}

Entry PageTables::child(const Entry& parent, unsigned index, unsigned level) const {
  switch (parent.kind) {
    case Entry::Kind::kNothing:
      return {};
    case Entry::Kind::kPage:
      return {Entry::Kind::kPage, parent.frame + (std::uint64_t{index} << (9 * (level - 1))),
              parent.access};
    case Entry::Kind::kTable:
      break;
  }
  const Table* table = find(parent.frame);
  return table == nullptr ? Entry{} : decode((*table)[index], parent, level);
}

Result<std::vector<std::optional<std::uint64_t>>> PageTables::translate(
    std::uint64_t root, unsigned levels, std::span<const std::uint64_t> addresses) {
  std::vector<Entry> at(addresses.size(), root_entry(root));
  for (unsigned level = levels; level > 0; --level) {
    std::vector<std::uint64_t> frames;
    for (const auto& entry : at)
      if (entry.kind == Entry::Kind::kTable) frames.push_back(entry.frame);
    if (auto fetched = fetch(frames); !fetched) return fetched.error();
    for (std::size_t i = 0; i < at.size(); ++i)
      at[i] = child(at[i], addresses[i] >> level_shift(level) & (kTableEntries - 1), level);
  }
  std::vector<std::optional<std::uint64_t>> frames;
  for (const auto& entry : at)
    frames.push_back(entry.kind == Entry::Kind::kPage ? std::optional{entry.frame} : std::nullopt);
  return frames;
}

}  // namespace sevmon::ids
