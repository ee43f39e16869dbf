// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <sevmon/units.hpp>

#include "linux/task.hpp"

namespace sevmon::ids {

/// The list of all tasks, as for_each_process() (include/linux/sched/signal.h) has it: what `next`
/// leads to, from `init_task` on until there again. Bounded by the number of `tasks`.
class TaskRing {
 public:
  /// Every task that was read, by its address.
  using Tasks = std::unordered_map<std::uint64_t, Task>;

  enum class Place : std::uint8_t {
    kIn,
    kOut,      // nothing of the ring leads to it, nor can what could not be followed
    kUnknown,  // it may stand behind the place where the ring could not be followed
  };

  struct Tear {
    common::Gva address{};
    std::int32_t pid = 0;
    std::string text;
  };

  /// Walks it. `tasks` must outlive this, unchanged.
  TaskRing(const Tasks& tasks, common::Gva head);

  /// Where it contradicts itself.
  const std::vector<Tear>& tears() const { return tears_; }
  bool contains(common::Gva task) const { return members_.contains(task.value); }
  /// Of one of the tasks.
  Place place(const Task& task);

 private:
  const Task* find(common::Gva address) const;
  void walk();
  bool is_refused(const Task& task, const Task& next) const;
  bool is_held(const Task& task) const;
  Place follow(const Task& task);

  const Tasks& tasks_;
  const common::Gva head_;
  std::unordered_set<std::uint64_t> members_;
  bool is_whole_ = false;  // the walk came back to its head
  std::vector<Tear> tears_;
  std::unordered_map<std::uint64_t, Place> followed_;  // of those that are no members
};

}  // namespace sevmon::ids
