// SPDX-License-Identifier: Apache-2.0
#include <sevmon/modules.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "ids/linux/fake_modules.hpp"

namespace sevmon::ids {
namespace {

using test::FakeMemory;
using test::FakeModules;
using Kind = ModuleNote::Kind;

constexpr std::uint64_t kSlide = 0x1a000000;

struct Guest {
  explicit Guest(bool has_mem = true, std::uint32_t shuffle = 0)
      : modules{test::make_module_info(has_mem, shuffle), kSlide} {}

  Kernel kernel() {
    return Kernel{modules.info, Root{}, kSlide, [this] {
                    ++epochs;
                    if (before_epoch) before_epoch(epochs);
                    return std::make_unique<FakeMemory>(modules.bytes, waves);
                  }};
  }
  ModuleList list(ModuleOptions options = {}) {
    options.settle = std::chrono::milliseconds{0};
    auto attached = kernel();
    auto result = list_modules(attached, options);
    EXPECT_TRUE(result) << (result ? "" : result.error().message());
    return result ? *result : ModuleList{};
  }

  FakeModules modules;
  unsigned waves = 0;
  unsigned epochs = 0;
  std::function<void(unsigned)> before_epoch;
};

std::vector<std::string> names(const ModuleList& list) {
  std::vector<std::string> out;
  for (const auto& module : list.modules) out.push_back(module.name);
  return out;
}

const std::vector<std::string> kUsual{"late", "uhci_hcd", "nvidia", "ehci_hcd", "usbcore"};

std::size_t count(const ModuleList& list, Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(list.notes, kind, &ModuleNote::kind));
}

const Module& at(const ModuleList& list, const std::string& name) {
  return *std::ranges::find(list.modules, name, &Module::name);
}

class ModuleShapes : public testing::TestWithParam<std::pair<bool, std::uint32_t>> {};

TEST_P(ModuleShapes, EveryFieldIsRead) {
  Guest guest{GetParam().first, GetParam().second};
  add_usual_modules(guest.modules);
  for (const unsigned which : {1U, 0U}) {  // of the two trees
    guest.modules.choose_tree(which);
    const auto list = guest.list();
    EXPECT_EQ(names(list), kUsual);
    EXPECT_EQ(list.consistency, Consistency::kConsistent);
    EXPECT_TRUE(list.notes.empty()) << list.notes.front().text;
    const auto& usb = at(list, "usbcore");
    EXPECT_EQ(usb.address.value, guest.modules.module("usbcore"));
    EXPECT_EQ(usb.base.value, 0xffffffffc0000000);
    EXPECT_EQ(usb.size_bytes, 16384U);
    EXPECT_EQ(usb.refcount, 2);
    EXPECT_EQ(usb.used_by, (std::vector<std::string>{"ehci_hcd", "uhci_hcd"}));
    EXPECT_TRUE(usb.in_list && usb.in_sysfs && usb.in_tree);
    EXPECT_EQ(name_of_state(usb.state), "live");
    EXPECT_EQ(name_of_state(at(list, "late").state), "loading");
    EXPECT_EQ(taint_letters(at(list, "nvidia").taints), "POE");
    EXPECT_EQ(at(list, "nvidia").size_bytes, 8192U);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, ModuleShapes,
                         testing::Values(std::pair{true, 0U}, std::pair{false, 0U},
                                         std::pair{true, 64U}, std::pair{false, 24U}));

TEST(Modules, NoneIsAList) {
  Guest guest;
  const auto list = guest.list();
  EXPECT_TRUE(list.modules.empty());
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
}

TEST(Modules, WavesAreThoseOfWhatIsBuiltInAndOfTheTree) {
  unsigned before = 0;
  for (const int many : {10, 300}) {
    Guest guest;
    for (int i = 0; i < 20; ++i) guest.modules.add_built_in();
    guest.modules.add_many(many);
    EXPECT_EQ(guest.list().modules.size(), static_cast<std::size_t>(many));
    if (before != 0) {
      EXPECT_LE(guest.waves, before + 10) << "thirty times as many are five levels more";
    }
    before = guest.waves;
  }
}

TEST(Modules, WhatIsHiddenFromOneIsFoundByTheOthers) {
  struct Case {
    void (FakeModules::*hide)(const std::string&);
    Kind kind;
  };
  for (const auto& [hide, kind] : {Case{&FakeModules::remove_from_list, Kind::kHiddenFromList},
                                   Case{&FakeModules::remove_from_sysfs, Kind::kHiddenFromSysfs},
                                   Case{&FakeModules::remove_from_tree, Kind::kHiddenFromTree}}) {
    Guest guest;
    add_usual_modules(guest.modules);
    (guest.modules.*hide)("nvidia");
    const auto list = guest.list();
    ASSERT_EQ(list.notes.size(), 1U);
    EXPECT_EQ(list.notes[0].kind, kind);
    EXPECT_EQ(list.notes[0].address.value, guest.modules.module("nvidia"));
    EXPECT_NE(list.notes[0].text.find("\"nvidia\""), std::string::npos);
    EXPECT_EQ(list.modules.size(), 5U);
    EXPECT_EQ(at(list, "nvidia").taints, 0x3001U);
    EXPECT_EQ(at(list, "nvidia").in_list, kind != Kind::kHiddenFromList);
    EXPECT_EQ(at(list, "nvidia").in_sysfs, kind != Kind::kHiddenFromSysfs);
    EXPECT_EQ(at(list, "nvidia").in_tree, kind != Kind::kHiddenFromTree);
    EXPECT_EQ(list.passes, 2U);  // seen twice, so it is no module on its way
    EXPECT_EQ(list.consistency, Consistency::kRetried);
  }
}

TEST(Modules, HiddenFromListAndSysfsIsFoundByTheTree) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.remove_from_list("nvidia");
  guest.modules.remove_from_sysfs("nvidia");
  const auto list = guest.list();
  EXPECT_EQ(count(list, Kind::kHiddenFromList), 1U);
  EXPECT_EQ(count(list, Kind::kHiddenFromSysfs), 1U);
  EXPECT_EQ(list.modules.back().name, "nvidia");
}

TEST(Modules, OneThatSaysItIsNotFormedYet) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.bytes.put(guest.modules.member("nvidia", "state"), 3, 4);
  EXPECT_EQ(count(guest.list(), Kind::kHiddenByState), 1U);
  // And one that is not.
  guest.modules.remove_from_sysfs("nvidia");
  const auto list = guest.list();
  EXPECT_TRUE(list.notes.empty()) << list.notes[0].text;
  EXPECT_EQ(name_of_state(at(list, "nvidia").state), "unformed");
}

TEST(Modules, AModuleThatJustCameIsNotHidden) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.remove_from_sysfs("nvidia");
  guest.before_epoch = [&](unsigned epoch) {
    if (epoch == 2)
      guest.modules.insert_before(guest.modules.kset_list(), guest.modules.object("nvidia"));
  };
  const auto list = guest.list();
  EXPECT_TRUE(list.notes.empty());
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

TEST(Modules, ANameWithoutAnEndIsAllOfIt) {
  Guest guest;
  guest.modules.add({.name = std::string(56, 'x')});
  guest.modules.bytes.put_text(guest.modules.member(std::string(56, 'x'), "name"),
                               std::string(56, '\xff'));
  EXPECT_EQ(names(guest.list()), (std::vector<std::string>{std::string(56, '\xff')}));
}

TEST(Modules, EachMissingMemberIsNamed) {
  for (const bool has_mem : {true, false}) {
    const auto complete = test::make_module_info(has_mem);
    for (const auto& [key, member] : complete.members_) {
      if (key.second == "mem") continue;  // then it is a kernel before v6.4
      Guest guest{has_mem};
      guest.modules.info.members_.erase(key);
      auto kernel = guest.kernel();
      const auto list = list_modules(kernel);
      ASSERT_FALSE(list) << key.first << '.' << key.second;
      EXPECT_EQ(list.error().code, common::ErrorCode::kNotFound);
      EXPECT_NE(list.error().detail.find(key.second), std::string::npos) << list.error().detail;
    }
  }
}

// ---- Hostile data: always an answer, in bounded time, never "consistent" ----

void expect_torn(Guest& guest, const ModuleOptions& options = {.max_passes = 2}) {
  const auto list = guest.list(options);
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(list.passes, options.max_passes);
  EXPECT_GE(count(list, Kind::kTear), 1U);
  EXPECT_LE(list.notes.size(), 256U);
}

TEST(HostileModules, LinksThatLeadToEachKindOfNothing) {
  for (const std::uint64_t link :
       {0ULL, 1ULL, 0x1000ULL, 0xdead000000000100ULL, 0xffffc90000000000ULL, ~7ULL})
    for (const unsigned side : {0U, 8U})
      for (const char* name : {"usbcore", "nvidia", "late"}) {
        Guest in_list, in_sysfs, in_users, in_head;
        for (auto* guest : {&in_list, &in_sysfs, &in_users, &in_head})
          add_usual_modules(guest->modules);
        in_list.modules.bytes.put(in_list.modules.member(name, "list") + side, link);
        expect_torn(in_list);
        in_sysfs.modules.bytes.put(in_sysfs.modules.object(name) + side, link);
        expect_torn(in_sysfs);
        in_users.modules.bytes.put(in_users.modules.member(name, "source_list") + side, link);
        expect_torn(in_users);
        in_head.modules.bytes.put(in_head.modules.symbol("modules") + side, link);
        expect_torn(in_head);
      }
}

TEST(HostileModules, ALinkThatLeadsToItself) {
  for (const unsigned side : {0U, 8U}) {
    Guest guest;
    add_usual_modules(guest.modules);
    const auto link = guest.modules.member("nvidia", "list");
    guest.modules.bytes.put(link + side, link);
    expect_torn(guest);
  }
}

TEST(HostileModules, ARingThatSkipsItsHead) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.bytes.put(guest.modules.member("usbcore", "list"),
                          guest.modules.member("uhci_hcd", "list"));
  expect_torn(guest);
}

TEST(HostileModules, MoreThanTheBound) {
  Guest guest;
  guest.modules.add_many(100);
  expect_torn(guest, {.max_passes = 2, .max_modules = 99});
  EXPECT_EQ(guest.list({.max_modules = 100}).consistency, Consistency::kConsistent);
}

TEST(HostileModules, AMillionLinksAreCutOff) {
  // A list of links that lead on and back, and to no module: each is on a page of its own.
  Guest guest;
  add_usual_modules(guest.modules);
  constexpr std::uint64_t kFakes = 0xffff888100000000;
  const auto head = guest.modules.symbol("modules");
  const auto many = 5000U;
  for (std::uint64_t i = 0; i < many; ++i) guest.modules.insert_before(head, kFakes + 64 * i);
  const auto list = guest.list({.max_passes = 1, .max_modules = 1024});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_LT(guest.waves, 600U);
  EXPECT_LE(list.modules.size(), 1024U + 5U);
  EXPECT_TRUE(std::ranges::any_of(list.notes, [](const ModuleNote& note) {
    return note.text == "the list of modules: is one of over 1024";
  }));
}

TEST(HostileModules, NodesOfTheTree) {
  struct Attack {
    const char* name;
    std::function<void(FakeModules&)> do_it;
  };
  const auto put = [](const char* member, auto value) {
    return [=](FakeModules& m) {
      m.bytes.put(m.node(2) + m.info.offset("rb_node", member), value(m));
    };
  };
  std::vector<Attack> attacks{
      {"child that is itself", put("rb_left", [](auto& m) { return m.node(2); })},
      {"child that is its parent", put("rb_right", [](auto& m) { return m.node(5); })},
      {"another parent", put("__rb_parent_color", [](auto& m) { return m.node(0); })},
      {"root that is none", [](auto& m) { m.bytes.put(m.root(1), 0x1000); }},
      {"root that is another node", [](auto& m) { m.bytes.put(m.root(1), m.node(1)); }},
      {"unreadable tree", [](auto& m) { m.bytes.unmap(m.symbol("mod_tree")); }},
      {"one child twice",
       [](auto& m) {
         const auto left = m.bytes.get(m.node(5) + m.info.offset("rb_node", "rb_left"));
         m.bytes.put(m.node(5) + m.info.offset("rb_node", "rb_right"), left);
       }},
      {"node of another module",
       [](auto& m) {
         // A module out of the tree by one that says to be another's.
         m.bytes.put(m.module("nvidia") + m.info.offset("module", "mem") + 16, m.module("usbcore"));
       }},
  };
  for (const std::uint64_t value : {1ULL, 0x1000ULL, 0xffffc90000000000ULL, ~7ULL})
    for (const char* member : {"rb_left", "rb_right", "__rb_parent_color"})
      attacks.push_back({member, put(member, [value](auto&) { return value; })});
  for (const auto& attack : attacks) {
    SCOPED_TRACE(attack.name);
    Guest guest;
    add_usual_modules(guest.modules);
    ASSERT_EQ(guest.modules.nodes(), 10U);
    attack.do_it(guest.modules);
    expect_torn(guest);
  }
}

/// A structure that is torn on purpose does not speak for the others.
TEST(HostileModules, HiddenFromOneWhileAnotherIsTorn) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.remove_from_list("nvidia");
  guest.modules.bytes.put(guest.modules.node(2) + guest.modules.info.offset("rb_node", "rb_left"),
                          guest.modules.node(2));
  const auto list = guest.list();
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(count(list, Kind::kHiddenFromList), 1U);
  EXPECT_EQ(count(list, Kind::kHiddenFromTree), 0U);
}

TEST(HostileModules, ATreeThatIsALine) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.grow_line(100);
  expect_torn(guest);
  EXPECT_LT(guest.waves, 2 * 90U);
}

TEST(HostileModules, AnObjectOfAModuleThatHasAnother) {
  Guest guest;
  add_usual_modules(guest.modules);
  guest.modules.bytes.put(
      guest.modules.member("nvidia", "mkobj") + guest.modules.info.offset("module_kobject", "mod"),
      guest.modules.module("usbcore"));
  expect_torn(guest);
}

TEST(HostileModules, AUserThatIsNoModule) {
  Guest guest;
  add_usual_modules(guest.modules);
  const auto link = guest.modules.bytes.get(guest.modules.member("usbcore", "source_list"));
  guest.modules.bytes.put(link + 32, 0xffff888000555000);
  expect_torn(guest);
}

}  // namespace
}  // namespace sevmon::ids
