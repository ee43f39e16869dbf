// SPDX-License-Identifier: Apache-2.0
#include <sevmon/processes.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "ids/linux/fake_kernel.hpp"
#include "linux/task.hpp"

namespace sevmon::ids {
namespace {

using test::FakeMemory;
using test::FakeProcesses;
using test::Shape;
using Kind = ProcessNote::Kind;

constexpr std::uint64_t kSlide = 0x1a000000;

struct Guest {
  explicit Guest(Shape shape = {}) : processes{shape, kSlide} {}

  Kernel kernel() {
    return Kernel{processes.info, Root{}, kSlide, [this] {
                    ++epochs;
                    if (before_epoch) before_epoch(epochs);
                    return std::make_unique<FakeMemory>(processes.bytes, waves);
                  }};
  }
  ProcessList list(ProcessOptions options = {}) {
    options.settle = settle;
    auto attached = kernel();
    auto result = list_processes(attached, options);
    EXPECT_TRUE(result) << (result ? "" : result.error().message());
    return result ? *result : ProcessList{};
  }
  void add_usual() {
    processes.add({.pid = 1, .comm = "systemd", .start_ns = 40'000'000});
    processes.add({.pid = 2, .comm = "kthreadd", .flags = 0x00208040});
    processes.add({.pid = 3, .parent = 2, .comm = "rcu_gp", .state = 0x402, .flags = 0x00208040});
    processes.add({.pid = 700, .parent = 1, .comm = "sshd", .uid = 33});
    processes.add({.pid = 5000, .parent = 700, .comm = "bash", .uid = 1000, .state = 0});
  }

  FakeProcesses processes;
  unsigned waves = 0;
  unsigned epochs = 0;
  std::chrono::milliseconds settle{0};
  std::function<void(unsigned)> before_epoch;
};

std::vector<std::int32_t> pids(const ProcessList& list) {
  std::vector<std::int32_t> out;
  for (const auto& process : list.processes) out.push_back(process.pid);
  return out;
}

const Process& at(const ProcessList& list, std::int32_t pid) {
  return *std::ranges::find(list.processes, pid, &Process::pid);
}

std::size_t count(const ProcessList& list, Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(list.notes, kind, &ProcessNote::kind));
}

class Shapes : public testing::TestWithParam<Shape> {};

TEST_P(Shapes, EveryFieldIsRead) {
  Guest guest{GetParam()};
  guest.add_usual();
  const auto list = guest.list();
  EXPECT_EQ(pids(list), (std::vector<std::int32_t>{1, 2, 3, 700, 5000}));
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
  EXPECT_TRUE(list.notes.empty()) << list.notes.front().text;
  const auto& bash = at(list, 5000);
  EXPECT_EQ(bash.ppid, 700);
  EXPECT_EQ(bash.uid, 1000U);
  EXPECT_EQ(bash.euid, 2000U);
  EXPECT_EQ(bash.state, 'R');
  EXPECT_EQ(bash.name, "bash");
  EXPECT_EQ(bash.threads, 1U);
  EXPECT_FALSE(bash.kernel_thread);
  EXPECT_TRUE(bash.in_pids && bash.in_tasks);
  EXPECT_EQ(at(list, 1).start_ns, 40'000'000U);
  EXPECT_EQ(at(list, 1).ppid, 0);
  EXPECT_TRUE(at(list, 3).kernel_thread);
  EXPECT_EQ(at(list, 3).state, 'I');
}

INSTANTIATE_TEST_SUITE_P(Kernels, Shapes,
                         testing::Values(Shape{}, Shape{.state = "state", .state_bytes = 8},
                                         Shape{.start = "real_start_time", .shuffle = 64},
                                         Shape{.pid_links = false},
                                         Shape{.slots = 16, .shuffle = 24}));

TEST(Processes, WavesAreTheLongestChainWhateverTheNumber) {
  // Head, two levels of nodes, struct pids, tasks, credentials.
  for (const int many : {5, 400}) {
    Guest guest;
    guest.add_usual();
    for (int i = 0; i < many; ++i) guest.processes.add({.pid = 1000 + i, .parent = 1, .comm = "x"});
    const auto list = guest.list();
    EXPECT_EQ(list.processes.size(), 5U + static_cast<unsigned>(many));
    EXPECT_EQ(list.passes, 1U);
    EXPECT_EQ(guest.waves, 7U);  // 5000 needs three levels of 64
  }
}

TEST(Processes, ThreadsOnlyWhenAsked) {
  Guest guest;
  guest.add_usual();
  guest.processes.add({.pid = 5001, .parent = 700, .comm = "worker", .tgid = 5000});
  EXPECT_EQ(pids(guest.list()), (std::vector<std::int32_t>{1, 2, 3, 700, 5000}));
  const auto list = guest.list({.threads = true});
  EXPECT_EQ(pids(list), (std::vector<std::int32_t>{1, 2, 3, 700, 5000, 5001}));
  EXPECT_EQ(at(list, 5001).tgid, 5000);
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
}

TEST(Processes, AParentMayBeAThread) {
  Guest guest;
  guest.add_usual();
  guest.processes.add({.pid = 5001, .parent = 700, .comm = "worker", .tgid = 5000});
  guest.processes.add({.pid = 5002, .parent = 5001, .comm = "child"});
  EXPECT_EQ(at(guest.list(), 5002).ppid, 5000);
}

TEST(Processes, HiddenFromTheRingIsFoundByItsId) {
  Guest guest;
  guest.add_usual();
  guest.processes.remove_from_ring(700);
  const auto list = guest.list();
  EXPECT_EQ(pids(list), (std::vector<std::int32_t>{1, 2, 3, 700, 5000}));
  ASSERT_EQ(list.notes.size(), 1U);
  EXPECT_EQ(list.notes[0].kind, Kind::kHiddenFromTasks);
  EXPECT_EQ(list.notes[0].pid, 700);
  EXPECT_EQ(list.passes, 2U);  // seen twice, so it is no process on its way out
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

TEST(Processes, HiddenFromTheIdsIsFoundByTheRing) {
  Guest guest;
  guest.add_usual();
  guest.processes.insert(700, 0);
  guest.processes.insert(5000, 0);
  const auto list = guest.list();
  EXPECT_EQ(pids(list), (std::vector<std::int32_t>{1, 2, 3, 700, 5000}));
  EXPECT_EQ(count(list, Kind::kHiddenFromPids), 2U);
  EXPECT_EQ(at(list, 5000).uid, 1000U);
  EXPECT_FALSE(at(list, 700).in_pids);
}

TEST(Processes, AProcessThatJustCameIsNotHidden) {
  Guest guest;
  guest.add_usual();
  guest.processes.add_unlisted({.pid = 6000, .parent = 1, .comm = "new"});
  guest.processes.add_to_ring(6000);
  guest.before_epoch = [&](unsigned epoch) {
    if (epoch == 2) guest.processes.add_id(6000);
  };
  const auto list = guest.list();
  EXPECT_TRUE(list.notes.empty());
  EXPECT_EQ(list.passes, 2U);
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

/// One of that kind, and it is this one.
void expect_hidden(const ProcessList& list, Kind kind, std::int32_t pid) {
  EXPECT_EQ(count(list, kind), 1U);
  EXPECT_EQ(count(list, kind) + count(list, Kind::kTear), list.notes.size());
  for (const auto& note : list.notes)
    if (note.kind != Kind::kTear) {
      EXPECT_EQ(note.pid, pid) << note.text;
    }
}

/// Each pass sees another process that has just come, in the memory of the last one.
void let_processes_come_and_go(Guest& guest) {
  guest.processes.add_unlisted({.pid = 6000, .parent = 1, .comm = "new"});
  guest.processes.add_to_ring(6000);
  guest.before_epoch = [&](unsigned epoch) {
    for (const auto* member : {"pid", "tgid"})
      guest.processes.bytes.put(guest.processes.member(6000, member), 6000 + epoch, 4);
  };
}

TEST(Processes, OneAfterAnotherInTheSameMemoryIsNotHidden) {
  Guest guest;
  guest.add_usual();
  let_processes_come_and_go(guest);
  const auto list = guest.list();
  // Nor is it said that there is none.
  EXPECT_EQ(list.notes.size(), 4U);
  EXPECT_EQ(count(list, Kind::kTear), 4U);
  for (const auto& note : list.notes)
    EXPECT_NE(note.text.find("and in each other something else"), std::string::npos) << note.text;
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(list.passes, 4U);
}

/// What just begins, in the same memory each time, is a copy of its parent.
TEST(Processes, CopiesOfAParentAreNotHidden) {
  Guest guest;
  guest.add_usual();
  guest.processes.add_unlisted({.pid = 700, .parent = 1, .comm = "sshd"});
  guest.processes.add_to_ring(700);
  const auto list = guest.list();
  EXPECT_EQ(count(list, Kind::kHiddenFromPids), 0U);
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_TRUE(std::ranges::any_of(list.notes, [](const ProcessNote& note) {
    return note.pid == 700 && note.text.find("it may be about to begin") != std::string::npos;
  }));
}

TEST(Processes, WhatIsHiddenIsFoundWhileOthersComeAndGo) {
  Guest guest;
  guest.add_usual();
  guest.processes.remove_from_ring(700);
  let_processes_come_and_go(guest);
  const auto list = guest.list();
  expect_hidden(list, Kind::kHiddenFromTasks, 700);
  EXPECT_EQ(count(list, Kind::kTear), 2U) << "and what else there was is told";
  EXPECT_EQ(list.consistency, Consistency::kRetried);
  EXPECT_EQ(list.passes, 2U);
}

TEST(Processes, WhatIsInOrderForAPassIsFound) {
  Guest guest;
  guest.add_usual();
  const auto broken = guest.processes.member(3, "tgid");
  guest.before_epoch = [&](unsigned epoch) {
    guest.processes.bytes.put(broken, 2, 4);  // so that there are four passes
    if (epoch % 2 == 1)
      guest.processes.remove_from_ring(700);
    else
      guest.processes.add_to_ring(700);
  };
  expect_hidden(guest.list(), Kind::kHiddenFromTasks, 700);
}

TEST(Processes, WhatIsInOrderForAListIsFoundByALaterOne) {
  Guest guest;
  guest.add_usual();
  HiddenHistory history;
  guest.before_epoch = [&](unsigned epoch) {
    if (epoch % 2 == 1)
      guest.processes.remove_from_ring(700);
    else
      guest.processes.add_to_ring(700);
  };
  const auto first = guest.list({.history = &history});
  EXPECT_TRUE(first.notes.empty());
  EXPECT_EQ(first.consistency, Consistency::kRetried);
  const auto second = guest.list({.history = &history});
  expect_hidden(second, Kind::kHiddenFromTasks, 700);
  EXPECT_EQ(second.passes, 1U);
}

TEST(Processes, AHistoryForgetsWhatItSawLongestAgo) {
  HiddenHistory history;
  const auto seen = [](std::int32_t pid) { return HiddenHistory::Identity{1, 0x1000, pid}; };
  for (int pid = 0; pid < 1024; ++pid) history.add(seen(pid));
  history.add(seen(0));
  history.add(seen(5000));
  EXPECT_TRUE(history.contains(seen(0)));
  EXPECT_FALSE(history.contains(seen(1)));
  EXPECT_TRUE(history.contains(seen(2)));
}

TEST(Processes, WhatLooksHiddenIsGivenTimeToShowUp) {
  // As a vCPU leaves it that is stopped in the middle of a change.
  using std::chrono::steady_clock;
  Guest guest;
  guest.add_usual();
  guest.processes.remove_from_ring(700);
  guest.settle = std::chrono::milliseconds{200};
  steady_clock::time_point goes_on;
  guest.before_epoch = [&](unsigned epoch) {
    if (epoch == 1) goes_on = steady_clock::now() + guest.settle;
    if (epoch == 2 && steady_clock::now() >= goes_on) guest.processes.add_to_ring(700);
  };
  const auto list = guest.list();
  EXPECT_TRUE(list.notes.empty());
  EXPECT_EQ(list.passes, 2U);
}

TEST(Processes, StateLettersAreTheKernels) {
  const std::tuple<std::uint64_t, std::uint64_t, char> cases[] = {
      {0, 0, 'R'},      {1, 0, 'S'},      {2, 0, 'D'},       {0x102, 0, 'D'},    {0x104, 0, 'T'},
      {8, 0, 't'},      {0, 0x10, 'X'},   {0x80, 0x20, 'Z'}, {0x40, 0, 'P'},     {0x402, 0, 'I'},
      {0x1000, 0, 'D'}, {0x8000, 0, 'D'}, {0x200, 0, 'R'},   {~0ULL, ~0ULL, 'D'}};
  for (const auto& [state, exit_state, letter] : cases)
    EXPECT_EQ(state_letter(state, exit_state), letter) << std::hex << state << ' ' << exit_state;
}

TEST(Processes, EachMissingMemberIsNamed) {
  const auto complete = test::make_info({});
  for (const auto& [key, member] : complete.members_) {
    if (key.first == "signal_struct") continue;  // optional
    Guest guest;
    guest.processes.info.members_.erase(key);
    auto kernel = guest.kernel();
    const auto list = list_processes(kernel);
    ASSERT_FALSE(list) << key.first << '.' << key.second;
    EXPECT_EQ(list.error().code, common::ErrorCode::kNotFound);
    EXPECT_NE(list.error().detail.find(key.second), std::string::npos) << list.error().detail;
  }
}

// ---- Hostile data: always an answer, in bounded time, never "consistent" ----

void expect_torn(Guest& guest, ProcessOptions options = {}) {
  const auto list = guest.list(options);
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(list.passes, options.max_passes);
  EXPECT_GE(count(list, Kind::kTear), 1U);
}

TEST(HostileProcesses, NodeThatPointsToItself) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.put(guest.processes.root() + 40 + 8 * 63, guest.processes.root() | 2);
  expect_torn(guest);
}

TEST(HostileProcesses, EverySlotOfTheRootIsTheSameChild) {
  Guest guest;
  guest.add_usual();
  const auto root = guest.processes.root();
  const auto child = guest.processes.bytes.get(root + 40);
  for (unsigned i = 0; i < 64; ++i) guest.processes.bytes.put(root + 40 + 8 * i, child);
  expect_torn(guest);
  // Not walked 64 times over: each node is believed in one place only.
  const auto list = guest.list({.max_passes = 1});
  EXPECT_EQ(std::ranges::count_if(list.notes,
                                  [](const ProcessNote& note) {
                                    return note.text.find("does not point back") !=
                                           std::string::npos;
                                  }),
            63);
  // All the others are of one that the table did not lead to.
  for (const auto& note : list.notes)
    EXPECT_TRUE(note.text.find("does not point back") != std::string::npos ||
                note.text.find("in one pass only") != std::string::npos)
        << note.text;
}

TEST(HostileProcesses, TopmostNodeThatWasFreed) {
  // As the kernel leaves it: its place is right, but it leads nowhere.
  Guest guest;
  guest.add_usual();
  for (unsigned i = 0; i < 64; ++i)
    guest.processes.bytes.put(guest.processes.root() + 40 + 8 * i, 0);
  expect_torn(guest);
}

TEST(HostileProcesses, EachPossibleShiftOfTheRoot) {
  for (unsigned shift = 0; shift < 256; ++shift) {
    Guest guest;
    guest.add_usual();
    guest.processes.bytes.put(guest.processes.root(), shift, 1);
    if (shift == 12) continue;  // the right one
    expect_torn(guest, {.max_passes = 2});
  }
}

TEST(HostileProcesses, EntriesThatAreNoPointers) {
  const std::uint64_t entries[] = {
      1, 3, 4, 0x1000, 4098, 0x7fffffffffff, ~0ULL, ~1ULL, 0xffff888000100001, 0xfffffffffffffff8};
  for (const auto entry : entries) {
    Guest guest;
    guest.add_usual();
    guest.processes.insert(100, entry);
    expect_torn(guest, {.max_passes = 2});
    Guest headless;
    headless.add_usual();
    headless.processes.bytes.put(headless.processes.head_address(), entry);
    expect_torn(headless, {.max_passes = 2});
  }
}

TEST(HostileProcesses, RetryAndZeroEntriesAreEmpty) {
  for (const std::uint64_t entry : {2ULL, 1026ULL, 1030ULL, 4094ULL}) {
    Guest guest;
    guest.add_usual();
    guest.processes.insert(100, entry);
    EXPECT_EQ(guest.list().consistency, Consistency::kConsistent) << entry;
  }
}

TEST(HostileProcesses, MoreEntriesThanTheBound) {
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 200; ++i) guest.processes.add({.pid = 1000 + i, .parent = 1, .comm = "x"});
  expect_torn(guest, {.max_tasks = 204});
  EXPECT_EQ(guest.list({.max_tasks = 206}).consistency, Consistency::kConsistent);
}

TEST(HostileProcesses, AMillionEntriesThatLeadNowhere) {
  // Two levels of nodes full of pointers into nothing: the bound ends it.
  Guest guest;
  guest.add_usual();
  for (std::uint64_t id = 0; id < 64 * 64 * 4; ++id)
    guest.processes.insert(id, 0xffffc90000000000 + id * 4096);
  const auto list = guest.list({.max_passes = 2, .max_tasks = 4096});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_LE(list.notes.size(), 256U);
  // And this bound, not one behind it that sees them all.
  EXPECT_TRUE(std::ranges::any_of(list.notes, [](const ProcessNote& note) {
    return note.text == "over 4096 entries in the id table";
  }));
}

TEST(HostileProcesses, RingThatSkipsItsHead) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.put(guest.processes.member(5000, "tasks"),
                            guest.processes.member(2, "tasks"));
  expect_torn(guest);
}

TEST(HostileProcesses, RingThatEndsInEachKindOfNothing) {
  for (const std::uint64_t next : {0ULL, 1ULL, 0x1000ULL, 0xffffc90000000000ULL, ~7ULL}) {
    Guest guest;
    guest.add_usual();
    guest.processes.bytes.put(guest.processes.member(3, "tasks"), next);
    expect_torn(guest, {.max_passes = 2});
  }
}

TEST(HostileProcesses, ARingOfFakesIsCutOff) {
  // Tasks that only the ring knows, one behind another, without end.
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 300; ++i) {
    guest.processes.add_unlisted({.pid = 100000 + i, .parent = 1, .comm = "fake"});
    guest.processes.add_to_ring(100000 + i);
  }
  expect_torn(guest, {.max_passes = 2});
  EXPECT_LT(guest.waves, 200U);
}

TEST(HostileProcesses, ManyThatNoIdLeadsToAreCutOff) {
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 30; ++i) {
    guest.processes.add_unlisted({.pid = 100000 + i, .parent = 1, .comm = "fake"});
    guest.processes.add_to_ring(100000 + i);
  }
  const auto list = guest.list({.max_passes = 1, .max_strays = 8});
  EXPECT_EQ(list.processes.size(), 5U + 8U);
  EXPECT_TRUE(std::ranges::any_of(list.notes, [](const ProcessNote& note) {
    return note.text == "over 8 tasks that no id leads to";
  }));
  EXPECT_EQ(guest.list({.max_strays = 30}).processes.size(), 35U);
}

// ---- Tears on purpose: what is hidden is found all the same ----

/// for_each_process() misses it: that its neighbour still points back is a tear besides.
TEST(HostileProcesses, HiddenByHalfOfTheLinks) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.put(guest.processes.member(3, "tasks"),
                            guest.processes.member(5000, "tasks"));
  const auto list = guest.list();
  expect_hidden(list, Kind::kHiddenFromTasks, 700);
  EXPECT_EQ(list.consistency, Consistency::kTorn);
}

/// Two that hold each other and lead into the ring, whose own link does not come from them.
TEST(HostileProcesses, HiddenInASideBranchOfATornRing) {
  Guest guest;
  guest.add_usual();
  const auto link = [&](std::int32_t pid) { return guest.processes.member(pid, "tasks"); };
  guest.processes.remove_from_ring(700);
  guest.processes.remove_from_ring(5000);
  guest.processes.bytes.put(link(700), link(5000));
  guest.processes.bytes.put(link(5000) + 8, link(700));
  guest.processes.bytes.put(link(5000), link(2));
  guest.processes.bytes.put(link(3), 0);
  EXPECT_EQ(count(guest.list(), Kind::kHiddenFromTasks), 2U);
}

/// Rings that run into themselves, however many there are beside what is hidden.
TEST(HostileProcesses, HiddenBesideDecoys) {
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 90; ++i) guest.processes.add({.pid = 6000 + i, .parent = 1, .comm = "x"});
  const auto link = [&](std::int32_t pid) { return guest.processes.member(pid, "tasks"); };
  for (int i = 0; i < 90; ++i) guest.processes.remove_from_ring(6000 + i);
  for (int i = 0; i < 90; i += 3) {  // the first leads into a ring of the other two
    for (const auto& [from, to] : {std::pair{0, 1}, std::pair{1, 2}, std::pair{2, 1}})
      guest.processes.bytes.put(link(6000 + i + from), link(6000 + i + to));
    guest.processes.bytes.put(link(6001 + i) + 8, link(6000 + i));
    guest.processes.bytes.put(link(6002 + i) + 8, link(6001 + i));
  }
  guest.processes.bytes.put(link(2), 0);
  EXPECT_EQ(count(guest.list(), Kind::kHiddenFromTasks), 90U);
}

TEST(HostileProcesses, HiddenAndSaysItIsAThread) {
  for (const bool by_pid : {false, true}) {
    Guest guest;
    guest.add_usual();
    guest.processes.remove_from_ring(700);
    guest.processes.bytes.put(guest.processes.member(700, by_pid ? "pid" : "tgid"), 1, 4);
    const auto list = guest.list();
    expect_hidden(list, Kind::kHiddenFromTasks, by_pid ? 1 : 700);
    EXPECT_EQ(list.consistency, Consistency::kTorn);
  }
}

TEST(HostileProcesses, HiddenBehindMoreTearsThanAreTold) {
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 400; ++i) {
    guest.processes.add({.pid = 1000 + i, .parent = 1, .comm = "x"});
    guest.processes.bytes.put(guest.processes.member(1000 + i, "tgid"), 1, 4);
  }
  guest.processes.remove_from_ring(700);
  expect_hidden(guest.list(), Kind::kHiddenFromTasks, 700);
}

TEST(HostileProcesses, HiddenFromARingThatIsTorn) {
  for (const bool is_alone : {false, true}) {
    Guest guest;
    guest.add_usual();
    guest.processes.remove_from_ring(700);
    if (is_alone)
      for (const std::uint64_t link : {0U, 8U})
        guest.processes.bytes.put(guest.processes.member(700, "tasks") + link,
                                  guest.processes.member(700, "tasks"));
    guest.processes.bytes.put(guest.processes.member(2, "tasks"), 0);
    const auto list = guest.list();
    expect_hidden(list, Kind::kHiddenFromTasks, 700);
    EXPECT_EQ(list.consistency, Consistency::kTorn);
  }
}

/// Of those behind the place where it is torn nobody says that they are hidden.
TEST(HostileProcesses, WhatATornRingDoesNotLeadToIsNotHidden) {
  Guest guest;
  guest.add_usual();
  for (int i = 0; i < 50; ++i) guest.processes.add({.pid = 1000 + i, .parent = 1, .comm = "x"});
  guest.processes.bytes.put(guest.processes.member(2, "tasks"), 0);
  const auto list = guest.list();
  EXPECT_EQ(count(list, Kind::kTear), list.notes.size());
  EXPECT_FALSE(at(list, 1049).in_tasks);
  // But they are told.
  EXPECT_TRUE(std::ranges::any_of(list.notes, [](const ProcessNote& note) {
    return note.text.starts_with("53 processes, \"rcu_gp\" the first, are not in the ring");
  }));
}

TEST(HostileProcesses, HiddenInARingOfTheirOwn) {
  for (const bool is_torn : {false, true}) {
    Guest guest;
    guest.add_usual();
    guest.processes.remove_from_ring(700);
    guest.processes.remove_from_ring(5000);
    for (const auto& [one, other] : {std::pair{700, 5000}, std::pair{5000, 700}})
      for (const std::uint64_t link : {0U, 8U})
        guest.processes.bytes.put(guest.processes.member(one, "tasks") + link,
                                  guest.processes.member(other, "tasks"));
    if (is_torn) guest.processes.bytes.put(guest.processes.member(2, "tasks"), 0);
    EXPECT_EQ(count(guest.list(), Kind::kHiddenFromTasks), 2U) << is_torn;
  }
}

/// Where a part of the table could not be read, nobody is hidden for not being found in it.
TEST(HostileProcesses, WhatATornTableDoesNotLeadToIsNotHidden) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.put(guest.processes.root() + guest.processes.slots_at() + 8 * 62, 0x1002);
  guest.processes.insert(700, 0);
  const auto list = guest.list();
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_EQ(count(list, Kind::kHiddenFromPids), 0U);
}

TEST(HostileProcesses, PointersOfATaskThatLeadNowhere) {
  for (const auto* member : {"real_cred", "signal", "real_parent"})
    for (const std::uint64_t pointer : {0ULL, 8ULL, 0xffffc90000000000ULL, ~7ULL}) {
      Guest guest;
      guest.add_usual();
      guest.processes.bytes.put(guest.processes.member(700, member), pointer);
      expect_torn(guest, {.max_passes = 2});
    }
}

TEST(HostileProcesses, TaskOfAnotherId) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.put(guest.processes.member(700, "pid"), 701, 4);
  guest.processes.bytes.put(guest.processes.member(700, "tgid"), 701, 4);
  expect_torn(guest);
}

TEST(HostileProcesses, TwoIdsOfOneTask) {
  Guest guest;
  guest.add_usual();
  guest.processes.insert(701, guest.processes.pid_struct(700));
  expect_torn(guest);
}

TEST(HostileProcesses, NameWithoutEndAndOfAnyBytes) {
  Guest guest;
  guest.add_usual();
  const std::string name = "\x1b[2J\xff\n\"\\abcdefgh";
  guest.processes.bytes.put_text(guest.processes.member(700, "comm"), name);
  const auto list = guest.list();
  EXPECT_EQ(at(list, 700).name, name.substr(0, 16));
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
}

TEST(HostileProcesses, UnmappedTable) {
  Guest guest;
  guest.add_usual();
  guest.processes.bytes.unmap(guest.processes.head_address());
  expect_torn(guest);
}

/// Nobody answers any more.
class LostMemory final : public Memory {
 public:
  common::Result<void> fetch(std::span<const Range>) override { return lost(); }
  common::Result<std::vector<std::byte>> read(Range) override { return lost(); }
  common::Result<std::uint64_t> read_uint(common::Gva, std::uint32_t) override { return lost(); }
  common::Result<std::string> read_string(common::Gva, std::uint32_t) override { return lost(); }

 private:
  static common::Error lost() { return {common::ErrorCode::kConnect, "lost"}; }
};

/// Who finds nothing more to lose can end the connection instead.
TEST(Processes, WhatIsSureIsToldAlsoIfTheListCannotBeFinished) {
  Guest guest;
  guest.add_usual();
  guest.processes.insert(700, 0);
  HiddenHistory history;
  EXPECT_EQ(guest.list({.history = &history}).consistency, Consistency::kRetried);

  // Torn besides: it is made again.
  guest.processes.insert(900, guest.processes.bytes.get(guest.processes.slot(3)));
  unsigned epochs = 0;
  auto kernel = Kernel{guest.processes.info, Root{}, kSlide, [&]() -> std::unique_ptr<Memory> {
                         if (++epochs > 1) return std::make_unique<LostMemory>();
                         return std::make_unique<FakeMemory>(guest.processes.bytes, guest.waves);
                       }};
  ProcessOptions options{.history = &history};
  options.settle = std::chrono::milliseconds{0};
  const auto list = list_processes(kernel, options);
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_EQ(list->consistency, Consistency::kTorn);
  EXPECT_EQ(list->passes, 1u);
  EXPECT_FALSE(list->processes.empty());
  EXPECT_EQ(std::ranges::count(list->notes, Kind::kHiddenFromPids, &ProcessNote::kind), 1);
  EXPECT_EQ(list->notes.back().kind, Kind::kTear);
  EXPECT_NE(list->notes.back().text.find("could not be finished"), std::string::npos);
}

}  // namespace
}  // namespace sevmon::ids
