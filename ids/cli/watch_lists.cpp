// SPDX-License-Identifier: Apache-2.0
#include "watch_lists.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using ids::ListMethod;
using ids::ProcessList;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How late a list of Xen's, a gap or another boot may be noticed.
constexpr milliseconds kMaxPoll{2000};
// What could not be asked is told no more often than this, or than lists are due.
constexpr milliseconds kMaxRetry{60'000};
// Each of them takes one of the watch's slots. A target can make up as many as it likes.
constexpr std::uint32_t kMaxStrays = 256;

ids::ProgramSchedule schedule_of(const WatchListOptions& options, const ids::Kernel& kernel) {
  ids::ProgramSchedule schedule{.min = options.period / 2, .max = options.period * 3 / 2};
  schedule.run.domain = options.domain;
  schedule.run.root = kernel.root();
  return schedule;
}

/// At least every other slot is left to the watch's own requests, which ask for the status.
milliseconds poll_of(const WatchListOptions& options) {
  return std::max(std::min(options.period, kMaxPoll), 2 * options.interval);
}

}  // namespace

WatchListSource list_source(std::vector<const ids::KernelInfo*> kernels, common::DomId domain) {
  return {[kernels = std::move(kernels), domain](ids::Channel& channel) {
            return ids::Kernel::attach(
                channel, kernels,
                {.domain = domain, .first_ranges = ids::first_process_ranges, .progress = {}});
          },
          [](const ids::Kernel& kernel,
             const ids::ProgramSchedule& schedule) -> Result<ids::StandingOrder> {
            const auto program = ids::ProcessProgram::link(kernel);
            if (!program) return program.error();
            return ids::StandingProcesses::order(*program, schedule);
          }};
}

WatchLists::WatchLists(ids::Channel& channel, WatchListSource source,
                       const WatchListOptions& options, WatchReport& report)
    : channel_{channel},
      source_{std::move(source)},
      options_{options},
      report_{report},
      clock_{options.period, options.interval, steady_clock::now()},
      thread_{[this] { run(); }} {}

void WatchLists::look(TimePoint now) {
  if (const auto overdue = clock_.look(now)) report_.unfinished("ps", *overdue);
}

// ---- Its thread ----

void WatchLists::end() {
  {
    const std::lock_guard lock{mutex_};
    is_over_ = true;
  }
  over_.notify_all();
}

void WatchLists::stop() {
  end();
  if (thread_.joinable()) thread_.join();
}

bool WatchLists::is_over() {
  const std::lock_guard lock{mutex_};
  return is_over_;
}

/// @return false when the watch is over.
bool WatchLists::pause(milliseconds time) {
  std::unique_lock lock{mutex_};
  return !over_.wait_for(lock, time, [this] { return is_over_; });
}

void WatchLists::run() {
  const bool is_standing = options_.method == ListMethod::kStanding;
  auto next = steady_clock::now();
  std::unique_lock lock{mutex_};
  while (!over_.wait_until(lock, next, [this] { return is_over_; })) {
    lock.unlock();
    const auto rest = list_once();
    lock.lock();
    const auto now = steady_clock::now();
    next = is_standing ? now + rest : std::max(next + options_.period, now);
  }
}

/// @return after which time one of Xen's lists is asked for again.
milliseconds WatchLists::list_once() {
  const auto list = make_list();
  if (list) {
    report(*list);
    return {};  // one of Xen's lists is waited for where there is none
  }
  if (is_over()) {
    // finish() looks at what was under way.
    if (runs_) runs_->put_back();
    return {};
  }
  report_.unfinished("ps", list.error());
  if (runs_) runs_->looked_at();  // it was told that it was not
  passes_ = 0;
  // After another boot, or an earlier one, at once.
  const auto code = list.error().code;
  const bool is_soon = code == ErrorCode::kConnect || is_set_back_;
  return is_soon ? poll_of(options_) : std::min(options_.period, kMaxRetry);
}

void WatchLists::report(const ProcessList& list) {
  // A list without its last pass is told for what is sure.
  const bool has_last = passes_ <= list.passes;
  if (runs_ && has_last) runs_->looked_at();
  if (runs_ && !has_last) runs_->put_back();
  passes_ = 0;
  clock_.finished(steady_clock::now());
  report_.processes(list, *kernel_, options_.period);
}

Result<void> WatchLists::attach() {
  kernel_.reset();  // what runs_ has scheduled is there until it is scheduled anew
  boot_unix_ns_.reset();
  history_ = {};
  const auto before = channel_.boot_nonce();
  auto attached = source_.attach(channel_);
  if (!attached) return attached.error();
  // The first one may have waited for a connection.
  attached_to_ = channel_.boot_nonce();
  if (before != decltype(before){} && before != attached_to_)
    return Error{ErrorCode::kConnect, "the agent started again"};
  kernel_ = *std::move(attached);
  return options_.method == ListMethod::kStanding ? schedule() : Result<void>{};
}

/// At the first list.
Result<void> WatchLists::schedule() {
  auto order = source_.order(*kernel_, schedule_of(options_, *kernel_));
  if (!order) {
    kernel_.reset();
    return order.error();
  }
  runs_.emplace(
      channel_, *std::move(order), poll_of(options_),
      [this](milliseconds time) { return pause(time); },
      [this](const Error& error) { report_.unfinished("ps", error); });
  return {};
}

Result<ProcessList> WatchLists::make_list() {
  is_set_back_ = false;
  // Another boot, another kernel, or the same one somewhere else.
  if (!kernel_ || attached_to_ != channel_.boot_nonce())
    if (auto ok = attach(); !ok) return ok.error();
  auto list = list_attached();
  // By its host: what is known of it is of another time.
  is_set_back_ = !list && list.error().code == ErrorCode::kMismatch;
  if (is_set_back_) kernel_.reset();
  return list;
}

Result<ProcessList> WatchLists::list_attached() {
  passes_ = 0;
  ids::ProcessOptions options;
  options.boot_unix_ns = boot_unix_ns_;
  options.history = &history_;
  options.max_strays = kMaxStrays;
  if (runs_)
    options.run_program = [this](std::span<const std::byte> input) -> Result<ids::ProgramRun> {
      if (auto ok = ids::StandingProcesses::check_input(input); !ok) return ok.error();
      auto run = runs_->next();
      if (run) ++passes_;
      return run;
    };
  auto list = ids::list_processes(*kernel_, options);
  if (!list) return list;
  boot_unix_ns_ = list->boot_unix_ns;
  list->method = options_.method;
  if (runs_) list->standing = runs_->last();
  return list;
}

// ---- The end ----

Result<void> WatchLists::finish(ids::Channel& channel, TimePoint until) {
  channel_.use(channel, until);
  auto ended = runs_->end();
  if (!ended)
    tell_left(ended.error());
  else if (!kernel_ || attached_to_ != channel.boot_nonce())
    tell_left({ErrorCode::kConnect, "the agent started again, or was set back"});
  else
    drain();
  // What it has let go of or not, the next watch may see twice.
  static_cast<void>(runs_->let_go());
  return ended;
}

/// No more than there are, as none comes any more.
void WatchLists::drain() {
  bool is_unfinished = passes_ != 0;
  auto list = list_attached();
  for (; list; list = list_attached()) {
    report(*list);
    is_unfinished = false;
  }
  if (!runs_->is_drained()) {
    runs_->put_back();
    tell_left(list.error());
  } else if (is_unfinished || passes_ != 0) {
    report_.unfinished(
        "ps", {ErrorCode::kTorn, "the last list was to be made again, and Xen has made no more"});
  }
}

void WatchLists::tell_left(const Error& error) {
  report_.unfinished("ps", {error.code, "lists that Xen has made may be left for the next watch: " +
                                            error.detail});
}

void WatchLists::tell_if_none() {
  if (!clock_.is_any_finished())
    report_.unfinished("ps", {ErrorCode::kTimeout, "the watch is over and has finished no list"});
}

}  // namespace sevmon::cli
