// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

struct Process {
  common::Gva task{};  // its task_struct
  std::int32_t pid = 0;
  std::int32_t tgid = 0;  // equals pid but for threads
  std::int32_t ppid = 0;
  std::optional<std::uint32_t> uid;   // real; none when its credentials could not be read
  std::optional<std::uint32_t> euid;  // effective: what ps(1) shows as UID
  char state = '?';                   // as in /proc/PID/stat
  std::uint64_t start_ns = 0;         // since boot, suspend included
  std::string name;                   // task_struct.comm: any bytes but NUL
  std::optional<std::uint32_t> threads;
  bool kernel_thread = false;
  bool in_pids = false;   // found through the table of process ids
  bool in_tasks = false;  // found through the ring of all tasks (never set for threads)
};

/// Something that a pass found to be other than it should be.
struct ProcessNote {
  enum class Kind : std::uint8_t {
    kHiddenFromPids,   // in the ring of tasks, not in the table of ids
    kHiddenFromTasks,  // the other way round
    kTear,             // a pointer or number that cannot be, or a bound was reached
    kDifference,       // two ways show it otherwise: compare_processes()
  } kind = Kind::kTear;
  common::Gva address{};  // of the task, or of what was being read
  std::int32_t pid = 0;   // 0: unknown
  std::string text;       // for people; escaped
};

/// The run of a standing program that a list was made of.
struct StandingOrigin {
  std::uint64_t number = 0;
  std::uint64_t age_ns = 0;  // from its start until it was collected, by the host's clock
};

struct ProcessList {
  std::vector<Process> processes;  // by pid, then by address
  std::vector<ProcessNote> notes;  // of the last pass; hidden ones of all, if two of them agreed
  Consistency consistency = Consistency::kConsistent;
  ListMethod method = ListMethod::kPages;
  unsigned passes = 0;
  std::optional<std::int64_t> boot_unix_ns;  // wall-clock time of boot, as the kernel keeps it
  ProgramUse program;                        // of all passes
  std::optional<StandingOrigin> standing;    // of the last pass; none: it was not said
};

struct ProcessOptions {
  bool threads = false;     // every thread, not only processes
  unsigned max_passes = 4;  // then the list is torn
  /// So long what looks hidden is given to show up. A vCPU whose scheduler takes the CPU from it
  /// while it takes a task out of all lists leaves it in some of them until it goes on.
  std::chrono::milliseconds settle{100};
  std::uint32_t max_tasks = 1U << 17;  // a pass that meets more is torn
  /// Of those that no id leads to, which are found one link after another: likewise.
  std::uint32_t max_strays = 4096;
  /// ProcessProgram::run(). None: by pages. A program does not list threads.
  RunProgram run_program{};
  /// Of the lists of this boot before, for one that is made after another. May be null.
  HiddenHistory* history = nullptr;
  /// ProcessList::boot_unix_ns of an earlier list of this boot: then it is not read again.
  std::optional<std::int64_t> boot_unix_ns{};
};

/// Every process of the target, from init_pid_ns's id table; cross-checked at no further cost with
/// the ring of all tasks. By pages it is read breadth first, so that a pass takes as many waves of
/// reads as the longest pointer chain has links; by program in one run for each answer that it
/// fills, and only what the ring alone leads to is read by pages. A pass that contradicts itself is
/// repeated in a new epoch.
/// @return kNotFound when the profile lacks what this needs; kUsage for threads by program;
///         kUnsupported when the program cannot do it; errors of the channel and of `run_program`.
common::Result<ProcessList> list_processes(Kernel& kernel, const ProcessOptions& options = {});

/// By program and then another way: the program's list, with a note for each difference that every
/// one of `max_passes` comparisons found. `options.run_program` is needed. The other way is
/// `other.run_program`: then `options` is taken to be of a standing program, and `other` of
/// requests; without one, pages. @return as list_processes().
common::Result<ProcessList> compare_processes(Kernel& kernel, const ProcessOptions& options,
                                              const ProcessOptions& other = {});

/// For AttachOptions::first_ranges.
std::vector<Range> first_process_ranges(const KernelInfo& info);

}  // namespace sevmon::ids
