// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// What a standing program is, and how it is to run.
struct StandingOrder {
  std::vector<std::byte> image;
  std::vector<std::byte> input;
  ProgramSchedule schedule;
};

/// What a standing program left since it was collected last.
struct StandingNews {
  std::uint64_t agent_ns = 0;        // the host's clock at the answer
  std::vector<StandingRun> runs;     // of the program, oldest first
  std::uint32_t waiting = 0;         // results, of any program, that did not fit the answer
  std::uint64_t skipped = 0;         // runs that did not take place: there was no room for a result
  std::uint64_t skipped_before = 0;  // the same, behind what waited when the feed began; told once
  std::uint64_t lost = 0;            // runs whose results somebody else of this IDS took
  std::uint64_t others = 0;  // runs that are not given: not of the domain, root or kind scheduled
  std::vector<std::uint64_t> in_the_way;  // programs whose results keep the next from arriving
  std::vector<StandingGap> gaps;          // an open one is told again for each further allowed time
  bool is_scheduled_anew = false;         // the schedule was gone, or another's
  std::optional<common::Error> trouble;   // why it could not be looked at, or made anew
};

/// The runs of one standing program, each of them once, in their order. Uses the channel, which
/// must outlive it.
class StandingFeed {
 public:
  enum class Use : std::uint8_t {
    kJoin,      // a schedule that the IDS has stays, and so does what waits already
    kTakeOver,  // it is scheduled anew, and what waits of it is the first news
  };

  /// Asks nothing yet.
  StandingFeed(Channel& channel, StandingOrder order, Use use);

  /// May be called again when it failed. Also then the agent may have the schedule: end() it.
  /// @return as Programs::schedule(); errors of the channel.
  common::Result<void> start();

  /// One round trip; more when Xen seems to make no runs. The agent lets go of what was looked at,
  /// as far as nothing of another program waits in front of it.
  /// @return kConnect when the agent started again, kMismatch when it was set back: what this knows
  ///         is of no more use then; errors of the channel.
  common::Result<StandingNews> collect();

  /// Up to this number, the runs that were given need not be kept by the agent any more.
  void looked_at(std::uint64_t number);

  /// The schedule's longest interval: a joined one's, if there is one.
  std::chrono::milliseconds max() const { return max_; }
  std::uint64_t name() const { return name_; }
  /// Perhaps it is scheduled by this.
  bool is_ours() const { return is_ours_; }

  /// Xen makes no more runs, unless the schedule was there before. What collect() gives from then
  /// on is all that there will be. @return errors of the channel.
  common::Result<void> unschedule();
  /// The agent lets go of what was looked at. @return errors of the channel.
  common::Result<void> let_go();
  /// unschedule(), and the agent lets go of all that there is of it. @return errors of the channel.
  common::Result<void> end();

 private:
  common::Result<void> join();
  common::Result<void> begin();
  common::Result<void> schedule();
  bool is_here() const { return channel_->boot_nonce() == boot_; }
  bool is_as_scheduled(const sevmon_result_head& head) const;
  std::uint64_t forgettable() const;
  common::Result<Collected> fetch(std::uint64_t seen);
  void take(Collected& collected, StandingNews& news);
  void follow(const StandingRun& run, StandingNews& news);
  void look(std::uint64_t now_ns, bool is_open, std::vector<StandingGap>& gaps);
  void mend(StandingNews& news);

  Channel* channel_;
  StandingOrder order_;
  Use use_;
  std::uint64_t name_;
  std::chrono::milliseconds max_;
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_{};
  bool has_begun_ = false;
  bool is_ours_ = false;        // scheduled by this, as far as it knows
  bool is_over_ = false;        // unscheduled by this
  bool is_taken_over_ = false;  // somebody else has scheduled it since, otherwise
  std::uint64_t first_ = 0;     // up to here it is not ours to let go of
  std::uint64_t last_ = 0;      // that came
  std::uint64_t given_ = 0;
  std::uint64_t looked_at_ = 0;
  std::uint64_t ours_ = 0;       // up to here all that waits is ours, and has arrived
  std::uint64_t forgotten_ = 0;  // that the agent was told
  std::uint64_t next_number_ = 0;
  std::uint64_t agent_ns_ = 0;
  std::uint64_t skipped_ = 0;  // in all, by the agent
  std::uint64_t skipped_before_ = 0;
  std::uint64_t scheduled_ns_ = 0;      // by the agent's clock; runs before are of other schedules
  std::optional<std::uint16_t> domid_;  // of the target, resolved
  std::optional<std::uint64_t> next_run_;  // of the schedule's; none: it is not known which
  std::uint64_t seen_ns_ = 0;              // until then it is known to have run
  std::uint64_t seen_ = 0;                 // that run's number
  std::uint64_t told_ns_ = 0;              // of the gap since
};

/// A run of a standing program as if it had been asked for.
ProgramRun as_program_run(StandingRun run);

}  // namespace sevmon::ids
