// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>

#include "list_clock.hpp"
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

/// The process lists of a watch, in a thread of its own: what it asks waits for the watch's slots.
class WatchLists {
 public:
  /// Everything that is referred to must outlive it.
  WatchLists(ids::Channel& channel, std::vector<const ids::KernelInfo*> kernels,
             const WatchListOptions& options, WatchReport& report);
  /// The watch must have ended, or what is asked last waits for a slot.
  ~WatchLists() { stop(); }
  WatchLists(const WatchLists&) = delete;
  WatchLists& operator=(const WatchLists&) = delete;

  /// Tell when no list was finished for too long. From any thread, now and then.
  void look(ListClock::TimePoint now);

  /// From now on nothing is reported that could not be finished. From any thread; does not wait.
  void end();
  /// And the thread is gone.
  void stop();
  /// Xen's own lists that nobody will fetch any more; after stop().
  const std::optional<ids::StandingFeed>& feed() const { return feed_; }
  /// Xen makes no more, and keeps none. `channel`: another one to the same agent.
  common::Result<void> end_feed(ids::Channel& channel);

 private:
  void run();
  bool pause();
  common::Result<void> attach();
  common::Result<ids::ProcessList> make_list();
  common::Result<ids::ProgramRun> next_run(std::span<const std::byte> input);
  common::Result<void> collect();

  SwitchedChannel channel_;
  const std::vector<const ids::KernelInfo*> kernels_;
  const WatchListOptions options_;
  WatchReport& report_;
  ListClock clock_;
  std::optional<ids::Kernel> kernel_;
  std::array<std::uint8_t, SEVMON_ID_BYTES> attached_to_{};
  std::optional<std::int64_t> boot_unix_ns_;
  ids::HiddenHistory history_;
  std::optional<ids::StandingFeed> feed_;
  bool is_started_ = false;
  std::deque<ids::StandingRun> runs_;  // that no list was made of yet
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace sevmon::cli
