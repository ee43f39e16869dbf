// SPDX-License-Identifier: Apache-2.0
#include <sevmon/processes.hpp>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/clock.hpp"
#include "linux/hostile.hpp"
#include "linux/id_table.hpp"
#include "linux/task.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;
using Kind = ProcessNote::Kind;

// Tasks that only the ring knows are found one link at a time; so many waves are spent on them.
constexpr unsigned kMaxRingWaves = 64;
constexpr std::size_t kMaxNotes = 256;

struct Layouts {
  IdTableLayout ids;
  TaskLayout task;
  Gva idr{};        // of init_pid_ns, as linked
  Gva init_task{};  // as linked

  static Result<Layouts> resolve(const KernelInfo& info) {
    auto ids = IdTableLayout::resolve(info);
    if (!ids) return ids.error();
    auto task = TaskLayout::resolve(info);
    if (!task) return task.error();
    const auto pid_namespace = info.symbol("init_pid_ns");
    if (!pid_namespace) return pid_namespace.error();
    const auto idr = info.member("pid_namespace", "idr");
    if (!idr) return idr.error();
    const auto init_task = info.symbol("init_task");
    if (!init_task) return init_task.error();
    return Layouts{*ids, std::move(*task), *pid_namespace + idr->offset_bytes, *init_task};
  }
};

/// One pass over one epoch.
class Pass {
 public:
  Pass(const Kernel& kernel, const Layouts& layouts, Memory& memory, const ProcessOptions& options)
      : layouts_{layouts},
        memory_{memory},
        options_{options},
        init_task_{kernel.relocate(layouts.init_task)},
        idr_{kernel.relocate(layouts.idr)} {}

  Result<ProcessList> run() {
    auto table = read_id_table(layouts_.ids, memory_, idr_, options_.max_tasks, options_.max_tasks);
    if (!table) return table.error();
    for (auto& tear : table->tears) note(Kind::kTear, tear.address, 0, std::move(tear.text));
    auto found = tasks_of(table->entries);
    if (!found) return found.error();
    found->push_back(init_task_);
    if (auto done = load_all(std::move(*found)); !done) return done.error();
    walk_ring();
    if (auto done = list_all(); !done) return done.error();
    return std::move(list_);
  }

  bool torn() const { return torn_; }

 private:
  PidType pid_type() const { return options_.threads ? PidType::kThread : PidType::kProcess; }

  /// The tasks behind the struct pids; remembers which pid each must have.
  Result<std::vector<Gva>> tasks_of(const std::vector<IdEntry>& entries) {
    std::vector<Range> ranges;
    for (const auto& entry : entries)
      layouts_.task.append_pid_ranges(entry.object, pid_type(), ranges);
    if (auto fetched = memory_.fetch(ranges); !fetched) return fetched.error();
    std::vector<Gva> tasks;
    for (const auto& entry : entries) {
      const auto record = layouts_.task.read_pid(memory_, entry.object, pid_type());
      if (!record && !is_about_data(record.error())) return record.error();
      if (!record) {
        note(Kind::kTear, entry.object, 0, "struct pid: " + record.error().detail);
        continue;
      }
      if (record->number < 0 || static_cast<std::uint64_t>(record->number) != entry.id)
        note(Kind::kTear, entry.object, record->number,
             "struct pid " + std::to_string(record->number) + " stands in the table as " +
                 std::to_string(entry.id));
      // Ids live on while they name a group or session whose first process has gone.
      if (!record->task) continue;
      if (!expected_pid_.emplace(record->task->value, record->number).second)
        note(Kind::kTear, *record->task, record->number, "two ids lead to one task");
      else
        tasks.push_back(*record->task);
    }
    return tasks;
  }

  /// Load `wanted` and, wave by wave, ring neighbours that the id table did not lead to. What the
  /// tasks of one wave point to (credentials, parents) travels with the next.
  Result<void> load_all(std::vector<Gva> wanted) {
    std::vector<Range> ranges;
    for (unsigned wave = 0; !wanted.empty() || !ranges.empty(); ++wave) {
      if (wave > kMaxRingWaves) {
        note(Kind::kTear, {}, 0, "the ring of tasks goes on and on beside the id table");
        return {};
      }
      for (const Gva task : wanted)
        if (is_kernel_pointer(task.value)) layouts_.task.append_ranges(task, ranges);
      if (auto fetched = memory_.fetch(ranges); !fetched) return fetched.error();
      ranges.clear();
      if (auto loaded = load(wanted); !loaded) return loaded.error();
      wanted = neighbours(wanted, ranges);
    }
    return {};
  }

  Result<void> load(const std::vector<Gva>& wanted) {
    for (const Gva address : wanted) {
      if (!is_kernel_pointer(address.value)) {
        unreadable_.insert(address.value);
        note(Kind::kTear, address, 0, "a pointer to a task that can be none");
        continue;
      }
      auto task = layouts_.task.read_task(memory_, address);
      if (!task && !is_about_data(task.error())) return task.error();
      if (!task) {
        unreadable_.insert(address.value);
        note(Kind::kTear, address, 0, "task: " + task.error().detail);
        continue;
      }
      const auto expected = expected_pid_.find(address.value);
      if (expected != expected_pid_.end() && expected->second != task->pid)
        note(Kind::kTear, address, task->pid,
             "the task of id " + std::to_string(expected->second) + " says it is " +
                 std::to_string(task->pid));
      tasks_.emplace(address.value, std::move(*task));
    }
    return {};
  }

  /// Unknown neighbours of the tasks `loaded`; their further needs go into `ranges`.
  std::vector<Gva> neighbours(const std::vector<Gva>& loaded, std::vector<Range>& ranges) {
    std::set<Gva> unknown;
    for (const Gva address : loaded) {
      const auto found = tasks_.find(address.value);
      if (found == tasks_.end()) continue;
      const Task& task = found->second;
      append_pointed(task, ranges);
      if (task.pid != task.tgid) continue;  // threads are not in the ring
      for (const Gva other : {task.next, task.previous})
        if (!tasks_.contains(other.value) && !unreadable_.contains(other.value))
          unknown.insert(other);
    }
    if (tasks_.size() + unknown.size() > options_.max_tasks) {
      note(Kind::kTear, {}, 0, "over " + std::to_string(options_.max_tasks) + " tasks");
      return {};
    }
    return {unknown.begin(), unknown.end()};
  }

  void append_pointed(const Task& task, std::vector<Range>& ranges) const {
    if (is_kernel_pointer(task.cred.value)) {
      ranges.push_back(layouts_.task.uid_range(task.cred));
      ranges.push_back(layouts_.task.euid_range(task.cred));
    }
    if (is_kernel_pointer(task.signal.value))
      if (const auto threads = layouts_.task.threads_range(task.signal)) ranges.push_back(*threads);
    // A parent may be any thread; mostly it is a process that is known anyway.
    if (!tasks_.contains(task.parent.value) && is_kernel_pointer(task.parent.value))
      ranges.push_back(layouts_.task.tgid_range(task.parent));
  }

  /// Once around, both ways at once: every next must point back.
  void walk_ring() {
    Gva at = init_task_;
    do {
      const auto found = tasks_.find(at.value);
      if (found == tasks_.end())
        return note(Kind::kTear, at, 0, "the ring of tasks leads to what could not be read");
      ring_.insert(at.value);
      const Gva next = found->second.next;
      const auto after = tasks_.find(next.value);
      if (after != tasks_.end() && after->second.previous != at)
        note(Kind::kTear, next, after->second.pid, "in the ring of tasks next and prev disagree");
      at = next;
    } while (!ring_.contains(at.value));
    if (at != init_task_)
      note(Kind::kTear, at, 0, "the ring of tasks runs into itself without its head");
  }

  Result<void> list_all() {
    for (const auto& [address, task] : tasks_) {
      if (address == init_task_.value) continue;  // pid 0, the idle task: no process
      auto process = describe(task);
      if (!process) return process.error();
      process->in_pids = expected_pid_.contains(address);
      process->in_tasks = ring_.contains(address);
      const bool is_leader = task.pid == task.tgid;
      if (is_leader && process->in_pids && !process->in_tasks)
        note(Kind::kHiddenFromTasks, {address}, task.pid,
             '"' + escape(task.name) + "\" has an id but is not in the ring of tasks");
      if (!process->in_pids)
        note(Kind::kHiddenFromPids, {address}, task.pid,
             '"' + escape(task.name) + "\" is in the ring of tasks but has no id");
      list_.processes.push_back(std::move(*process));
    }
    std::ranges::sort(list_.processes, [](const Process& a, const Process& b) {
      return std::pair{a.pid, a.task} < std::pair{b.pid, b.task};
    });
    return {};
  }

  Result<Process> describe(const Task& task) {
    Process process{.task = task.address,
                    .pid = task.pid,
                    .tgid = task.tgid,
                    .ppid = 0,
                    .uid = {},
                    .euid = {},
                    .state = task.state,
                    .start_ns = task.start_ns,
                    .name = task.name,
                    .threads = {},
                    .kernel_thread = task.kernel_thread};
    const auto uid = read_id(layouts_.task.uid_range(task.cred), task, "credentials");
    if (!uid) return uid.error();
    process.uid = *uid;
    const auto euid = read_id(layouts_.task.euid_range(task.cred), task, "credentials");
    if (!euid) return euid.error();
    process.euid = *euid;
    if (const auto range = layouts_.task.threads_range(task.signal)) {
      const auto threads = read_id(*range, task, "signal_struct");
      if (!threads) return threads.error();
      process.threads = *threads;
    }
    const auto parent = tasks_.find(task.parent.value);
    if (parent != tasks_.end()) {
      process.ppid = parent->second.tgid;
    } else {
      const auto tgid = read_id(layouts_.task.tgid_range(task.parent), task, "parent");
      if (!tgid) return tgid.error();
      process.ppid = static_cast<std::int32_t>(tgid->value_or(0));
    }
    return process;
  }

  /// Four bytes behind one of `task`'s pointers; none, and a note, when they cannot be read.
  Result<std::optional<std::uint32_t>> read_id(const Range& range, const Task& task,
                                               const char* what) {
    if (!is_kernel_address(range.address.value)) {
      note(Kind::kTear, task.address, task.pid, std::string{what} + ": no kernel pointer");
      return {std::nullopt};
    }
    const auto value = memory_.read_uint(range.address, range.bytes);
    if (value) return {static_cast<std::uint32_t>(*value)};
    if (!is_about_data(value.error())) return value.error();
    note(Kind::kTear, task.address, task.pid, std::string{what} + ": " + value.error().detail);
    return {std::nullopt};
  }

  void note(Kind kind, Gva address, std::int32_t pid, std::string text) {
    torn_ = torn_ || kind == Kind::kTear;
    if (list_.notes.size() < kMaxNotes)
      list_.notes.push_back({kind, address, pid, std::move(text)});
  }

  const Layouts& layouts_;
  Memory& memory_;
  const ProcessOptions& options_;
  const Gva init_task_;
  const Gva idr_;
  std::unordered_map<std::uint64_t, std::int32_t> expected_pid_;  // by task
  std::unordered_map<std::uint64_t, Task> tasks_;
  std::set<std::uint64_t> unreadable_;
  std::set<std::uint64_t> ring_;
  ProcessList list_;
  bool torn_ = false;
};

using Hidden = std::set<std::pair<Kind, Gva>>;

Hidden hidden_of(const ProcessList& list) {
  Hidden hidden;
  for (const auto& note : list.notes)
    if (note.kind != Kind::kTear) hidden.emplace(note.kind, note.address);
  return hidden;
}

}  // namespace

std::string_view name(Consistency consistency) {
  switch (consistency) {
    case Consistency::kConsistent:
      return "consistent";
    case Consistency::kRetried:
      return "retried";
    case Consistency::kTorn:
      return "torn";
  }
  return "torn";
}

std::vector<Range> first_process_ranges(const KernelInfo& info) {
  std::vector<Range> ranges = clock_ranges(info);
  if (const auto layouts = Layouts::resolve(info)) {
    ranges.push_back({layouts->idr + layouts->ids.head_offset, 8});
    layouts->task.append_ranges(layouts->init_task, ranges);
  }
  return ranges;
}

Result<ProcessList> list_processes(Kernel& kernel, const ProcessOptions& options) {
  const auto layouts = Layouts::resolve(kernel.info());
  if (!layouts) return layouts.error();
  Hidden before;
  for (unsigned passes = 1;; ++passes) {
    const auto memory = kernel.next_epoch();
    Pass pass{kernel, *layouts, *memory, options};
    auto list = pass.run();
    if (!list) return list.error();
    list->passes = passes;
    list->boot_unix_ns = read_boot_time(kernel, *memory);

    // A process that comes or goes during a pass is seen by one way and not by the other; one that
    // two passes see so is hidden. What is torn is never believed.
    const Hidden hidden = hidden_of(*list);
    const bool stable = hidden.empty() || hidden == before;
    if (!pass.torn() && stable) {
      list->consistency = passes == 1 ? Consistency::kConsistent : Consistency::kRetried;
      return list;
    }
    if (passes >= options.max_passes) {
      list->consistency = Consistency::kTorn;
      std::erase_if(list->notes, [&](const ProcessNote& note) {
        return note.kind != Kind::kTear && !before.contains({note.kind, note.address});
      });
      return list;
    }
    before = hidden;
  }
}

}  // namespace sevmon::ids
