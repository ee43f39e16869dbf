// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/list_program.hpp>
#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// A loadable module of the target's kernel.
struct Module {
  common::Gva address{};         // of its struct module
  std::string name;              // any bytes but NUL
  std::uint32_t state = 0;       // see name_of_state()
  common::Gva base{};            // of its text: what /proc/modules shows
  std::uint64_t size_bytes = 0;  // of all its regions, likewise
  std::int32_t refcount = 0;     // users and whoever else holds it; negative: it is being unloaded
  std::vector<std::string> used_by;  // other modules, in the kernel's order
  std::uint64_t taints = 0;          // bits, as in /proc/sys/kernel/tainted
  bool in_list = false;   // in `modules`, what lsmod(8) shows: the rest is what others know of it
  bool in_sysfs = false;  // among module_kset's objects, which are /sys/module
  bool in_tree = false;   // in mod_tree, by which the kernel finds whose code it runs
};

/// "live", "loading", "unloading", "unformed"; "?" for what no kernel has.
std::string_view name_of_state(std::uint32_t state);
/// The letters of /proc/modules: "POE".
std::string taint_letters(std::uint64_t taints);

/// Something that a pass found to be other than it should be.
struct ModuleNote {
  enum class Kind : std::uint8_t {
    kHiddenFromList,   // others know it, the list of modules does not
    kHiddenFromSysfs,  // it has no object in /sys/module
    kHiddenFromTree,   // the tree of modules' addresses lacks it
    kHiddenByState,    // it says it is not formed yet, which no list shows, but has its object
    kTear,             // a pointer or number that cannot be, or a bound was reached
    kDifference,       // two ways show it otherwise: compare_modules()
  } kind = Kind::kTear;
  common::Gva address{};  // of the struct module, or of what was being read
  std::string text;       // for people; escaped
};

struct ModuleList {
  std::vector<Module> modules;    // as in the list, newest first; then, by address, those not in it
  std::vector<ModuleNote> notes;  // of the last pass; hidden ones only if the pass before agreed
  Consistency consistency = Consistency::kConsistent;
  ListMethod method = ListMethod::kPages;
  unsigned passes = 0;
  ProgramUse program;  // of all passes
};

struct ModuleOptions {
  unsigned max_passes = 4;  // then the list is torn
  /// So long what looks hidden is given to show up. A vCPU whose scheduler takes the CPU from it
  /// while it takes a module out of all lists leaves it in some of them until it goes on.
  std::chrono::milliseconds settle{100};
  std::uint32_t max_modules = 2048;  // a pass that meets more is torn
  /// ModuleProgram::run(). None: by pages.
  RunProgram run_program{};
};

/// Every module of the target, from `modules`, module_kset and mod_tree: what one of them lacks is
/// hidden. By program in one run for each answer that it fills, and only what the list does not
/// know is read by pages. By pages the tree is read breadth first, and the two rings from both ends
/// at once, so that the objects of what is built in, which lie one behind another in module_kset,
/// set the number of waves. A pass that contradicts itself is repeated in a new epoch.
/// @return kNotFound when the profile lacks what this needs; kUnsupported when a structure is
/// unlike
///         any; errors of the channel and of `run_program`.
common::Result<ModuleList> list_modules(Kernel& kernel, const ModuleOptions& options = {});

/// By program and then by pages: the program's list, with a note for each difference that every one
/// of `max_passes` comparisons found. `options.run_program` is needed. @return as list_modules().
common::Result<ModuleList> compare_modules(Kernel& kernel, const ModuleOptions& options);

/// For AttachOptions::first_ranges.
std::vector<Range> first_module_ranges(const KernelInfo& info);

/// ids/programs/modules.bpf.c. Its run() is for ModuleOptions::run_program.
class ModuleProgram : public ListProgram {
 public:
  /// @return kNotFound naming the member, type or symbol that the kernel has not.
  static common::Result<ModuleProgram> link(const ProgramTarget& target);
  /// For the kernel that runs. @return also kUnsupported when what is known of it has no types.
  static common::Result<ModuleProgram> link(const Kernel& kernel);

 private:
  explicit ModuleProgram(ProgramImage image);
};

}  // namespace sevmon::ids
