// SPDX-License-Identifier: Apache-2.0
#include "linux/module.hpp"

#include <algorithm>
#include <string_view>

#include "linux/fields.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

constexpr std::uint32_t kMaxNameBytes = 256;
constexpr std::uint32_t kMaxRegions = 32;

Member within(const Member& outer, const Member& inner, std::uint32_t more_bytes = 0) {
  Member member = inner;
  member.offset_bytes += outer.offset_bytes + more_bytes;
  return member;
}

/// Linux commit ac3b43283923 ("module: replace module_layout with module_memory") (in v6.4).
Result<std::vector<ModuleLayout::Region>> resolve_regions(const KernelInfo& info,
                                                          MemberResolver& member) {
  std::vector<ModuleLayout::Region> regions;
  if (!info.has_member("module", "mem")) {
    const auto base = member("module_layout", {"base"}), size = member("module_layout", {"size"});
    for (const auto* layout : {"core_layout", "init_layout"}) {
      const auto outer = member("module", {layout});
      regions.push_back({within(outer, base), within(outer, size)});
    }
    return regions;
  }
  const auto outer = member("module", {"mem"});
  const auto base = member("module_memory", {"base"}), size = member("module_memory", {"size"});
  const auto stride = info.size_of("module_memory");
  if (!stride) return stride.error();
  if (*stride == 0 || outer.size_bytes / *stride > kMaxRegions)
    return Error{ErrorCode::kUnsupported, "module.mem of " + info.release() + " is unlike any"};
  for (std::uint32_t at = 0; at + *stride <= outer.size_bytes; at += *stride)
    regions.push_back({within(outer, base, at), within(outer, size, at)});
  return regions;
}

/// Sizes and symbols, with the first error.
class Finder {
 public:
  explicit Finder(const KernelInfo& info) : info_{info} {}

  std::uint32_t size(std::string_view type) { return take(info_.size_of(type)); }
  Gva symbol(std::string_view name) { return take(info_.symbol(name)); }
  const std::optional<Error>& error() const { return error_; }

 private:
  template <typename T>
  T take(const Result<T>& result) {
    if (!result && !error_) error_ = result.error();
    return result ? *result : T{};
  }

  const KernelInfo& info_;
  std::optional<Error> error_;
};

}  // namespace

Result<ModuleLayout> ModuleLayout::resolve(const KernelInfo& info) {
  MemberResolver member{info};
  ModuleLayout layout;
  layout.state = member("module", {"state"});
  layout.list = member("module", {"list"});
  layout.name = member("module", {"name"});
  layout.taints = member("module", {"taints"});
  layout.refcount = member("module", {"refcnt"});
  layout.users_offset = member("module", {"source_list"}).offset_bytes;
  layout.object_offset = member("module", {"mkobj"}).offset_bytes;
  auto regions = resolve_regions(info, member);
  if (!regions) return regions.error();
  layout.regions = *std::move(regions);
  layout.entry_offset =
      member("module_kobject", {"kobj"}).offset_bytes + member("kobject", {"entry"}).offset_bytes;
  layout.owner_offset = member("module_kobject", {"mod"}).offset_bytes;
  layout.kset_list_offset = member("kset", {"list"}).offset_bytes;
  layout.use_link_offset = member("module_use", {"source_list"}).offset_bytes;
  layout.use_source_offset = member("module_use", {"source"}).offset_bytes;
  layout.node_owner_offset = member("mod_tree_node", {"mod"}).offset_bytes;
  layout.node_offset = member("mod_tree_node", {"node"}).offset_bytes +
                       member("latch_tree_node", {"node"}).offset_bytes;
  layout.rb_parent_offset = member("rb_node", {"__rb_parent_color"}).offset_bytes;
  layout.rb_left_offset = member("rb_node", {"rb_left"}).offset_bytes;
  layout.rb_right_offset = member("rb_node", {"rb_right"}).offset_bytes;
  const auto root = member("mod_tree_root", {"root"}).offset_bytes;
  const auto sequence = root + member("latch_tree_root", {"seq"}).offset_bytes;
  const auto roots = root + member("latch_tree_root", {"tree"}).offset_bytes +
                     member("rb_root", {"rb_node"}).offset_bytes;
  if (member.error()) return *member.error();

  Finder find{info};
  layout.module_bytes = find.size("module");
  layout.rb_bytes = find.size("rb_node");
  layout.rb_root_bytes = find.size("rb_root");
  layout.modules = find.symbol("modules");
  layout.kset_pointer = find.symbol("module_kset");
  layout.tree_sequence = find.symbol("mod_tree") + sequence;
  layout.tree_roots = find.symbol("mod_tree") + roots;
  if (find.error()) return *find.error();
  if (layout.name.size_bytes == 0 || layout.name.size_bytes > kMaxNameBytes ||
      layout.regions.empty())
    return Error{ErrorCode::kUnsupported, "struct module of " + info.release() + " is unlike any"};

  std::vector<Range> spans{{{layout.users_offset}, 16},
                           {{layout.object_offset + layout.entry_offset}, 16},
                           {{layout.object_offset + layout.owner_offset}, 8}};
  for (const auto& field : {layout.state, layout.list, layout.name, layout.taints, layout.refcount})
    spans.push_back({{field.offset_bytes}, field.size_bytes});
  for (const auto& region : layout.regions) {
    spans.push_back({{region.base.offset_bytes}, region.base.size_bytes});
    spans.push_back({{region.size.offset_bytes}, region.size.size_bytes});
  }
  layout.spans_ = coalesce(std::move(spans));
  return layout;
}

ModuleLayout ModuleLayout::relocated(const Kernel& kernel) const {
  ModuleLayout moved = *this;
  for (Gva* place : {&moved.modules, &moved.kset_pointer, &moved.tree_sequence, &moved.tree_roots})
    *place = kernel.relocate(*place);
  return moved;
}

void ModuleLayout::append_ranges(Gva module, std::vector<Range>& ranges) const {
  for (const auto& span : spans_) ranges.push_back({module + span.address.value, span.bytes});
}

Result<ModuleFacts> ModuleLayout::read_module(Memory& memory, Gva module) const {
  FieldReader read{memory, module};
  ModuleFacts facts;
  facts.address = module;
  facts.next = read.pointer(list);
  facts.previous = read.pointer(list, 8);
  facts.state = static_cast<std::uint32_t>(read.number(state));
  facts.name = read.text(name);
  facts.taints = read.number(taints);
  facts.refcount = read.id(refcount);
  facts.base = read.pointer(regions.front().base);
  for (const auto& region : regions) facts.size_bytes += read.number(region.size);
  if (read.error()) return *read.error();
  return facts;
}

}  // namespace sevmon::ids
