// SPDX-License-Identifier: Apache-2.0
#include "linux/task.hpp"

#include <bit>
#include <string_view>

#include "linux/fields.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

// Macros of include/linux/sched.h, so neither BTF nor kallsyms has them. The report bits have been
// these since v4.14; later states took bits that were free before.
constexpr std::uint64_t kUninterruptible = 0x2;
constexpr std::uint64_t kReport = 0x7f;
constexpr std::uint64_t kReportIdle = 0x80;
constexpr std::uint64_t kNoLoad = 0x400;
constexpr std::uint64_t kIdle = kUninterruptible | kNoLoad;
constexpr std::uint64_t kRtLockWait = 0x1000;            // v5.16
constexpr std::uint64_t kFrozen = 0x8000;                // v6.1
constexpr std::uint64_t kFlagKernelThread = 0x00200000;  // PF_KTHREAD
constexpr std::string_view kLetters = "RSDTtXZPI";

constexpr std::uint32_t kMaxMemberBytes = 64;  // of the members that are read whole

}  // namespace

bool is_kernel_thread(std::uint64_t flags) {
  return (flags & kFlagKernelThread) != 0;
}

char state_letter(std::uint64_t state, std::uint64_t exit_state) {
  std::uint64_t report = (state | exit_state) & kReport;
  if ((state & kIdle) == kIdle) report = kReportIdle;
  if ((state & (kRtLockWait | kFrozen)) != 0) report = kUninterruptible;
  return kLetters[static_cast<std::size_t>(std::bit_width(report))];
}

Result<TaskLayout> TaskLayout::resolve(const KernelInfo& info) {
  MemberResolver member{info};
  TaskLayout layout;
  // "state" was renamed by Linux commit 2f064a59a11f ("sched: Change task_struct::state") (in
  // v5.14), "real_start_time" by cf25e24db61c ("time: Rename tsk->real_start_time to
  // ->start_boottime") (in v5.5).
  layout.state_ = member("task_struct", {"__state", "state"});
  layout.exit_state_ = member("task_struct", {"exit_state"});
  layout.flags_ = member("task_struct", {"flags"});
  layout.pid_ = member("task_struct", {"pid"});
  layout.tgid_ = member("task_struct", {"tgid"});
  layout.parent_ = member("task_struct", {"real_parent"});
  layout.tasks_ = member("task_struct", {"tasks"});
  layout.comm_ = member("task_struct", {"comm"});
  layout.start_ = member("task_struct", {"start_boottime", "real_start_time"});
  // The task's own identity; `cred` may be another's for a while.
  layout.cred_ = member("task_struct", {"real_cred", "cred"});
  layout.signal_ = member("task_struct", {"signal"});
  layout.uid_ = member("cred", {"uid"});
  layout.euid_ = member("cred", {"euid"});
  layout.list_next_ = member("list_head", {"next"});
  layout.list_previous_ = member("list_head", {"prev"});
  layout.pid_tasks_ = member("pid", {"tasks"});
  layout.pid_numbers_ = member("pid", {"numbers"});
  layout.pid_number_ = member("upid", {"nr"});
  if (info.has_member("signal_struct", "nr_threads"))
    layout.threads_ = member("signal_struct", {"nr_threads"});

  // Linux commit 2c4704756cab ("pids: Move the pgrp and session pid pointers from task_struct to
  // signal_struct") (in v4.19) made pids[].node pid_links[].
  const char* link_type = info.has_member("task_struct", "pid_links") ? "hlist_node" : "pid_link";
  layout.links_offset_ = member("task_struct", {"pid_links", "pids"}).offset_bytes;
  if (link_type == std::string_view{"pid_link"})
    layout.links_offset_ += member("pid_link", {"node"}).offset_bytes;
  if (member.error()) return *member.error();
  const auto stride = info.size_of(link_type);
  if (!stride) return stride.error();
  layout.links_stride_ = *stride;
  const auto process = info.enumerator("PIDTYPE_TGID");
  if (!process) return process.error();
  layout.process_index_ = static_cast<std::uint32_t>(*process);
  if (layout.comm_.size_bytes > kMaxMemberBytes ||
      (*process + 1) * 8 > layout.pid_tasks_.size_bytes)
    return Error{ErrorCode::kUnsupported,
                 "struct task_struct or pid of " + info.release() + " is unlike any"};

  for (const auto& field :
       {layout.state_, layout.exit_state_, layout.flags_, layout.pid_, layout.tgid_, layout.parent_,
        layout.tasks_, layout.comm_, layout.start_, layout.cred_, layout.signal_})
    layout.spans_.push_back({{field.offset_bytes}, field.size_bytes});
  layout.spans_ = coalesce(std::move(layout.spans_));
  return layout;
}

void TaskLayout::append_ranges(Gva task, std::vector<Range>& ranges) const {
  for (const auto& span : spans_) ranges.push_back({task + span.address.value, span.bytes});
}

Result<Task> TaskLayout::read_task(Memory& memory, Gva address) const {
  FieldReader read{memory, address};
  Task task;
  task.address = address;
  task.pid = read.id(pid_);
  task.tgid = read.id(tgid_);
  task.state = state_letter(read.number(state_), read.number(exit_state_));
  task.start_ns = read.number(start_);
  task.name = read.text(comm_);
  task.kernel_thread = is_kernel_thread(read.number(flags_));
  task.next = read.pointer(tasks_, list_next_.offset_bytes) - tasks_.offset_bytes;
  task.previous = read.pointer(tasks_, list_previous_.offset_bytes) - tasks_.offset_bytes;
  task.parent = read.pointer(parent_);
  task.cred = read.pointer(cred_);
  task.signal = read.pointer(signal_);
  if (read.error()) return *read.error();
  return task;
}

std::uint32_t TaskLayout::pid_type_index(PidType type) const {
  return type == PidType::kProcess ? process_index_ : 0;  // PIDTYPE_PID is the enum's first
}

void TaskLayout::append_pid_ranges(Gva pid, PidType type, std::vector<Range>& ranges) const {
  ranges.push_back({pid + pid_tasks_.offset_bytes + 8 * pid_type_index(type), 8});
  ranges.push_back({pid + pid_numbers_.offset_bytes + pid_number_.offset_bytes, 4});
}

Result<TaskLayout::PidRecord> TaskLayout::read_pid(Memory& memory, Gva pid, PidType type) const {
  FieldReader read{memory, pid};
  Member number = pid_number_;
  number.offset_bytes += pid_numbers_.offset_bytes;  // [0]: the initial namespace's
  PidRecord record;
  record.number = read.id(number);
  const auto index = pid_type_index(type);
  const Gva link = read.pointer(pid_tasks_, 8 * index);
  if (read.error()) return *read.error();
  if (link.value != 0) record.task = link - links_offset_ - links_stride_ * index;
  return record;
}

std::optional<Range> TaskLayout::threads_range(Gva signal) const {
  if (!threads_) return std::nullopt;
  return Range{signal + threads_->offset_bytes, 4};
}

}  // namespace sevmon::ids
