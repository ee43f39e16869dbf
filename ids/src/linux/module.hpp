// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/kernel_info.hpp>
#include <sevmon/listing.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

#include "linux/record_runs.hpp"

// struct module and what leads to it, as far as a module list needs it.
namespace sevmon::ids {

/// One of the list, as it was read: pointers are as found.
struct ModuleFacts {
  common::Gva address{};
  common::Gva next{};  // list_heads
  common::Gva previous{};
  common::Gva base{};
  std::uint64_t size_bytes = 0;
  std::uint64_t taints = 0;
  std::uint32_t state = 0;
  std::int32_t refcount = 0;  // the kernel's counter
  std::string name;
};

/// What the kernel's three structures know, by whichever method.
struct ModuleSightings {
  std::vector<ModuleFacts> listed;                        // in the list's order
  std::vector<std::pair<common::Gva, common::Gva>> uses;  // who is used, and by whom
  std::vector<common::Gva> in_sysfs;
  std::vector<common::Gva> in_tree;  // several times, when it has several regions
  std::vector<RecordTear> tears;
  /// Of these there may be more than that.
  bool is_list_torn = false, is_sysfs_torn = false, is_tree_torn = false;
  ProgramUse use;
};

/// Where a kernel has what a module list needs.
struct ModuleLayout {
  // struct module
  std::uint32_t module_bytes = 0;
  Member state, list, name, taints, refcount;
  std::uint32_t users_offset = 0;   // source_list: of those who use it
  std::uint32_t object_offset = 0;  // of its module_kobject
  struct Region {
    Member base, size;  // from the start of struct module
  };
  std::vector<Region> regions;  // the first one has the text
  // struct module_kobject, from its start
  std::uint32_t entry_offset = 0;  // in the kset
  std::uint32_t owner_offset = 0;  // the module
  // struct kset, module_use, mod_tree_node
  std::uint32_t kset_list_offset = 0;
  std::uint32_t use_link_offset = 0;    // in source_list
  std::uint32_t use_source_offset = 0;  // who uses
  std::uint32_t node_owner_offset = 0;
  std::uint32_t node_offset = 0;  // of the first of two rb_nodes
  // struct rb_node
  std::uint32_t rb_bytes = 0;
  std::uint32_t rb_parent_offset = 0, rb_left_offset = 0, rb_right_offset = 0;
  // Symbols, as linked, or where they are; and what is behind them.
  common::Gva modules{};
  common::Gva kset_pointer{};
  common::Gva tree_sequence{};  // its lowest bit says which of two roots counts
  common::Gva tree_roots{};
  std::uint32_t rb_root_bytes = 0;

  /// @return kNotFound naming what the profile lacks; kUnsupported.
  static common::Result<ModuleLayout> resolve(const KernelInfo& info);

  /// With the symbols where they are in the running kernel.
  ModuleLayout relocated(const Kernel& kernel) const;

  /// What read_module() will read, and the links in other structures: for one wave over many
  /// modules.
  void append_ranges(common::Gva module, std::vector<Range>& ranges) const;
  /// @return kNotMapped; errors of the channel.
  common::Result<ModuleFacts> read_module(Memory& memory, common::Gva module) const;

 private:
  std::vector<Range> spans_;  // addresses are offsets
};

/// All three structures by pages, in one epoch. `layout`: relocated.
/// @return errors of the channel only.
common::Result<ModuleSightings> read_module_pages(const ModuleLayout& layout, Memory& memory,
                                                  std::uint32_t max_modules);

}  // namespace sevmon::ids
