// SPDX-License-Identifier: Apache-2.0
// Modules in a kernel made up in code, linked as the kernel links them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ids/linux/fake_kernel.hpp"

namespace sevmon::ids::test {

/// `has_mem`: the regions of v6.4 and later. `shuffle`: added to offsets, so that no two agree by
/// chance.
inline FakeInfo make_module_info(bool has_mem, std::uint32_t shuffle = 0) {
  const auto s = shuffle;
  FakeInfo info;
  info.add("module", "state", 0 + s, 4).add("module", "list", 8 + s, 16);
  info.add("module", "name", 24 + s, 56).add("module", "mkobj", 80 + s, 96);
  info.add("module", "taints", 900 + s, 8).add("module", "refcnt", 912 + s, 4);
  info.add("module", "source_list", 920 + s, 16);
  if (has_mem) {
    info.add("module", "mem", 320 + s, 7 * 72);
    info.add("module_memory", "base", 0, 8).add("module_memory", "size", 8, 4);
    info.sizes_["module_memory"] = 72;
  } else {
    info.add("module", "core_layout", 320 + s, 80).add("module", "init_layout", 400 + s, 80);
    info.add("module_layout", "base", 0, 8).add("module_layout", "size", 8, 4);
  }
  info.add("module_kobject", "kobj", 0, 64).add("module_kobject", "mod", 64, 8);
  info.add("kobject", "entry", 8, 16).add("kset", "list", 0, 16);
  info.add("module_use", "source_list", 0, 16).add("module_use", "source", 32, 8);
  info.add("mod_tree_node", "mod", 0, 8).add("mod_tree_node", "node", 8, 48);
  info.add("latch_tree_node", "node", 0, 48).add("rb_root", "rb_node", 0, 8);
  info.add("rb_node", "__rb_parent_color", 0, 8);
  info.add("rb_node", "rb_right", 8, 8).add("rb_node", "rb_left", 16, 8);
  info.add("mod_tree_root", "root", 0, 24).add("latch_tree_root", "seq", 0, 4);
  info.add("latch_tree_root", "tree", 8, 16);
  info.sizes_["module"] = 1024 + s;
  info.sizes_["rb_node"] = 24;
  info.sizes_["rb_root"] = 8;
  info.symbols_ = {{"modules", 0xffffffff82001000},
                   {"module_kset", 0xffffffff82002000},
                   {"mod_tree", 0xffffffff82003000},
                   {"linux_banner", 0xffffffff81000900}};
  return info;
}

class FakeModules {
 public:
  struct Spec {
    std::string name;
    std::uint32_t state = 0;
    std::uint64_t taints = 0;
    std::uint32_t bytes = 8192;  // of its text; twice that in all
    std::vector<std::string> uses{};
  };

  FakeModules(FakeInfo made, std::uint64_t slide) : info{std::move(made)}, slide_{slide} {
    link_alone(symbol("modules"));
    kset_ = allocate(256);
    link_alone(kset_list());
    bytes.put(symbol("module_kset"), kset_);
    bytes.put(symbol("mod_tree"), 0);
    for (unsigned which = 0; which < 2; ++which) bytes.put(root(which), 0);
  }

  std::uint64_t symbol(const char* name) const { return info.symbols_.at(name) + slide_; }
  std::uint64_t module(const std::string& name) const { return modules_.at(name); }
  std::uint64_t member(const std::string& name, const char* what) const {
    return module(name) + info.offset("module", what);
  }
  /// Its place in the ring of /sys/module.
  std::uint64_t object(const std::string& name) const {
    return member(name, "mkobj") + entry_offset();
  }
  std::uint64_t kset_list() const { return kset_ + info.offset("kset", "list"); }
  std::uint64_t root(unsigned which) const {
    return symbol("mod_tree") + info.offset("mod_tree_root", "root") +
           info.offset("latch_tree_root", "tree") + 8 * which;
  }

  std::uint64_t allocate(std::uint64_t bytes_wanted) {
    const auto at = next_free_;
    next_free_ += (bytes_wanted + 63) & ~63ULL;
    for (auto word = at; word < next_free_; word += 8) bytes.put(word, 0);
    return at;
  }

  /// Into all three structures.
  void add(const Spec& spec) {
    add_unplanted(spec);
    plant();
  }
  /// "m0", "m1", …: `more` of them.
  void add_many(int more) {
    for (int i = 0; i < more; ++i) add_unplanted({.name = "m" + std::to_string(modules_.size())});
    plant();
  }
  /// An object of something that is built in: without a module.
  void add_built_in() { insert_before(kset_list(), allocate(128) + entry_offset()); }
  void use(const std::string& user, const std::string& used) {
    const auto use = allocate(64);
    bytes.put(use + info.offset("module_use", "source"), module(user));
    insert_before(member(used, "source_list"), use + info.offset("module_use", "source_list"));
    const auto count = member(used, "refcnt");
    bytes.put(count, static_cast<std::uint32_t>(bytes.get(count)) + 1, 4);
  }

  void remove_from_list(const std::string& name) { take_out(member(name, "list")); }
  void remove_from_sysfs(const std::string& name) { take_out(object(name)); }
  void remove_from_tree(const std::string& name) {
    std::erase_if(nodes_, [&](const auto& node) { return node.second == module(name); });
    plant();
  }
  void insert_after(std::uint64_t head, std::uint64_t entry) {
    const auto next = bytes.get(head);
    link(head, entry), link(entry, next);
  }
  void insert_before(std::uint64_t head, std::uint64_t entry) {
    const auto last = bytes.get(head + 8);
    link(last, entry), link(entry, head);
  }

  /// The nodes, of which `which` is the kernel's choice, as balanced trees; the other tree stays
  /// empty: whoever reads it misses everything.
  void plant() {
    std::ranges::sort(nodes_);
    bytes.put(symbol("mod_tree") + info.offset("mod_tree_root", "root") +
                  info.offset("latch_tree_root", "seq"),
              which_, 4);
    bytes.put(root(which_), grow(0, nodes_.size(), 0));
  }
  /// Below the first node `levels` more, each with another one beside it: of modules that are none.
  void grow_line(unsigned levels) {
    auto parent = node(0);
    const auto below = [&](const char* side) {
      const auto entry = allocate(128);
      bytes.put(entry + info.offset("mod_tree_node", "mod"), entry);
      bytes.put(entry + rb_at() + info.offset("rb_node", "__rb_parent_color"), parent);
      bytes.put(parent + info.offset("rb_node", side), entry + rb_at());
      return entry + rb_at();
    };
    for (unsigned i = 0; i < levels; ++i) {
      below("rb_right");
      parent = below("rb_left");
    }
  }
  std::uint64_t node(std::size_t i) const { return nodes_.at(i).first + rb_at(); }
  std::size_t nodes() const { return nodes_.size(); }
  void choose_tree(unsigned which) {
    bytes.put(root(which_), 0);
    which_ = which;
    plant();
  }

  FakeInfo info;
  FakeBytes bytes;

 private:
  void add_unplanted(const Spec& spec) {
    const auto at = modules_[spec.name] = allocate(info.sizes_.at("module"));
    bytes.put(member(spec.name, "state"), spec.state, 4);
    bytes.put_text(member(spec.name, "name"), spec.name);
    bytes.put(member(spec.name, "taints"), spec.taints);
    bytes.put(member(spec.name, "refcnt"), 1, 4);
    link_alone(member(spec.name, "source_list"));
    put_regions(at, spec.bytes);
    insert_after(symbol("modules"), member(spec.name, "list"));
    bytes.put(member(spec.name, "mkobj") + info.offset("module_kobject", "mod"), at);
    insert_before(kset_list(), object(spec.name));
    for (const auto& used : spec.uses) use(spec.name, used);
    nodes_.emplace_back(at + node_at(), at);
    if (info.has_member("module", "mem")) nodes_.emplace_back(at + node_at() + 72, at);
  }
  std::uint64_t entry_offset() const {
    return info.offset("module_kobject", "kobj") + info.offset("kobject", "entry");
  }
  /// Of the first region's mod_tree_node: behind what the program and the IDS know of a region.
  std::uint64_t node_at() const {
    return info.has_member("module", "mem") ? info.offset("module", "mem") + 16
                                            : info.offset("module", "core_layout") + 24;
  }
  std::uint64_t rb_at() const {
    return info.offset("mod_tree_node", "node") + info.offset("latch_tree_node", "node") +
           24ULL * which_;
  }
  void put_regions(std::uint64_t at, std::uint32_t size) {
    const auto region = [&](std::uint64_t place, const char* type, std::uint32_t count) {
      bytes.put(place + info.offset(type, "base"), count == 0 ? 0 : next_text_);
      bytes.put(place + info.offset(type, "size"), count, 4);
      next_text_ += count;
    };
    if (info.has_member("module", "mem")) {
      for (unsigned i = 0; i < 7; ++i)
        region(at + info.offset("module", "mem") + 72 * i, "module_memory",
               i == 0   ? size
               : i == 3 ? size
                        : 0);
    } else {
      region(at + info.offset("module", "core_layout"), "module_layout", size);
      region(at + info.offset("module", "init_layout"), "module_layout", size);
    }
  }
  void link_alone(std::uint64_t entry) { link(entry, entry); }
  void link(std::uint64_t first, std::uint64_t second) {
    bytes.put(first, second);
    bytes.put(second + 8, first);
  }
  /// As list_del() does it.
  void take_out(std::uint64_t entry) {
    link(bytes.get(entry + 8), bytes.get(entry));
    bytes.put(entry, 0xdead000000000100);
    bytes.put(entry + 8, 0xdead000000000122);
  }
  std::uint64_t grow(std::size_t first, std::size_t end, std::uint64_t parent) {
    if (first == end) return 0;
    const auto middle = first + (end - first) / 2;
    const auto at = node(middle);
    bytes.put(nodes_[middle].first + info.offset("mod_tree_node", "mod"), nodes_[middle].second);
    bytes.put(at + info.offset("rb_node", "__rb_parent_color"), parent | (first & 1));
    bytes.put(at + info.offset("rb_node", "rb_left"), grow(first, middle, at));
    bytes.put(at + info.offset("rb_node", "rb_right"), grow(middle + 1, end, at));
    return at;
  }

  std::uint64_t slide_;
  std::uint64_t next_free_ = 0xffff888000100000;
  std::uint64_t next_text_ = 0xffffffffc0000000;
  std::uint64_t kset_ = 0;
  unsigned which_ = 1;
  std::map<std::string, std::uint64_t> modules_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> nodes_;  // mod_tree_node, module
};

/// What the usual guest has, as lsmod(8) would show it: the newest first.
inline void add_usual_modules(FakeModules& modules) {
  for (int i = 0; i < 5; ++i) modules.add_built_in();
  modules.add({.name = "usbcore"});
  modules.add({.name = "ehci_hcd", .uses = {"usbcore"}});
  modules.add({.name = "nvidia", .taints = 0x3001, .bytes = 4096});
  modules.add({.name = "uhci_hcd", .uses = {"usbcore"}});
  modules.add({.name = "late", .state = 1});
}

}  // namespace sevmon::ids::test
