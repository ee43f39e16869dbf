// SPDX-License-Identifier: Apache-2.0
// The program ids/programs/processes.bpf.c, linked for made-up kernels and run by the agent's own
// interpreter over a task list that the test builds.
#include <gtest/gtest.h>

#include <vector>

#include "processes.h"
#include "program_support.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kInitTask = 0xffffffff82a10000;
constexpr std::uint64_t kHeap = 0xffff888000100000;

/// Offsets in kernel_new.c and kernel_old.c, by hand: what the relocation has to find.
struct Layout {
  std::uint64_t state, tasks, exit_state, pid, tgid, parent, start, cred, comm, signal, flags;
  unsigned state_bytes;
};
constexpr Layout kNew{16, 40, 56, 60, 64, 72, 80, 88, 96, 112, 32, 4};
constexpr Layout kOld{48, 72, 88, 92, 96, 104, 112, 120, 128, 144, 64, 8};

struct TaskList {
  const Layout& at;
  ImageRun& run;
  std::vector<std::uint64_t> tasks{kInitTask};

  void add(int pid, const char* comm) {
    const std::uint64_t task = kHeap + tasks.size() * 0x1000;
    tasks.push_back(task);
    const std::uint64_t cred = task + 0x800, signal = task + 0x900;
    if (at.state_bytes == 4)
      run.put(task + at.state, std::uint32_t{1});
    else
      run.put(task + at.state, std::uint64_t{1});
    run.put(task + at.exit_state, std::uint32_t{0});
    run.put(task + at.flags, 0x00400000u + static_cast<unsigned>(pid));
    run.put(task + at.pid, pid);
    run.put(task + at.tgid, pid);
    run.put(task + at.parent, tasks[tasks.size() > 2 ? 1 : 0]);
    run.put(task + at.start, std::uint64_t{1'000'000'000} * static_cast<unsigned>(pid));
    run.put(task + at.cred, cred);
    run.put(task + at.signal, signal);
    char name[16] = {};
    std::strncpy(name, comm, sizeof name - 1);
    run.put(task + at.comm, name);
    run.put(cred + 8, 1000u + static_cast<unsigned>(pid));   // uid
    run.put(cred + 12, 2000u + static_cast<unsigned>(pid));  // gid
    run.put(cred + 24, 3000u + static_cast<unsigned>(pid));  // euid
    run.put(signal + 12, 2);
  }

  void close() {
    run.put(kInitTask + at.tgid, 0);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const auto next = tasks[(i + 1) % tasks.size()];
      run.put(tasks[i] + at.tasks, next + at.tasks);
      run.put(next + at.tasks + 8, tasks[i] + at.tasks);
    }
  }
};

ids::ProgramImage image_for(const std::string& kernel) {
  FakeTarget target{kernel};
  target.symbols = {{"init_task", kInitTask}};
  const auto object = ids::ProgramObject::load(std::string{SEVMON_PROGRAMS} + "/processes.bpf.o");
  EXPECT_TRUE(object) << object.error().message();
  auto image = object->link(target.target());
  EXPECT_TRUE(image) << image.error().message();
  return image ? *image : ids::ProgramImage{};
}

sevmon_processes_trailer trailer_of(const ImageRun& run) {
  return run.result_at<sevmon_processes_trailer>(run.result.size() -
                                                 sizeof(sevmon_processes_trailer));
}

std::vector<std::uint8_t> from(std::uint64_t task) {
  std::vector<std::uint8_t> input(sizeof task);
  std::memcpy(input.data(), &task, sizeof task);
  return input;
}

class Processes : public testing::TestWithParam<std::string> {
 protected:
  const Layout& layout() const { return GetParam() == "new" ? kNew : kOld; }
  ids::ProgramImage image_ = image_for(GetParam());
};

TEST_P(Processes, AreListedWithEverything) {
  ImageRun run{image_};
  TaskList list{layout(), run};
  list.add(1, "init");
  list.add(7, "a name of 15 ch");
  list.close();
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.r0, 2u);
  ASSERT_EQ(run.result.size(),
            2 * sizeof(sevmon_process_record) + sizeof(sevmon_processes_trailer));
  const auto record = run.result_at<sevmon_process_record>(sizeof(sevmon_process_record));
  EXPECT_EQ(record.task, list.tasks[2]);
  EXPECT_EQ(record.next, kInitTask);
  EXPECT_EQ(record.previous, list.tasks[1]);
  EXPECT_EQ(record.start_ns, 7'000'000'000u);
  EXPECT_EQ(record.state, 1u);
  EXPECT_EQ(record.pid, 7);
  EXPECT_EQ(record.tgid, 7);
  EXPECT_EQ(record.ppid, 1);
  EXPECT_EQ(record.uid, 1007u);
  EXPECT_EQ(record.gid, 2007u);
  EXPECT_EQ(record.euid, 3007u);
  EXPECT_EQ(record.flags, 0x00400007u);
  EXPECT_EQ(record.threads, 2u);
  EXPECT_EQ(record.unread, 0u);
  EXPECT_STREQ(reinterpret_cast<const char*>(record.comm), "a name of 15 ch");
  const auto trailer = trailer_of(run);
  EXPECT_EQ(trailer.end, std::uint32_t{SEVMON_PROCESSES_DONE});
  EXPECT_EQ(trailer.records, 2u);
  EXPECT_EQ(trailer.next, 0u);
}

TEST_P(Processes, GoOnWhereSpaceEnded) {
  std::vector<std::int32_t> pids;
  std::uint64_t next = 0;
  for (unsigned round = 0; round < 5; ++round) {
    ImageRun run{image_, from(next)};
    run.capacity = 2 * sizeof(sevmon_process_record) + sizeof(sevmon_processes_trailer);
    TaskList list{layout(), run};
    for (int pid = 1; pid <= 5; ++pid) list.add(pid, "x");
    list.close();
    ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
    for (std::size_t i = 0; i < run.r0; ++i)
      pids.push_back(run.result_at<sevmon_process_record>(i * sizeof(sevmon_process_record)).pid);
    const auto trailer = trailer_of(run);
    next = trailer.next;
    if (trailer.end == SEVMON_PROCESSES_DONE) break;
    EXPECT_EQ(trailer.end, std::uint32_t{SEVMON_PROCESSES_NO_SPACE});
    EXPECT_EQ(run.r0, 2u);
  }
  EXPECT_EQ(pids, (std::vector<std::int32_t>{1, 2, 3, 4, 5}));
}

TEST_P(Processes, WithoutSpaceForATrailerTheLastRecordSaysWhere) {
  ImageRun run{image_};
  run.capacity = 2 * sizeof(sevmon_process_record) + sizeof(sevmon_processes_trailer) - 1;
  TaskList list{layout(), run};
  for (int pid = 1; pid <= 5; ++pid) list.add(pid, "x");
  list.close();
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.r0, 2u);
  ASSERT_EQ(run.result.size(), 2 * sizeof(sevmon_process_record));
  EXPECT_EQ(run.result_at<sevmon_process_record>(sizeof(sevmon_process_record)).next,
            list.tasks[3]);
}

TEST_P(Processes, SayWhereTheListCannotBeRead) {
  ImageRun run{image_};
  TaskList list{layout(), run};
  list.add(1, "init");
  list.close();
  const std::uint64_t nowhere = 0xffff88800dead000;
  run.put(list.tasks[1] + layout().tasks, nowhere + layout().tasks);
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.r0, 1u);
  const auto trailer = trailer_of(run);
  EXPECT_EQ(trailer.end, std::uint32_t{SEVMON_PROCESSES_UNREADABLE});
  EXPECT_EQ(trailer.address, nowhere);
  EXPECT_EQ(trailer.status, SEVMON_STATUS_NOT_MAPPED);
}

TEST_P(Processes, SayWhatBehindATaskCannotBeRead) {
  ImageRun run{image_};
  TaskList list{layout(), run};
  list.add(1, "init");
  list.close();
  const std::uint64_t task = list.tasks[1];
  run.put(task + layout().cred, std::uint64_t{0x1000});
  run.put(task + layout().parent, std::uint64_t{0});
  run.put(task + layout().signal, std::uint64_t{0});
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  const auto record = run.result_at<sevmon_process_record>(0);
  EXPECT_EQ(record.unread,
            SEVMON_PROCESS_NO_PARENT | SEVMON_PROCESS_NO_CRED | SEVMON_PROCESS_NO_THREADS);
  EXPECT_EQ(record.uid, 0u);
  EXPECT_EQ(record.pid, 1);
  EXPECT_EQ(trailer_of(run).end, std::uint32_t{SEVMON_PROCESSES_DONE});
}

TEST_P(Processes, EndWhenTheListIsARingWithoutItsHead) {
  ImageRun run{image_};
  run.capacity = std::size_t{SEVMON_PROCESSES_MAX + 1} * sizeof(sevmon_process_record);
  TaskList list{layout(), run};
  list.add(1, "init");
  list.add(2, "loop");
  list.close();
  run.put(list.tasks[2] + layout().tasks, list.tasks[1] + layout().tasks);
  ASSERT_EQ(run.run(100'000'000), std::uint32_t{SEVMON_RUN_DONE});
  const auto trailer = trailer_of(run);
  EXPECT_EQ(trailer.end, std::uint32_t{SEVMON_PROCESSES_TOO_MANY});
  EXPECT_EQ(trailer.records, std::uint32_t{SEVMON_PROCESSES_MAX});
}

TEST_P(Processes, SayThatNotEvenTheHeadCanBeRead) {
  ImageRun run{image_};
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.r0, 0u);
  const auto trailer = trailer_of(run);
  EXPECT_EQ(trailer.end, std::uint32_t{SEVMON_PROCESSES_UNREADABLE});
  EXPECT_EQ(trailer.address, kInitTask);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Processes, testing::Values("new", "old"));

}  // namespace
}  // namespace sevmon::tests
