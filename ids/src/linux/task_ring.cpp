// SPDX-License-Identifier: Apache-2.0
#include "linux/task_ring.hpp"

namespace sevmon::ids {

using common::Gva;

TaskRing::TaskRing(const Tasks& tasks, Gva head) : tasks_{tasks}, head_{head} {
  walk();
}

const Task* TaskRing::find(Gva address) const {
  const auto found = tasks_.find(address.value);
  return found == tasks_.end() ? nullptr : &found->second;
}

/// Once around. That a `previous` is wrong is a contradiction, but nothing that goes by `next`
/// misses a task for it.
void TaskRing::walk() {
  Gva at = head_;
  do {
    const Task* task = find(at);
    if (task == nullptr) {
      tears_.push_back({at, 0, "the ring of tasks leads to what could not be read"});
      return;
    }
    members_.insert(at.value);
    const Task* next = find(task->next);
    if (next != nullptr && next->previous != at)
      tears_.push_back({task->next, next->pid, "in the ring of tasks next and prev disagree"});
    at = task->next;
  } while (!members_.contains(at.value));
  is_whole_ = at == head_;
  if (!is_whole_) tears_.push_back({at, 0, "the ring of tasks runs into itself without its head"});
}

/// Does another one stand before `next`, and not `task`?
bool TaskRing::is_refused(const Task& task, const Task& next) const {
  if (members_.contains(next.address.value) && next.address != head_) return true;
  const Task* before = find(next.previous);
  return before != nullptr && before->address != task.address && before->next == next.address;
}

bool TaskRing::is_held(const Task& task) const {
  const Task* previous = find(task.previous);
  const Task* next = find(task.next);
  return task.next != task.address && ((previous != nullptr && previous->next == task.address) ||
                                       (next != nullptr && next->previous == task.address));
}

/// Where `next` leads to, from one that is no member: each task is come to once, in all calls
/// together. What stands behind the tear leads to the head, or to what could not be read.
TaskRing::Place TaskRing::follow(const Task& task) {
  std::vector<std::uint64_t> path;
  Place place = Place::kUnknown;
  for (const Task* at = &task;;) {
    // What leads back to where it was is a ring of its own.
    const auto [known, is_new] = followed_.try_emplace(at->address.value, Place::kOut);
    if (!is_new) {
      place = known->second;
      break;
    }
    path.push_back(at->address.value);
    const Task* next = find(at->next);
    if (next != nullptr && is_refused(*at, *next)) {
      place = Place::kOut;
      break;
    }
    if (next == nullptr || next->address == head_) break;
    at = next;
  }
  for (const auto address : path) followed_[address] = place;
  return place;
}

TaskRing::Place TaskRing::place(const Task& task) {
  if (contains(task.address)) return Place::kIn;
  if (is_whole_ || !is_held(task)) return Place::kOut;
  return follow(task);
}

}  // namespace sevmon::ids
