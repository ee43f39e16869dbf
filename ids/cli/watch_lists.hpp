// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>

#include "list_clock.hpp"
#include "standing_runs.hpp"
#include "switched_channel.hpp"
#include "watch_report.hpp"

namespace sevmon::cli {

struct WatchListOptions {
  std::chrono::milliseconds period{};
  std::chrono::milliseconds interval{};  // of the watch's requests
  /// kPages: read page by page, every period. kStanding: Xen makes lists by itself, after half to
  /// one and a half periods each time, and the watch fetches them.
  ids::ListMethod method = ids::ListMethod::kPages;
  common::DomId domain{};
};

/// Where its lists come from.
struct WatchListSource {
  std::function<common::Result<ids::Kernel>(ids::Channel&)> attach;
  /// With kStanding: what Xen is to run.
  std::function<common::Result<ids::StandingOrder>(const ids::Kernel&, const ids::ProgramSchedule&)>
      order;
};
/// Of a domain that runs one of `kernels`, which must outlive it.
WatchListSource list_source(std::vector<const ids::KernelInfo*> kernels, common::DomId domain);

/// The process lists of a watch, in a thread of its own: what it asks waits for the watch's slots.
class WatchLists {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Everything that is referred to must outlive it.
  WatchLists(ids::Channel& channel, WatchListSource source, const WatchListOptions& options,
             WatchReport& report);
  /// The watch must have ended, or what is asked last waits for a slot.
  ~WatchLists() { stop(); }
  WatchLists(const WatchLists&) = delete;
  WatchLists& operator=(const WatchLists&) = delete;

  /// Tell when no list was finished for too long. From any thread, now and then.
  void look(TimePoint now);

  /// From now on nothing is reported that could not be finished. From any thread; does not wait.
  void end();
  /// And the thread is gone.
  void stop();
  /// Does Xen perhaps make lists, or keep some? After stop().
  bool is_standing() const { return runs_ && runs_->is_scheduled(); }
  /// The program that makes them.
  std::uint64_t name() const { return runs_->name(); }
  /// Xen makes no more, and lists are made of what it has left, over `channel`, until the time is
  /// up. What no list was made of stays in Xen, and that is told. After stop(), if is_standing().
  /// @return whether Xen has ended it.
  common::Result<void> finish(ids::Channel& channel, TimePoint until);
  /// Tell that what is left could not be looked at.
  void tell_left(const common::Error& error);
  /// Tell if it never finished any; at the very end.
  void tell_if_none();

 private:
  void run();
  std::chrono::milliseconds list_once();
  void drain();
  bool is_over();
  bool pause(std::chrono::milliseconds time);
  common::Result<void> attach();
  common::Result<void> schedule();
  common::Result<ids::ProcessList> make_list();
  common::Result<ids::ProcessList> list_attached();
  void report(const ids::ProcessList& list);

  SwitchedChannel channel_;
  const WatchListSource source_;
  const WatchListOptions options_;
  WatchReport& report_;
  ListClock clock_;
  std::optional<ids::Kernel> kernel_;
  std::array<std::uint8_t, SEVMON_ID_BYTES> attached_to_{};
  std::optional<std::int64_t> boot_unix_ns_;
  ids::HiddenHistory history_;
  std::optional<StandingRuns> runs_;
  bool is_set_back_ = false;
  unsigned passes_ = 0;  // over Xen's runs, of the list that is not finished
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace sevmon::cli
