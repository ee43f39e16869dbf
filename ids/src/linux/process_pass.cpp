// SPDX-License-Identifier: Apache-2.0
#include "linux/process_pass.hpp"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/hostile.hpp"
#include "linux/process_records.hpp"
#include "linux/task_ring.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;
using Kind = ProcessNote::Kind;

// Tasks that only the ring knows are found one link at a time; so many waves are spent on them.
constexpr unsigned kMaxRingWaves = 64;
// Of each: what is torn on purpose leaves room for what is hidden.
constexpr std::size_t kMaxTears = 256;
constexpr std::size_t kMaxHidden = 256;

/// One pass over one epoch.
class Pass {
 public:
  Pass(const Kernel& kernel, const ProcessLayouts& layouts, Memory& memory,
       const ProcessOptions& options)
      : layouts_{layouts},
        memory_{memory},
        options_{options},
        init_task_{kernel.relocate(layouts.init_task)},
        idr_{kernel.relocate(layouts.idr)} {}

  Result<ProcessPass> run() {
    if (auto done = options_.run_program ? run_program() : read_pages(); !done) return done.error();
    // There always is process 1. A topmost node that was freed since it was pointed to looks right
    // but for its entries (lib/radix-tree.c, radix_tree_node_rcu_free()): there is none.
    if (expected_pid_.empty()) tear_table(idr_, "the table of ids is empty");
    TaskRing ring{tasks_, init_task_};
    for (const auto& tear : ring.tears()) note(Kind::kTear, tear.address, tear.pid, tear.text);
    if (auto done = list_all(ring); !done) return done.error();
    return ProcessPass{std::move(list_), tears_ != 0};
  }

 private:
  PidType pid_type() const { return options_.threads ? PidType::kThread : PidType::kProcess; }

  Result<void> read_pages() {
    auto table = read_id_table(layouts_.ids, memory_, idr_, options_.max_tasks, options_.max_tasks);
    if (!table) return table.error();
    for (auto& tear : table->tears) tear_table(tear.address, std::move(tear.text));
    auto found = tasks_of(table->entries);
    if (!found) return found.error();
    found->push_back(init_task_);
    return load_all(std::move(*found));
  }

  /// All that has an id comes out of the program; only what the ring knows besides is read.
  Result<void> run_program() {
    auto found = read_process_records(options_.run_program, options_.max_tasks);
    if (!found) return found.error();
    list_.program = found->use;
    for (auto& tear : found->tears) tear_table(tear.address, std::move(tear.text));
    std::vector<Gva> loaded;
    for (const auto& record : found->records)
      if (take_record(record)) loaded.push_back({record.task});
    if (found->ring) {
      Task init;
      init.address = init_task_;
      init.next = found->ring->next;
      init.previous = found->ring->previous;
      tasks_.insert_or_assign(init_task_.value, std::move(init));
      loaded.push_back(init_task_);
    } else {
      unreadable_.insert(init_task_.value);
    }
    std::vector<Range> ranges;
    return load_all(neighbours(loaded, ranges));
  }

  /// Returns whether it is one of a task.
  bool take_record(const sevmon_process_record& record) {
    const Gva address{record.task};
    const auto id = static_cast<std::int32_t>(record.id);
    if ((record.unread & SEVMON_PROCESS_NO_ID) != 0) {
      note(Kind::kTear, address, id, "struct pid: it cannot be read");
      return false;
    }
    if ((record.unread & SEVMON_PROCESS_OTHER_ID) != 0)
      note(Kind::kTear, address, id,
           "another struct pid stands in the table as " + std::to_string(record.id));
    if (!expected_pid_.emplace(address.value, id).second) {
      note(Kind::kTear, address, id, "two ids lead to one task");
      return false;
    }
    if (!is_kernel_pointer(address.value) || (record.unread & SEVMON_PROCESS_NO_TASK) != 0) {
      unreadable_.insert(address.value);
      note(Kind::kTear, address, id, "task: it cannot be read");
      return false;
    }
    Task task = task_of(record);
    check_id(task);
    known_.emplace(address.value, record);
    tasks_.emplace(address.value, std::move(task));
    return true;
  }

  static Task task_of(const sevmon_process_record& record) {
    const std::string_view name{reinterpret_cast<const char*>(record.comm), sizeof(record.comm)};
    Task task;
    task.address = {record.task};
    task.pid = record.pid;
    task.tgid = record.tgid;
    task.state = state_letter(record.state, record.exit_state);
    task.start_ns = record.start_ns;
    task.name = name.substr(0, name.find('\0'));
    task.kernel_thread = is_kernel_thread(record.flags);
    task.next = {record.next};
    task.previous = {record.previous};
    return task;
  }

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
      if (wave > kMaxRingWaves && !wanted.empty()) {
        note(Kind::kTear, {}, 0, "the ring of tasks goes on and on beside the id table");
        wanted.clear();
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
      check_id(*task);
      tasks_.emplace(address.value, std::move(*task));
    }
    return {};
  }

  void check_id(const Task& task) {
    const auto expected = expected_pid_.find(task.address.value);
    if (expected != expected_pid_.end() && expected->second != task.pid)
      note(Kind::kTear, task.address, task.pid,
           "the task of id " + std::to_string(expected->second) + " says it is " +
               std::to_string(task.pid));
    // All that the table of processes leads to is one, whatever it says of itself.
    if (expected != expected_pid_.end() && !options_.threads && task.pid != task.tgid)
      note(Kind::kTear, task.address, task.pid,
           "the process " + std::to_string(task.pid) + " says it is a thread of " +
               std::to_string(task.tgid));
  }

  /// Unknown neighbours of the tasks `loaded`; their further needs go into `ranges`.
  std::vector<Gva> neighbours(const std::vector<Gva>& loaded, std::vector<Range>& ranges) {
    std::set<Gva> unknown;
    for (const Gva address : loaded) {
      const auto found = tasks_.find(address.value);
      if (found == tasks_.end()) continue;
      const Task& task = found->second;
      append_pointed(task, ranges);
      if (!is_in_a_ring(task)) continue;
      // A task that was taken out of the ring leads nowhere; TaskRing says when one in it does.
      for (const Gva other : {task.next, task.previous})
        if (is_kernel_pointer(other.value) && !tasks_.contains(other.value) &&
            !unreadable_.contains(other.value))
          unknown.insert(other);
    }
    if (tasks_.size() + unknown.size() > options_.max_tasks) {
      note(Kind::kTear, {}, 0, "over " + std::to_string(options_.max_tasks) + " tasks");
      return {};
    }
    const auto room = options_.max_strays - strays_;
    if (unknown.size() > room) {
      note(Kind::kTear, {}, 0,
           "over " + std::to_string(options_.max_strays) + " tasks that no id leads to");
      unknown.erase(std::next(unknown.begin(), room), unknown.end());
    }
    strays_ += static_cast<std::uint32_t>(unknown.size());
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

  /// Threads are in none. Only where threads are listed is it believed that a task is one.
  bool is_in_a_ring(const Task& task) const { return !options_.threads || task.pid == task.tgid; }

  Result<void> list_all(TaskRing& ring) {
    std::set<std::int32_t> ids;
    for (const auto& [task, id] : expected_pid_) ids.insert(id);
    std::vector<const Task*> unknown;
    for (const auto& [address, task] : tasks_) {
      if (address == init_task_.value) continue;  // pid 0, the idle task: no process
      auto process = describe(task);
      if (!process) return process.error();
      process->in_pids = expected_pid_.contains(address);
      process->in_tasks = ring.contains(task.address);
      if (process->in_pids && is_in_a_ring(task)) {
        const auto place = ring.place(task);
        if (place == TaskRing::Place::kOut)
          note(Kind::kHiddenFromTasks, task.address, task.pid,
               '"' + escape(task.name) + "\" has an id but is not in the ring of tasks");
        if (place == TaskRing::Place::kUnknown) unknown.push_back(&task);
      }
      if (!process->in_pids && is_table_whole_) note_without_id(task, ids);
      list_.processes.push_back(std::move(*process));
    }
    if (!unknown.empty()) note_unknown(unknown);
    std::ranges::sort(list_.processes, [](const Process& a, const Process& b) {
      return std::pair{a.pid, a.task} < std::pair{b.pid, b.task};
    });
    return {};
  }

  /// A task begins as a copy of its parent (kernel/fork.c, dup_task_struct()), id and all: again
  /// and again in the same memory where many do.
  void note_without_id(const Task& task, const std::set<std::int32_t>& ids) {
    const auto text = '"' + escape(task.name) + "\" is in the ring of tasks but has no id";
    if (ids.contains(task.pid))
      note(Kind::kTear, task.address, task.pid, text + " of its own: it may be about to begin");
    else
      note(Kind::kHiddenFromPids, task.address, task.pid, text);
  }

  /// One tear for all of them: a ring that is torn at its beginning leads to none.
  void note_unknown(const std::vector<const Task*>& tasks) {
    const Task& first = **std::ranges::min_element(tasks, {}, &Task::pid);
    note(Kind::kTear, first.address, first.pid,
         std::to_string(tasks.size()) + " processes, \"" + escape(first.name) +
             "\" the first, are not in the ring of tasks as far as it can be followed");
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
    const auto known = known_.find(task.address.value);
    const auto done =
        known == known_.end() ? read_behind(task, process) : take_behind(known->second, process);
    if (!done) return done.error();
    return process;
  }

  /// What the program found behind the task's pointers.
  Result<void> take_behind(const sevmon_process_record& record, Process& process) {
    const auto has = [&](std::uint32_t missing, const char* what) {
      if ((record.unread & missing) == 0) return true;
      note(Kind::kTear, process.task, process.pid, std::string{what} + ": cannot be read");
      return false;
    };
    if (has(SEVMON_PROCESS_NO_CRED, "credentials")) {
      process.uid = record.uid;
      process.euid = record.euid;
    }
    if (layouts_.task.threads_range({}) && has(SEVMON_PROCESS_NO_THREADS, "signal_struct"))
      process.threads = record.threads;
    if (has(SEVMON_PROCESS_NO_PARENT, "parent")) process.ppid = record.ppid;
    return {};
  }

  /// The same, by pages.
  Result<void> read_behind(const Task& task, Process& process) {
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
    return {};
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
    const bool is_tear = kind == Kind::kTear;
    auto& count = is_tear ? tears_ : hidden_;
    if (count++ < (is_tear ? kMaxTears : kMaxHidden))
      list_.notes.push_back({kind, address, pid, std::move(text)});
  }

  /// Of some ids nothing is known.
  void tear_table(Gva address, std::string text) {
    is_table_whole_ = false;
    note(Kind::kTear, address, 0, std::move(text));
  }

  const ProcessLayouts& layouts_;
  Memory& memory_;
  const ProcessOptions& options_;
  const Gva init_task_;
  const Gva idr_;
  std::unordered_map<std::uint64_t, std::int32_t> expected_pid_;  // by task
  TaskRing::Tasks tasks_;
  std::unordered_map<std::uint64_t, sevmon_process_record> known_;  // by task; from a program
  std::set<std::uint64_t> unreadable_;
  ProcessList list_;
  std::size_t tears_ = 0, hidden_ = 0;
  bool is_table_whole_ = true;
  std::uint32_t strays_ = 0;  // tasks to which no id leads, read so far
};

}  // namespace

Result<ProcessLayouts> ProcessLayouts::resolve(const KernelInfo& info) {
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
  return ProcessLayouts{*ids, std::move(*task), *pid_namespace + idr->offset_bytes, *init_task};
}

Result<ProcessPass> run_process_pass(const Kernel& kernel, const ProcessLayouts& layouts,
                                     Memory& memory, const ProcessOptions& options) {
  return Pass{kernel, layouts, memory, options}.run();
}

}  // namespace sevmon::ids
