// SPDX-License-Identifier: Apache-2.0
// The program ids/programs/modules.bpf.c, linked for made-up kernels and run by the agent's own
// interpreter; and the module lists that are made of what it gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sevmon/modules.hpp>

#include "ids/linux/fake_modules.hpp"
#include "list_guest.hpp"
#include "programs/modules.h"

namespace sevmon::tests {
namespace {

using ids::Consistency;
using ids::ModuleList;
using ids::test::FakeModules;
using Kind = ids::ModuleNote::Kind;

struct ModuleGuest {
  static constexpr std::uint64_t kSlide = 0x1a000000;

  explicit ModuleGuest(const std::string& kernel)
      : target{kernel},
        modules{with_types_of(target, ids::test::make_module_info(kernel == "new")), kSlide} {
    for (const auto& [name, address] : modules.info.symbols_)
      target.symbols[name] = address + kSlide;
    image = image_of<ids::ModuleProgram>(kernel, target);
  }

  ids::Kernel kernel() {
    return ids::Kernel{modules.info, ids::Root{}, kSlide, [this] {
                         return std::make_unique<ids::test::FakeMemory>(modules.bytes, waves);
                       }};
  }
  ids::ProgramRun run(std::span<const std::byte> input) {
    ++runs;
    auto done = run_over(modules.bytes, image, input, SEVMON_MODULES_BUDGET, answer_bytes);
    if (alter_result) alter_result(done.result);
    return done;
  }
  ids::ModuleOptions options(ids::ModuleOptions options = {}) {
    options.run_program = [this](std::span<const std::byte> input) { return run(input); };
    options.settle = std::chrono::milliseconds{0};
    return options;
  }
  ModuleList take(common::Result<ModuleList> list) {
    EXPECT_TRUE(list) << list.error().message();
    return list ? *list : ModuleList{};
  }
  ModuleList by_program(const ids::ModuleOptions& more = {}) {
    auto attached = kernel();
    return take(ids::list_modules(attached, options(more)));
  }
  ModuleList by_pages(ids::ModuleOptions more = {}) {
    more.settle = std::chrono::milliseconds{0};
    auto attached = kernel();
    return take(ids::list_modules(attached, more));
  }
  ModuleList by_both() {
    auto attached = kernel();
    return take(ids::compare_modules(attached, options()));
  }

  FakeTarget target;
  FakeModules modules;
  ids::ProgramImage image;
  std::size_t answer_bytes = kAnswerBytes;
  unsigned waves = 0, runs = 0;
  std::function<void(std::vector<std::byte>&)> alter_result;
};

std::vector<std::string> names(const ModuleList& list) {
  std::vector<std::string> out;
  for (const auto& module : list.modules) out.push_back(module.name);
  return out;
}

std::size_t count(const ModuleList& list, Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(list.notes, kind, &ids::ModuleNote::kind));
}

const std::vector<std::string> kUsual{"late", "uhci_hcd", "nvidia", "ehci_hcd", "usbcore"};

class Modules : public testing::TestWithParam<std::string> {
 protected:
  ModuleGuest guest_{GetParam()};
};

TEST_P(Modules, HaveEverythingThatPagesHave) {
  add_usual_modules(guest_.modules);
  for (const unsigned which : {1U, 0U}) {  // of the two trees
    guest_.modules.choose_tree(which);
    const auto list = guest_.by_both();
    EXPECT_EQ(list.method, ids::ListMethod::kBoth);
    EXPECT_EQ(list.consistency, Consistency::kConsistent);
    EXPECT_TRUE(list.notes.empty()) << list.notes[0].text;
    EXPECT_EQ(names(list), kUsual);
    const auto& usb = list.modules[4];
    EXPECT_EQ(usb.size_bytes, 16384U);
    EXPECT_EQ(usb.base.value, 0xffffffffc0000000);
    EXPECT_EQ(usb.refcount, 2);
    EXPECT_EQ(usb.used_by, (std::vector<std::string>{"ehci_hcd", "uhci_hcd"}));
    EXPECT_EQ(list.modules[2].taints, 0x3001U);
    EXPECT_EQ(list.modules[0].state, 1U);
  }
}

TEST_P(Modules, AllOfAnAnswerTakeOneRunAndNoPage) {
  // As docs/programs.md has it; and one more takes one more run.
  const int most = GetParam() == "new" ? 415 : 442;
  guest_.modules.add_many(most);
  const auto list = guest_.by_program();
  EXPECT_EQ(list.modules.size(), static_cast<std::size_t>(most));
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
  EXPECT_EQ(list.program.runs, 1U);
  EXPECT_EQ(guest_.waves, 0U);
  guest_.modules.add_many(13);
  const auto more = guest_.by_program();
  EXPECT_EQ(more.modules.size(), static_cast<std::size_t>(most + 13));
  EXPECT_EQ(more.consistency, Consistency::kConsistent);
  EXPECT_EQ(more.program.runs, 2U);
}

TEST_P(Modules, GoOnWhereSpaceEnded) {
  add_usual_modules(guest_.modules);
  for (int i = 0; i < 20; ++i)
    guest_.modules.add({.name = "m" + std::to_string(i), .uses = {"usbcore"}});
  const auto whole = guest_.by_program();
  ASSERT_EQ(whole.program.runs, 1U);
  // From no space for a trailer behind one record on.
  for (std::size_t bytes = sizeof(sevmon_module_record); bytes < 1000; bytes += 8) {
    guest_.answer_bytes = bytes;
    const auto list = guest_.by_program();
    EXPECT_EQ(list.consistency, Consistency::kConsistent) << bytes;
    ASSERT_EQ(names(list), names(whole)) << bytes;
    for (std::size_t i = 0; i < list.modules.size(); ++i)
      EXPECT_EQ(list.modules[i].used_by, whole.modules[i].used_by) << bytes;
    EXPECT_TRUE(list.notes.empty()) << bytes;
  }
}

TEST_P(Modules, WhatIsHiddenIsFoundAndReadByPages) {
  for (auto hide : {&FakeModules::remove_from_list, &FakeModules::remove_from_sysfs,
                    &FakeModules::remove_from_tree}) {
    ModuleGuest guest{GetParam()};
    add_usual_modules(guest.modules);
    (guest.modules.*hide)("nvidia");
    const auto list = guest.by_program(), pages = guest.by_pages();
    ASSERT_EQ(list.notes.size(), 1U);
    EXPECT_EQ(list.notes[0].kind, pages.notes.at(0).kind);
    EXPECT_EQ(list.notes[0].text, pages.notes.at(0).text);
    EXPECT_EQ(names(list), names(pages));
    EXPECT_EQ(list.consistency, Consistency::kRetried);
    EXPECT_EQ(count(guest.by_both(), Kind::kDifference), 0U);
  }
}

TEST_P(Modules, HiddenFromTheListWhileTheTreeIsTorn) {
  add_usual_modules(guest_.modules);
  guest_.modules.remove_from_list("nvidia");
  guest_.modules.bytes.put(
      guest_.modules.node(2) + guest_.modules.info.offset("rb_node", "rb_left"),
      guest_.modules.node(2));
  for (const auto& list : {guest_.by_program(), guest_.by_pages()}) {
    EXPECT_EQ(list.consistency, Consistency::kTorn);
    EXPECT_EQ(count(list, Kind::kHiddenFromList), 1U);
  }
}

TEST_P(Modules, WhatDiffersEveryTimeIsSaid) {
  add_usual_modules(guest_.modules);
  guest_.alter_result = [](std::vector<std::byte>& result) {  // as if it were shown another page
    result[2 * sizeof(sevmon_module_record) + offsetof(sevmon_module_record, name)] =
        std::byte{'N'};
  };
  const auto list = guest_.by_both();
  ASSERT_EQ(count(list, Kind::kDifference), 1U);
  EXPECT_EQ(list.notes[0].text, "name: Nvidia by the program, nvidia by pages");
}

TEST_P(Modules, AKernelWithoutASymbolIsNamed) {
  guest_.target.symbols.erase("module_kset");
  const auto program = ids::ModuleProgram::link(guest_.target.target());
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, common::ErrorCode::kNotFound);
  EXPECT_NE(program.error().detail.find("module_kset"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Modules, testing::Values("new", "old"));

// ---- Hostile data: always an answer, in bounded time, never "consistent" ----

struct Attack {
  const char* name;
  std::function<void(FakeModules&)> do_it;
};

std::vector<Attack> attacks() {
  std::vector<Attack> all{
      {"LinkThatLeadsToItself",
       [](auto& m) { m.bytes.put(m.member("nvidia", "list"), m.member("nvidia", "list")); }},
      {"RingThatSkipsItsHead",
       [](auto& m) { m.bytes.put(m.member("usbcore", "list"), m.member("uhci_hcd", "list")); }},
      {"ObjectsThatSkipTheirHead",
       [](auto& m) { m.bytes.put(m.object("late"), m.object("usbcore")); }},
      {"ObjectOfAnother",
       [](auto& m) {
         m.bytes.put(m.member("nvidia", "mkobj") + m.info.offset("module_kobject", "mod"),
                     m.module("usbcore"));
       }},
      {"UserThatIsNone",
       [](auto& m) {
         m.bytes.put(m.bytes.get(m.member("usbcore", "source_list")) +
                         m.info.offset("module_use", "source"),
                     0xffff888000555000);
       }},
      {"NodeThatIsItsChild",
       [](auto& m) { m.bytes.put(m.node(2) + m.info.offset("rb_node", "rb_left"), m.node(2)); }},
      {"NodeOfAnotherParent",
       [](auto& m) {
         m.bytes.put(m.node(2) + m.info.offset("rb_node", "__rb_parent_color"), m.node(0));
       }},
      {"OneChildTwice",
       [](auto& m) {
         const auto top = m.bytes.get(m.root(1));
         const auto left = m.bytes.get(top + m.info.offset("rb_node", "rb_left"));
         m.bytes.put(top + m.info.offset("rb_node", "rb_right"), left);
       }},
      {"RootThatIsNone", [](auto& m) { m.bytes.put(m.root(1), 0x1000); }},
      {"NoTree", [](auto& m) { m.bytes.unmap(m.symbol("mod_tree")); }},
      {"NoList", [](auto& m) { m.bytes.unmap(m.symbol("modules")); }},
      {"NoObjects", [](auto& m) { m.bytes.unmap(m.symbol("module_kset")); }},
  };
  for (const std::uint64_t link :
       {0ULL, 1ULL, 0x1000ULL, 0xdead000000000100ULL, 0xffffc90000000000ULL, 0xfffffffffffffff8ULL})
    for (const unsigned side : {0U, 8U}) {
      all.push_back(
          {"List", [=](auto& m) { m.bytes.put(m.member("nvidia", "list") + side, link); }});
      all.push_back({"Objects", [=](auto& m) { m.bytes.put(m.object("nvidia") + side, link); }});
      all.push_back({"Users", [=](auto& m) {
                       m.bytes.put(m.member("usbcore", "source_list") + side, link);
                     }});
      all.push_back({"Head", [=](auto& m) { m.bytes.put(m.symbol("modules") + side, link); }});
    }
  return all;
}

TEST(HostileModuleRecords, EachAttackIsTornByBothMethods) {
  for (const char* kernel : {"new", "old"})
    for (const auto& attack : attacks()) {
      ModuleGuest guest{kernel};
      add_usual_modules(guest.modules);
      attack.do_it(guest.modules);
      const auto list = guest.by_program({.max_passes = 2});
      const auto pages = guest.by_pages({.max_passes = 2});
      EXPECT_EQ(list.consistency, Consistency::kTorn) << kernel << ' ' << attack.name;
      EXPECT_EQ(pages.consistency, Consistency::kTorn) << kernel << ' ' << attack.name;
      EXPECT_GE(count(list, Kind::kTear), 1U);
    }
}

TEST(HostileModuleRecords, ManyLinksEndWithinTheBudget) {
  ModuleGuest guest{"new"};
  add_usual_modules(guest.modules);
  constexpr std::uint64_t kFakes = 0xffff888100000000;
  for (std::uint64_t i = 0; i < 5000; ++i)
    guest.modules.insert_before(guest.modules.symbol("modules"), kFakes + 64 * i);
  const auto list = guest.by_program({.max_passes = 1});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_TRUE(std::ranges::none_of(list.notes, [](const auto& note) {
    return note.text.find("over budget") != std::string::npos;
  }));
  EXPECT_LE(guest.runs, 10U);
}

TEST(HostileModuleRecords, ObjectsWithoutModulesEndWithinTheBudget) {
  // They give no word, so that no result is ever full.
  ModuleGuest guest{"new"};
  for (int i = 0; i < SEVMON_MODULES_MAX_SYSFS + 100; ++i) guest.modules.add_built_in();
  const auto list = guest.by_program({.max_passes = 1});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(list.notes.at(0).text, "by program: goes on without an end");
}

TEST(HostileModuleRecords, ATreeThatIsALine) {
  ModuleGuest guest{"new"};
  add_usual_modules(guest.modules);
  guest.modules.grow_line(100);
  const auto list = guest.by_program({.max_passes = 1});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_NE(list.notes.at(0).text.find("deeper than any tree"), std::string::npos);
}

}  // namespace
}  // namespace sevmon::tests
