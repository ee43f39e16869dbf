// SPDX-License-Identifier: Apache-2.0
// The program ids/programs/processes.bpf.c, linked for made-up kernels and run by the agent's own
// interpreter; and the process lists that are made of what it gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "process_guest.hpp"

namespace sevmon::tests {
namespace {

using ids::Consistency;
using ids::ProcessList;
using Kind = ids::ProcessNote::Kind;

std::vector<std::int32_t> pids(const ProcessList& list) {
  std::vector<std::int32_t> out;
  for (const auto& process : list.processes) out.push_back(process.pid);
  return out;
}

std::size_t count(const ProcessList& list, Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(list.notes, kind, &ids::ProcessNote::kind));
}

const std::vector<std::int32_t> kUsual{1, 2, 3, 700, 5000};

class Processes : public testing::TestWithParam<std::string> {
 protected:
  ProcessGuest guest_{GetParam()};

  std::vector<sevmon_process_record> records(const ids::ProgramRun& run) const {
    std::vector<sevmon_process_record> all(run.result.size() / sizeof(sevmon_process_record));
    std::memcpy(all.data(), run.result.data(), all.size() * sizeof(sevmon_process_record));
    return all;
  }
  static sevmon_processes_trailer trailer(const ids::ProgramRun& run) {
    sevmon_processes_trailer trailer{};
    EXPECT_GE(run.result.size(), sizeof trailer);
    std::memcpy(&trailer, run.result.data() + run.result.size() - sizeof trailer, sizeof trailer);
    return trailer;
  }
  ids::ProgramRun run_from(std::uint64_t id) {
    return guest_.run(std::as_bytes(std::span{&id, 1}));
  }
};

TEST_P(Processes, AreRecordsWithEverything) {
  guest_.add_usual();
  const auto run = run_from(0);
  ASSERT_EQ(run.report.state, std::uint32_t{SEVMON_RUN_DONE});
  const auto all = records(run);
  ASSERT_EQ(all.size(), kUsual.size());
  const auto& last = all[4];
  EXPECT_EQ(last.task, guest_.processes.task(5000));
  EXPECT_EQ(last.next, guest_.processes.task(0));
  EXPECT_EQ(last.previous, guest_.processes.task(700));
  EXPECT_EQ(last.state, 1U);
  EXPECT_EQ(last.id, 5000U);
  EXPECT_EQ(last.pid, 5000);
  EXPECT_EQ(last.tgid, 5000);
  EXPECT_EQ(last.ppid, 700);
  EXPECT_EQ(last.uid, 1000U);
  EXPECT_EQ(last.euid, 2000U);
  EXPECT_EQ(last.threads, 1U);
  EXPECT_EQ(last.unread, 0U);
  EXPECT_EQ(std::memcmp(last.comm, "a name of 16 byt", 16), 0);
  EXPECT_EQ(all[0].start_ns, 40'000'000U);
  EXPECT_EQ(all[1].flags, 0x00208040U);
  const auto end = trailer(run);
  EXPECT_EQ(end.end, std::uint32_t{SEVMON_PROCESSES_DONE});
  EXPECT_EQ(end.records, 5U);
  EXPECT_EQ(end.tears, 0U);
  EXPECT_EQ(end.ring_next, guest_.processes.task(1));
  EXPECT_EQ(end.ring_previous, guest_.processes.task(5000));
}

TEST_P(Processes, BeginWithAnyId) {
  guest_.add_usual();
  for (const std::uint64_t id : {0ULL, 1ULL, 2ULL, 4ULL, 63ULL, 64ULL, 700ULL, 701ULL, 5000ULL,
                                 5001ULL, 1ULL << 31, 1ULL << 36, ~0ULL}) {
    const auto run = run_from(id);
    const auto after = std::ranges::count_if(
        kUsual, [&](auto pid) { return static_cast<std::uint64_t>(pid) >= id; });
    EXPECT_EQ(trailer(run).records, after) << id;
    EXPECT_EQ(trailer(run).end, std::uint32_t{SEVMON_PROCESSES_DONE}) << id;
    EXPECT_EQ(trailer(run).tears, 0U) << id;
  }
}

TEST_P(Processes, AreTheSameAsByPages) {
  guest_.add_usual();
  for (int i = 0; i < 300; ++i)
    guest_.processes.add({.pid = 1000 + 7 * i, .parent = 1, .comm = "x"});
  const auto list = guest_.by_both();
  EXPECT_EQ(list.method, ids::ListMethod::kBoth);
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
  EXPECT_TRUE(list.notes.empty()) << list.notes[0].text;
  EXPECT_EQ(pids(list), pids(guest_.by_pages()));
}

TEST_P(Processes, AllOfAnAnswerTakeOneRunAndNoPage) {
  // As docs/programs.md has it; and one more takes one more run.
  const int most = 638;
  for (int i = 1; i <= most; ++i) guest_.processes.add({.pid = i, .parent = 0, .comm = "x"});
  const auto list = guest_.by_program();
  EXPECT_EQ(list.processes.size(), 638U);
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
  EXPECT_EQ(list.program.runs, 1U);
  EXPECT_EQ(guest_.waves, 0U);
  guest_.processes.add({.pid = most + 1, .parent = 0, .comm = "x"});
  const auto more = guest_.by_program();
  EXPECT_EQ(more.processes.size(), 639U);
  EXPECT_EQ(more.consistency, Consistency::kConsistent);
  EXPECT_EQ(more.program.runs, 2U);
  EXPECT_EQ(guest_.waves, 0U);
}

TEST_P(Processes, GoOnWhereSpaceEnded) {
  guest_.add_usual();
  // From no space for a trailer behind one record on.
  for (std::size_t bytes = sizeof(sevmon_process_record); bytes < 400; bytes += 8) {
    guest_.answer_bytes = bytes;
    const auto list = guest_.by_program();
    EXPECT_EQ(pids(list), kUsual) << bytes;
    EXPECT_EQ(list.consistency, Consistency::kConsistent) << bytes;
  }
}

TEST_P(Processes, OnlyWhatTheRingAloneKnowsIsReadByPages) {
  guest_.add_usual();
  guest_.processes.insert(700, 0);
  const auto list = guest_.by_program();
  EXPECT_EQ(pids(list), kUsual);
  EXPECT_EQ(count(list, Kind::kHiddenFromPids), 1U);
  EXPECT_EQ(list.consistency, Consistency::kRetried);
  EXPECT_EQ(list.program.runs, 2U);
  const auto hidden = std::ranges::find(list.processes, 700, &ids::Process::pid);
  EXPECT_EQ(hidden->uid, 33U);
  EXPECT_EQ(hidden->ppid, 1);
  EXPECT_FALSE(hidden->in_pids);
  EXPECT_TRUE(hidden->in_tasks);
}

TEST_P(Processes, HiddenFromTheRingIsFound) {
  guest_.add_usual();
  guest_.processes.remove_from_ring(700);
  const auto list = guest_.by_program();
  EXPECT_EQ(pids(list), kUsual);
  EXPECT_EQ(count(list, Kind::kHiddenFromTasks), 1U);
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

TEST_P(Processes, AProcessThatJustCameIsNotHidden) {
  guest_.add_usual();
  guest_.processes.add_unlisted({.pid = 6000, .parent = 1, .comm = "new"});
  guest_.processes.add_to_ring(6000);
  guest_.before_run = [&](unsigned run) {
    if (run == 2) guest_.processes.add_id(6000);
  };
  const auto list = guest_.by_program();
  EXPECT_TRUE(list.notes.empty());
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

TEST_P(Processes, ThreadsAreNotTheProgramsWork) {
  guest_.add_usual();
  guest_.processes.add({.pid = 5001, .parent = 700, .comm = "worker", .tgid = 5000});
  EXPECT_EQ(pids(guest_.by_program()), kUsual);
  auto kernel = guest_.kernel();
  const auto list = ids::list_processes(kernel, guest_.options({.threads = true}));
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, common::ErrorCode::kUsage);
}

TEST_P(Processes, AnIdThatOnlyNamesAGroupIsNoProcess) {
  guest_.add_usual();
  guest_.processes.add_unlisted({.pid = 6000, .parent = 1, .comm = "gone"});
  guest_.processes.add_id(6000);
  const auto& info = guest_.processes.info;
  guest_.processes.bytes.put(guest_.processes.pid_struct(6000) + info.offset("pid", "tasks") + 8,
                             0);
  const auto list = guest_.by_program();
  EXPECT_EQ(pids(list), kUsual);
  EXPECT_EQ(list.consistency, Consistency::kConsistent);
}

TEST_P(Processes, AKernelWithoutAMemberIsNamed) {
  auto target = guest_.target.target();
  target.btf = {};
  const auto program = ids::ProcessProgram::link(target);
  ASSERT_FALSE(program);
  guest_.target.symbols.erase("init_pid_ns");
  const auto other = ids::ProcessProgram::link(guest_.target.target());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, common::ErrorCode::kNotFound);
  EXPECT_NE(other.error().detail.find("init_pid_ns"), std::string::npos);
}

// ---- Both methods, compared ----

TEST_P(Processes, WhatDiffersEveryTimeIsSaid) {
  guest_.add_usual();
  guest_.alter_result = [](std::vector<std::byte>& result) {  // as if it were shown another page
    const std::uint32_t uid = 77;
    std::memcpy(
        result.data() + 3 * sizeof(sevmon_process_record) + offsetof(sevmon_process_record, uid),
        &uid, sizeof uid);
  };
  const auto list = guest_.by_both();
  ASSERT_EQ(count(list, Kind::kDifference), 1U);
  EXPECT_EQ(list.notes[0].pid, 700);
  EXPECT_EQ(list.notes[0].text, "uid: 77 by the program, 33 by pages");
  EXPECT_EQ(list.consistency, Consistency::kRetried);
}

TEST_P(Processes, WhatChangedBetweenTheMethodsIsNoDifference) {
  guest_.add_usual();
  guest_.alter_result = [&](std::vector<std::byte>& /*result*/) {
    if (guest_.runs == 1) guest_.processes.add({.pid = 6000, .parent = 1, .comm = "new"});
  };
  const auto list = guest_.by_both();
  EXPECT_TRUE(list.notes.empty()) << list.notes[0].text;
  EXPECT_EQ(pids(list), (std::vector<std::int32_t>{1, 2, 3, 700, 5000, 6000}));
}

TEST_P(Processes, WhatOneMethodLacksIsADifference) {
  guest_.add_usual();
  // The target shows the program one world, and pages another.
  guest_.before_run = [&](unsigned) {
    guest_.processes.insert(700, 0), guest_.processes.remove_from_ring(700);
  };
  guest_.alter_result = [&](std::vector<std::byte>& /*result*/) {
    guest_.processes.insert(700, guest_.processes.pid_struct(700));
    guest_.processes.add_to_ring(700);
  };
  const auto list = guest_.by_both();
  ASSERT_EQ(count(list, Kind::kDifference), 1U);
  EXPECT_EQ(list.notes[0].pid, 700);
  EXPECT_NE(list.notes[0].text.find("by pages and not by the program"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Processes, testing::Values("new", "old"));

// ---- Hostile data: always an answer, in bounded time, never "consistent" ----

struct Attack {
  const char* name;
  std::function<void(ids::test::FakeProcesses&)> do_it;
};

std::vector<Attack> attacks() {
  std::vector<Attack> all{
      {"NodeThatPointsToItself",
       [](auto& p) { p.bytes.put(p.root() + p.slots_at() + 8 * 9, p.root() | 2); }},
      {"TwoSlotsWithOneChild",
       [](auto& p) {
         p.bytes.put(p.root() + p.slots_at() + 8 * 9, p.bytes.get(p.root() + p.slots_at()));
       }},
      {"TopmostNodeThatWasFreed",
       [](auto& p) {
         const auto slots = p.info.sizes_.at("xa_node") - p.slots_at();
         for (unsigned at = 0; at < slots; at += 8) p.bytes.put(p.root() + p.slots_at() + at, 0);
       }},
      {"RingThatSkipsItsHead",
       [](auto& p) { p.bytes.put(p.member(5000, "tasks"), p.member(2, "tasks")); }},
      {"TaskOfAnotherId", [](auto& p) { p.bytes.put(p.member(700, "pid"), 701, 4); }},
      {"TwoIdsOfOneTask",
       [](auto& p) {
         const auto other = p.allocate(256);
         for (unsigned at = 0; at < 256; at += 8)
           p.bytes.put(other + at, p.bytes.get(p.pid_struct(700) + at));
         p.bytes.put(other + p.info.offset("pid", "numbers"), 701, 4);
         p.insert(701, other);
       }},
      {"StructPidOfAnotherId", [](auto& p) { p.insert(701, p.pid_struct(700)); }},
      {"UnmappedHead", [](auto& p) { p.bytes.unmap(p.head_address()); }},
      {"RingOfFakes",
       [](auto& p) {
         for (int i = 0; i < 300; ++i) {
           p.add_unlisted({.pid = 100000 + i, .parent = 1, .comm = "fake"});
           p.add_to_ring(100000 + i);
         }
       }},
  };
  for (const std::uint64_t entry :
       {1ULL, 3ULL, 4ULL, 0x1000ULL, 4098ULL, 0x7fffffffffffULL, ~0ULL, ~1ULL,
        0xffff888000f00001ULL, 0xffffc90000000000ULL, 0xfffffffffffffff8ULL}) {
    all.push_back({"Entry", [=](auto& p) { p.insert(100, entry); }});
    all.push_back(
        {"InnerEntry", [=](auto& p) { p.bytes.put(p.root() + p.slots_at() + 8 * 9, entry); }});
    all.push_back({"Head", [=](auto& p) { p.bytes.put(p.head_address(), entry); }});
    all.push_back({"Next", [=](auto& p) { p.bytes.put(p.member(3, "tasks"), entry); }});
    all.push_back({"Previous", [=](auto& p) { p.bytes.put(p.member(3, "tasks") + 8, entry); }});
    for (const auto* member : {"real_cred", "signal", "real_parent"})
      all.push_back({member, [=](auto& p) { p.bytes.put(p.member(700, member), entry); }});
  }
  return all;
}

TEST(HostileProcessRecords, EachAttackIsTornByBothMethods) {
  for (const char* kernel : {"new", "old"}) {
    for (const auto& attack : attacks()) {
      ProcessGuest guest{kernel};
      guest.add_usual();
      attack.do_it(guest.processes);
      const ids::ProcessOptions options{.max_passes = 2};
      const auto list = guest.by_program(options);
      const auto pages = guest.by_pages(options);
      EXPECT_EQ(list.consistency, pages.consistency) << kernel << ' ' << attack.name;
      EXPECT_EQ(list.consistency, Consistency::kTorn) << kernel << ' ' << attack.name;
      EXPECT_GE(count(list, Kind::kTear), 1U);
    }
  }
}

TEST(HostileProcessRecords, EachPossibleShiftOfTheRoot) {
  for (unsigned shift = 0; shift < 256; ++shift) {
    if (shift == 12) continue;  // the right one
    ProcessGuest guest{"new"};
    guest.add_usual();
    guest.processes.bytes.put(guest.processes.root() + guest.processes.shift_at(), shift, 1);
    EXPECT_EQ(guest.by_program({.max_passes = 1}).consistency, Consistency::kTorn) << shift;
  }
}

TEST(HostileProcessRecords, EntriesThatLeadNowhere) {
  ProcessGuest guest{"new"};
  guest.add_usual();
  for (std::uint64_t id = 0; id < 64 * 64; ++id)
    guest.processes.insert(id, 0xffffc90000000000 + id * 4096);
  const auto list = guest.by_program({.max_passes = 1, .max_tasks = 1024});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_LE(list.notes.size(), 256U);
  EXPECT_EQ(guest.runs, 2U);
}

TEST(HostileProcessRecords, ATableWithoutProcessesEndsWithinItsBudget) {
  // Struct pids that lead to no task give no record, so that no result is ever full.
  ProcessGuest guest{"new"};
  guest.add_usual();
  const auto empty = guest.processes.allocate(256);
  for (std::uint64_t id = 0; id < 2 * SEVMON_PROCESSES_MAX_IDS; ++id)
    guest.processes.insert(8192 + id, empty);
  const auto list = guest.by_program({.max_passes = 1});
  EXPECT_EQ(list.consistency, Consistency::kTorn);
  EXPECT_GE(guest.runs, 3U);
  EXPECT_TRUE(std::ranges::none_of(list.notes, [](const auto& note) {
    return note.text.find("over budget") != std::string::npos;
  }));
}

}  // namespace
}  // namespace sevmon::tests
