// SPDX-License-Identifier: Apache-2.0
#include "watch_lists.hpp"

#include <cstdio>
#include <iterator>
#include <string>
#include <utility>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using ids::ListMethod;
using ids::ProcessList;

// Each of them takes one of the watch's slots. A target can make up as many as it likes.
constexpr std::uint32_t kMaxStrays = 256;
// What is asked at the end of a watch.
constexpr std::chrono::seconds kMaxEnd{5};

ids::ProgramSchedule schedule_of(const WatchListOptions& options, const ids::Kernel& kernel) {
  ids::ProgramSchedule schedule{.min = options.period / 2, .max = options.period * 3 / 2};
  schedule.run.domain = options.domain;
  schedule.run.root = kernel.root();
  return schedule;
}

std::string seconds(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(ns) / 1e9);
  return text;
}

Error describe(const ids::StandingGap& gap) {
  return {ErrorCode::kTimeout, "Xen made no list for " + seconds(gap.ns) +
                                   (gap.is_open ? " so far" : "") + ", and " +
                                   seconds(gap.allowed_ns) + " were allowed"};
}

}  // namespace

WatchLists::WatchLists(ids::Channel& channel, std::vector<const ids::KernelInfo*> kernels,
                       const WatchListOptions& options, WatchReport& report)
    : channel_{channel},
      kernels_{std::move(kernels)},
      options_{options},
      report_{report},
      clock_{options.period, options.interval, std::chrono::steady_clock::now()},
      thread_{[this] { run(); }} {}

void WatchLists::look(ListClock::TimePoint now) {
  if (const auto overdue = clock_.look(now)) report_.unfinished("ps", *overdue);
}

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

void WatchLists::run() {
  const bool is_standing = options_.method == ListMethod::kStanding;
  auto next = std::chrono::steady_clock::now();
  std::unique_lock lock{mutex_};
  while (!over_.wait_until(lock, next, [this] { return is_over_; })) {
    lock.unlock();
    const auto list = make_list();
    if (list) clock_.finished(std::chrono::steady_clock::now());
    lock.lock();
    if (list)
      report_.processes(*list, *kernel_, options_.period);
    else if (!is_over_)
      report_.unfinished("ps", list.error());
    // One of Xen's lists is waited for where there is none.
    if (!is_standing || !list)
      next = std::max(next + options_.period, std::chrono::steady_clock::now());
  }
}

/// @return false when the watch is over.
bool WatchLists::pause() {
  std::unique_lock lock{mutex_};
  return !over_.wait_for(lock, options_.period, [this] { return is_over_; });
}

Result<void> WatchLists::attach() {
  kernel_.reset();
  feed_.reset();
  runs_.clear();
  boot_unix_ns_.reset();
  history_ = {};
  const auto before = channel_.boot_nonce();
  auto attached = ids::Kernel::attach(
      channel_, kernels_,
      {.domain = options_.domain, .first_ranges = ids::first_process_ranges, .progress = {}});
  if (!attached) return attached.error();
  // The first one may have waited for a connection.
  attached_to_ = channel_.boot_nonce();
  if (before != decltype(before){} && before != attached_to_)
    return Error{ErrorCode::kConnect, "the agent started again"};
  kernel_ = *std::move(attached);
  return {};
}

Result<ProcessList> WatchLists::make_list() {
  // Another boot, another kernel, or the same one somewhere else.
  if (!kernel_ || attached_to_ != channel_.boot_nonce())
    if (auto ok = attach(); !ok) return ok.error();
  ids::ProcessOptions options;
  options.boot_unix_ns = boot_unix_ns_;
  options.history = &history_;
  options.max_strays = kMaxStrays;
  if (options_.method == ListMethod::kStanding)
    options.run_program = [this](std::span<const std::byte> input) { return next_run(input); };
  auto list = ids::list_processes(*kernel_, options);
  if (!list) return list;
  boot_unix_ns_ = list->boot_unix_ns;
  list->method = options_.method;
  return list;
}

/// Of those that Xen made, the oldest that no list was made of.
Result<ids::ProgramRun> WatchLists::next_run(std::span<const std::byte> input) {
  if (auto ok = ids::StandingProcesses::check_input(input); !ok) return ok.error();
  for (bool is_first = true; runs_.empty(); is_first = false) {
    if (!is_first && !pause()) return Error{ErrorCode::kConnect, "the watch is over"};
    if (attached_to_ != channel_.boot_nonce())
      return Error{ErrorCode::kConnect, "the agent started again"};
    if (auto ok = collect(); !ok) return ok.error();
  }
  auto run = std::move(runs_.front());
  runs_.pop_front();
  return ids::as_program_run(std::move(run));
}

Result<void> WatchLists::collect() {
  if (!feed_) {
    const auto program = ids::ProcessProgram::link(*kernel_);
    if (!program) return program.error();
    feed_.emplace(channel_,
                  ids::StandingProcesses::order(*program, schedule_of(options_, *kernel_)),
                  ids::StandingFeed::Use::kTakeOver);
    is_started_ = false;
  }
  if (!is_started_)
    if (auto ok = feed_->start(); !ok) return ok;
  is_started_ = true;
  auto news = feed_->collect();
  if (!news) return news.error();
  for (const auto& gap : news->gaps) report_.unfinished("ps", describe(gap));
  if (news->skipped != 0)
    report_.unfinished("ps", {ErrorCode::kTooLarge,
                              std::to_string(news->skipped) +
                                  " lists were not made: results of earlier ones waited too long"});
  if (!news->runs.empty()) feed_->looked_at(news->runs.back().head.number);
  runs_.insert(runs_.end(), std::make_move_iterator(news->runs.begin()),
               std::make_move_iterator(news->runs.end()));
  return {};
}

Result<void> WatchLists::end_feed(ids::Channel& channel) {
  channel_.use(channel, std::chrono::steady_clock::now() + kMaxEnd);
  return feed_->end();
}

}  // namespace sevmon::cli
