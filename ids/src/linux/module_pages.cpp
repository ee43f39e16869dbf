// SPDX-License-Identifier: Apache-2.0
// The kernel's three structures of modules, by pages.
#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/hostile.hpp"
#include "linux/module.hpp"
#include "linux/rings.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::Gva;
using common::Result;

// A balanced tree of 2^32 nodes is not deeper.
constexpr unsigned kMaxDepth = 64;
constexpr std::uint32_t kMaxUsers = 2048;    // of one module
constexpr std::uint32_t kMaxBuiltIn = 1024;  // that have an object, too
constexpr std::uint32_t kNodesOfAModule = 8;

/// The tree of modules' addresses, breadth first. A node must have the parent by which it was come
/// to, so that no node counts twice.
class TreeWalk {
 public:
  TreeWalk(const ModuleLayout& layout, Memory& memory, std::uint32_t max_nodes,
           ModuleSightings& found)
      : layout_{layout}, memory_{memory}, max_nodes_{max_nodes}, found_{found} {}

  Result<void> run() {
    const auto sequence = memory_.read_uint(layout_.tree_sequence, 4);
    if (!sequence) return tear(layout_.tree_sequence, sequence.error());
    which_ = static_cast<std::uint32_t>(*sequence & 1);
    const Gva root = layout_.tree_roots + which_ * layout_.rb_root_bytes;
    const auto top = memory_.read_uint(root, 8);
    if (!top) return tear(root, top.error());
    std::vector<Place> level;
    add({*top}, {}, level);
    for (unsigned depth = 0; !level.empty(); ++depth) {
      if (depth == kMaxDepth) return tear(level.front().node, "is deeper than any tree");
      auto next = walk_level(level);
      if (!next) return next.error();
      level = *std::move(next);
    }
    return {};
  }

 private:
  struct Place {
    Gva node{}, parent{};
  };

  Result<std::vector<Place>> walk_level(const std::vector<Place>& level) {
    std::vector<Range> ranges;
    for (const auto& place : level) {
      ranges.push_back({place.node, layout_.rb_bytes});
      ranges.push_back({owner_at(place.node), 8});
    }
    if (auto fetched = memory_.fetch(ranges); !fetched) return fetched.error();
    std::vector<Place> next;
    for (const auto& place : level) {
      if (++nodes_ > max_nodes_) {
        if (auto noted = tear(place.node, "is one of over " + std::to_string(max_nodes_)); !noted)
          return noted.error();
        return {std::vector<Place>{}};
      }
      if (auto done = visit(place, next); !done) return done.error();
    }
    return next;
  }

  Result<void> visit(const Place& place, std::vector<Place>& next) {
    const auto parent = memory_.read_uint(place.node + layout_.rb_parent_offset, 8);
    const auto left = memory_.read_uint(place.node + layout_.rb_left_offset, 8);
    const auto right = memory_.read_uint(place.node + layout_.rb_right_offset, 8);
    const auto owner = memory_.read_uint(owner_at(place.node), 8);
    for (const auto* read : {&parent, &left, &right, &owner})
      if (!*read) return tear(place.node, read->error());
    // The two lowest bits are the node's colour.
    if ((*parent & ~3ULL) != place.parent.value)
      return tear(place.node, "does not lead back to its parent");
    if (*left == *right && *left != 0) return tear(place.node, "has one child twice");
    add({*left}, place.node, next);
    add({*right}, place.node, next);
    if (!is_kernel_pointer(*owner) || place.node.value - *owner >= layout_.module_bytes)
      return tear(place.node, "is of a module that lies elsewhere");
    found_.in_tree.push_back({*owner});
    return {};
  }

  Gva owner_at(Gva node) const {
    return node - which_ * layout_.rb_bytes - layout_.node_offset + layout_.node_owner_offset;
  }

  void add(Gva node, Gva parent, std::vector<Place>& level) {
    if (node.value == 0) return;
    if (is_kernel_pointer(node.value))
      level.push_back({node, parent});
    else
      note(parent, "a child that can be none");
  }

  /// @return the error, unless it is about what was read.
  Result<void> tear(Gva at, const Error& error) {
    if (!is_about_data(error)) return error;
    return tear(at, error.detail);
  }
  Result<void> tear(Gva at, const std::string& text) {
    note(at, text);
    return {};
  }
  void note(Gva at, const std::string& text) {
    found_.is_tree_torn = true;
    found_.tears.push_back({at, "the tree of addresses: " + text});
  }

  const ModuleLayout& layout_;
  Memory& memory_;
  const std::uint32_t max_nodes_;
  ModuleSightings& found_;
  std::uint32_t which_ = 0;
  std::uint32_t nodes_ = 0;
};

class PageWalk {
 public:
  PageWalk(const ModuleLayout& layout, Memory& memory, std::uint32_t max_modules)
      : layout_{layout}, memory_{memory}, max_modules_{max_modules} {}

  Result<ModuleSightings> run() {
    const std::array<Range, 3> heads{
        {{layout_.modules, kListHeadBytes}, {layout_.kset_pointer, 8}, {layout_.tree_sequence, 4}}};
    if (auto fetched = memory_.fetch(heads); !fetched) return fetched.error();
    if (auto done = TreeWalk{layout_, memory_, kNodesOfAModule * max_modules_, found_}.run(); !done)
      return done.error();
    if (auto done = fetch_known(); !done) return done.error();
    if (auto done = walk_lists(); !done) return done.error();
    if (auto done = read_listed(); !done) return done.error();
    if (auto done = walk_users(); !done) return done.error();
    return std::move(found_);
  }

 private:
  /// What the tree leads to, so that the other walks find it there.
  Result<void> fetch_known() {
    std::vector<Range> ranges;
    for (const Gva module : std::set<Gva>{found_.in_tree.begin(), found_.in_tree.end()})
      layout_.append_ranges(module, ranges);
    return memory_.fetch(ranges);
  }

  /// The list of modules, and the objects of sysfs.
  Result<void> walk_lists() {
    const auto kset = memory_.read_uint(layout_.kset_pointer, 8);
    if (!kset && !is_about_data(kset.error())) return kset.error();
    std::vector<Ring> rings{{.head = layout_.modules,
                             .what = "the list of modules",
                             .max_entries = max_modules_,
                             .append_ranges =
                                 [&](Gva entry, std::vector<Range>& ranges) {
                                   layout_.append_ranges(entry - layout_.list.offset_bytes, ranges);
                                 }},
                            {.head = {kset ? *kset + layout_.kset_list_offset : 0},
                             .what = "the modules of sysfs",
                             .max_entries = max_modules_ + kMaxBuiltIn,
                             .append_ranges = [&](Gva entry, std::vector<Range>& ranges) {
                               ranges.push_back({owner_of_object(entry), 8});
                             }}};
    auto tears = read_rings(memory_, rings);
    if (!tears) return tears.error();
    std::ranges::move(*tears, std::back_inserter(found_.tears));
    found_.is_list_torn = rings[0].is_torn;
    found_.is_sysfs_torn = rings[1].is_torn;
    list_ = std::move(rings[0].entries);
    return read_objects(rings[1].entries);
  }

  Gva owner_of_object(Gva entry) const {
    return entry - layout_.entry_offset + layout_.owner_offset;
  }

  Result<void> read_objects(const std::vector<Gva>& entries) {
    for (const Gva entry : entries) {
      const auto owner = memory_.read_uint(owner_of_object(entry), 8);
      if (!owner && !is_about_data(owner.error())) return owner.error();
      if (!owner) {
        tear_objects(entry, owner.error().detail);
        continue;
      }
      if (*owner == 0) continue;  // of what is built in
      if (*owner + layout_.object_offset == (entry - layout_.entry_offset).value)
        found_.in_sysfs.push_back({*owner});
      else
        tear_objects(entry, "an object of a module that has another");
    }
    return {};
  }

  void tear_objects(Gva entry, const std::string& text) {
    found_.is_sysfs_torn = true;
    found_.tears.push_back({entry, "the modules of sysfs: " + text});
  }

  Result<void> read_listed() {
    for (const Gva entry : list_) {
      const Gva module = entry - layout_.list.offset_bytes;
      auto facts = layout_.read_module(memory_, module);
      if (!facts && !is_about_data(facts.error())) return facts.error();
      if (facts)
        found_.listed.push_back(*std::move(facts));
      else {
        found_.is_list_torn = true;
        found_.tears.push_back({module, "module: " + facts.error().detail});
      }
    }
    return {};
  }

  Result<void> walk_users() {
    std::vector<Ring> rings;
    for (const auto& module : found_.listed)
      rings.push_back({.head = module.address + layout_.users_offset,
                       .what = "the users of a module",
                       .max_entries = kMaxUsers,
                       .append_ranges = [&](Gva entry, std::vector<Range>& ranges) {
                         ranges.push_back({user_at(entry), 8});
                       }});
    auto tears = read_rings(memory_, rings);
    if (!tears) return tears.error();
    std::ranges::move(*tears, std::back_inserter(found_.tears));
    for (std::size_t i = 0; i < rings.size(); ++i)
      for (const Gva entry : rings[i].entries) {
        const auto user = memory_.read_uint(user_at(entry), 8);
        if (!user && !is_about_data(user.error())) return user.error();
        if (user)
          found_.uses.emplace_back(found_.listed[i].address, Gva{*user});
        else
          found_.tears.push_back({entry, "the users of a module: " + user.error().detail});
      }
    return {};
  }

  Gva user_at(Gva entry) const {
    return entry - layout_.use_link_offset + layout_.use_source_offset;
  }

  const ModuleLayout& layout_;
  Memory& memory_;
  const std::uint32_t max_modules_;
  std::vector<Gva> list_;  // links
  ModuleSightings found_;
};

}  // namespace

Result<ModuleSightings> read_module_pages(const ModuleLayout& layout, Memory& memory,
                                          std::uint32_t max_modules) {
  return PageWalk{layout, memory, max_modules}.run();
}

}  // namespace sevmon::ids
