// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/kernel_info.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

// struct task_struct and what hangs on it, as far as a process list needs it.
namespace sevmon::ids {

/// Which of struct pid's lists leads to the tasks.
enum class PidType : std::uint8_t { kThread, kProcess };

struct Task {
  common::Gva address{};
  std::int32_t pid = 0;
  std::int32_t tgid = 0;
  char state = '?';
  std::uint64_t start_ns = 0;
  std::string name;
  bool kernel_thread = false;
  common::Gva next{};  // tasks in the ring of all processes
  common::Gva previous{};
  common::Gva parent{};
  common::Gva cred{};
  common::Gva signal{};
};

class TaskLayout {
 public:
  /// @return kNotFound naming the first type or member that the profile lacks.
  static common::Result<TaskLayout> resolve(const KernelInfo& info);

  /// What read_task() will read: for one wave over many tasks.
  void append_ranges(common::Gva task, std::vector<Range>& ranges) const;
  /// @return kNotMapped; errors of the channel. Pointers in it are as found: check before use.
  common::Result<Task> read_task(Memory& memory, common::Gva task) const;

  /// Likewise for the number of a struct pid in the initial namespace and its first task.
  void append_pid_ranges(common::Gva pid, PidType type, std::vector<Range>& ranges) const;
  struct PidRecord {
    std::int32_t number = 0;
    std::optional<common::Gva> task;  // none: the list is empty
  };
  common::Result<PidRecord> read_pid(Memory& memory, common::Gva pid, PidType type) const;

  Range uid_range(common::Gva cred) const { return {cred + uid_.offset_bytes, 4}; }
  Range euid_range(common::Gva cred) const { return {cred + euid_.offset_bytes, 4}; }
  Range tgid_range(common::Gva task) const { return {task + tgid_.offset_bytes, 4}; }
  std::optional<Range> threads_range(common::Gva signal) const;

 private:
  std::uint32_t pid_type_index(PidType type) const;

  Member state_, exit_state_, flags_, pid_, tgid_, parent_, tasks_, comm_, start_, cred_, signal_;
  Member uid_, euid_, list_next_, list_previous_;
  Member pid_tasks_, pid_numbers_, pid_number_;
  std::optional<Member> threads_;
  std::uint32_t process_index_ = 0;
  std::uint32_t links_offset_ = 0;  // of the hlist_node in the task for PIDTYPE_PID
  std::uint32_t links_stride_ = 0;
  std::vector<Range> spans_;  // of all that read_task() needs; addresses are offsets
};

/// `flags`: the member's value.
bool is_kernel_thread(std::uint64_t flags);

/// As fs/proc/array.c: get_task_state(). `state` and `exit_state` are the members' values.
char state_letter(std::uint64_t state, std::uint64_t exit_state);

}  // namespace sevmon::ids
