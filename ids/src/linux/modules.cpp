// SPDX-License-Identifier: Apache-2.0
#include <sevmon/modules.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/hostile.hpp"
#include "linux/module.hpp"
#include "linux/module_records.hpp"
#include "linux/passes.hpp"
#include "programs/modules.h"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;
using Kind = ModuleNote::Kind;

// Of each: what is torn on purpose leaves room for what is hidden.
constexpr std::size_t kMaxTears = 256;
constexpr std::size_t kMaxHidden = 256;
// enum module_state; these since v3.9.
constexpr std::string_view kStates[] = {"live", "loading", "unloading", "unformed"};
constexpr std::uint32_t kUnformed = 3;
constexpr std::string_view kTaintLetters = "PFSRMBUDAWCIOELKXTN";  // kernel/panic.c: taint_flags
// What the kernel itself counts: MODULE_REF_BASE in kernel/module/main.c.
constexpr std::int32_t kOwnReferences = 1;

// In the library, so that no file can be missing or be another.
constexpr std::uint8_t kObject[] = {
#include "programs/modules.inc"
};

/// One pass over one epoch.
class Pass {
 public:
  Pass(const ModuleLayout& layout, Memory& memory, const ModuleOptions& options)
      : layout_{layout}, memory_{memory}, options_{options} {}

  Result<ListPass<ModuleList>> run() {
    auto found = options_.run_program
                     ? read_module_records(options_.run_program, options_.max_modules)
                     : read_module_pages(layout_, memory_, options_.max_modules);
    if (!found) return found.error();
    list_.program = found->use;
    is_list_torn_ = found->is_list_torn;
    is_sysfs_torn_ = found->is_sysfs_torn;
    is_tree_torn_ = found->is_tree_torn;
    for (auto& tear : found->tears) note(Kind::kTear, tear.address, std::move(tear.text));
    in_sysfs_ = {found->in_sysfs.begin(), found->in_sysfs.end()};
    in_tree_ = {found->in_tree.begin(), found->in_tree.end()};
    check_chain(found->listed);
    for (const auto& facts : found->listed) list_one(facts, true);
    if (auto done = list_hidden(); !done) return done.error();
    put_users(found->uses);
    return ListPass<ModuleList>{std::move(list_), tears_ != 0};
  }

 private:
  /// The list itself: each must lead to the next, and back.
  void check_chain(const std::vector<ModuleFacts>& listed) {
    for (std::size_t i = 0; i < listed.size(); ++i) {
      const Gva before = i == 0 ? layout_.modules : link_of(listed[i - 1]);
      const Gva after = i + 1 == listed.size() ? layout_.modules : link_of(listed[i + 1]);
      if (listed[i].previous != before || listed[i].next != after)
        note(Kind::kTear, listed[i].address, "in the list of modules next and prev disagree");
    }
  }

  Gva link_of(const ModuleFacts& facts) const { return facts.address + layout_.list.offset_bytes; }

  void list_one(const ModuleFacts& facts, bool in_list) {
    if (!names_.emplace(facts.address, facts.name).second)
      return note(Kind::kTear, facts.address, "a module is in the list twice");
    Module module{.address = facts.address,
                  .name = facts.name,
                  .state = facts.state,
                  .base = facts.base,
                  .size_bytes = facts.size_bytes,
                  .refcount = facts.refcount - kOwnReferences,
                  .used_by = {},
                  .taints = facts.taints,
                  .in_list = in_list,
                  .in_sysfs = in_sysfs_.contains(facts.address),
                  .in_tree = in_tree_.contains(facts.address)};
    check(module);
    list_.modules.push_back(std::move(module));
  }

  void check(const Module& module) {
    const auto title = '"' + escape(module.name) + '"';
    if (!module.in_list)
      note_lack(Kind::kHiddenFromList, is_list_torn_, module,
                title + " is not in the list of modules");
    // A module has no object before it is formed, nor while it is taken apart.
    if (!module.in_sysfs && module.state != kUnformed)
      note_lack(Kind::kHiddenFromSysfs, is_sysfs_torn_, module,
                title + " has no object in /sys/module");
    if (module.in_sysfs && module.state == kUnformed)
      note(Kind::kHiddenByState, module.address,
           title + " says that it is not formed yet, but has its object in /sys/module");
    if (!module.in_tree)
      note_lack(Kind::kHiddenFromTree, is_tree_torn_, module,
                title + " is not in the tree of modules' addresses");
  }

  /// What a structure lacks of which not all could be read need not be hidden from it.
  void note_lack(Kind kind, bool is_torn, const Module& module, const std::string& text) {
    if (is_torn)
      note(Kind::kTear, module.address, text + " as far as that could be read");
    else
      note(kind, module.address, text);
  }

  /// What the others know and the list does not: by pages, whichever the method.
  Result<void> list_hidden() {
    std::set<Gva> hidden;
    for (const auto* view : {&in_sysfs_, &in_tree_})
      for (const Gva module : *view)
        if (!names_.contains(module)) hidden.insert(module);
    if (names_.size() + hidden.size() > options_.max_modules) {
      note(Kind::kTear, {}, "over " + std::to_string(options_.max_modules) + " modules");
      return {};
    }
    std::vector<Range> ranges;
    for (const Gva module : hidden)
      if (is_kernel_pointer(module.value)) layout_.append_ranges(module, ranges);
    if (auto fetched = memory_.fetch(ranges); !fetched) return fetched.error();
    for (const Gva module : hidden) {
      if (!is_kernel_pointer(module.value)) {
        note(Kind::kTear, module, "a pointer to a module that can be none");
        continue;
      }
      const auto facts = layout_.read_module(memory_, module);
      if (!facts && !is_about_data(facts.error())) return facts.error();
      if (facts)
        list_one(*facts, false);
      else
        note(Kind::kTear, module, "module: " + facts.error().detail);
    }
    return {};
  }

  void put_users(const std::vector<std::pair<Gva, Gva>>& uses) {
    std::map<Gva, Module*> by_address;
    for (auto& module : list_.modules) by_address[module.address] = &module;
    for (const auto& [used, user] : uses) {
      const auto found = by_address.find(used);
      const auto name = names_.find(user);
      if (found == by_address.end() || name == names_.end())
        note(Kind::kTear, user, "what uses a module is in no list of modules");
      else
        found->second->used_by.push_back(name->second);
    }
  }

  void note(Kind kind, Gva address, std::string text) {
    const bool is_tear = kind == Kind::kTear;
    auto& count = is_tear ? tears_ : hidden_;
    if (count++ < (is_tear ? kMaxTears : kMaxHidden))
      list_.notes.push_back({kind, address, std::move(text)});
  }

  const ModuleLayout& layout_;
  Memory& memory_;
  const ModuleOptions& options_;
  std::set<Gva> in_sysfs_, in_tree_;
  std::map<Gva, std::string> names_;
  ModuleList list_;
  std::size_t tears_ = 0, hidden_ = 0;
  bool is_list_torn_ = false, is_sysfs_torn_ = false, is_tree_torn_ = false;
};

struct ModuleTraits {
  using List = ModuleList;
  using Entry = Module;
  using Place = Gva;
  static constexpr std::string_view kNoun = "module";

  static const auto& entries(const List& list) { return list.modules; }
  static Place place(const Module& module) { return module.address; }
  static std::string title(const Module& module) { return escape(module.name); }
  static Fields fields(const Module& module) {
    std::string users;
    for (const auto& user : module.used_by) users += escape(user) + ',';
    const auto number = [](auto value) { return std::to_string(value); };
    const auto yes_no = [](bool value) { return std::string{value ? "yes" : "no"}; };
    return {{"name", escape(module.name)},
            {"state", number(module.state)},
            {"base", hex_address(module.base.value)},
            {"size", number(module.size_bytes)},
            {"references", number(module.refcount)},
            {"used by", users.empty() ? "-" : users},
            {"taints", hex_address(module.taints)},
            {"in the list", yes_no(module.in_list)},
            {"in sysfs", yes_no(module.in_sysfs)},
            {"in the tree", yes_no(module.in_tree)}};
  }
  static ModuleNote difference(const Place& place, std::string text) {
    return {Kind::kDifference, place, std::move(text)};
  }
};

}  // namespace

std::string_view name_of_state(std::uint32_t state) {
  return state < std::size(kStates) ? kStates[state] : "?";
}

std::string taint_letters(std::uint64_t taints) {
  std::string letters;
  for (std::size_t bit = 0; bit < kTaintLetters.size(); ++bit)
    if ((taints >> bit & 1) != 0) letters += kTaintLetters[bit];
  return letters;
}

std::vector<Range> first_module_ranges(const KernelInfo& info) {
  const auto layout = ModuleLayout::resolve(info);
  if (!layout) return {};
  return {{layout->modules, 16},
          {layout->kset_pointer, 8},
          {layout->tree_sequence, 4},
          {layout->tree_roots, 2 * layout->rb_root_bytes}};
}

Result<ModuleList> list_modules(Kernel& kernel, const ModuleOptions& options) {
  const auto linked = ModuleLayout::resolve(kernel.info());
  if (!linked) return linked.error();
  const auto layout = linked->relocated(kernel);
  return list_until_stable<ModuleList>(options, [&]() -> Result<ListPass<ModuleList>> {
    const auto memory = kernel.next_epoch();
    auto pass = Pass{layout, *memory, options}.run();
    if (pass) pass->list.method = options.run_program ? ListMethod::kProgram : ListMethod::kPages;
    return pass;
  });
}

Result<ModuleList> compare_modules(Kernel& kernel, const ModuleOptions& options) {
  ModuleOptions by_pages = options;
  by_pages.run_program = nullptr;
  return compare_until_stable<ModuleTraits>(
      options.max_passes, ListMethod::kBoth, {"the program", "pages"},
      [&] { return list_modules(kernel, options); },
      [&] { return list_modules(kernel, by_pages); });
}

Result<ModuleProgram> ModuleProgram::link(const ProgramTarget& target) {
  auto image = link_object(kObject, target);
  if (!image) return image.error();
  return ModuleProgram{*std::move(image)};
}

Result<ModuleProgram> ModuleProgram::link(const Kernel& kernel) {
  const auto target = target_of(kernel);
  if (!target) return target.error();
  return link(*target);
}

ModuleProgram::ModuleProgram(ProgramImage image)
    : ListProgram{std::move(image), SEVMON_MODULES_BUDGET} {}

}  // namespace sevmon::ids
