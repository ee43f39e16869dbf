// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// What a standing program left since it was collected last.
struct StandingNews {
  std::vector<StandingRun> runs;  // of the program, oldest first
  std::uint64_t skipped = 0;      // runs that did not take place: there was no room for a result
  std::vector<StandingGap> gaps;  // an open one is told once, and again when a run ended it
};

/// The runs of one standing program, each of them once, in their order. Uses the channel, which
/// must outlive it.
class StandingFeed {
 public:
  enum class Use : std::uint8_t {
    kJoin,      // a schedule that the IDS has stays, and so does what waits already
    kTakeOver,  // it is scheduled anew, and what waits of it is the first news
  };

  /// @return as Programs::schedule(); errors of the channel.
  static common::Result<StandingFeed> start(Channel& channel, std::span<const std::byte> image,
                                            std::span<const std::byte> input,
                                            const ProgramSchedule& schedule, Use use);
  StandingFeed(StandingFeed&& other) noexcept = default;
  StandingFeed& operator=(StandingFeed&& other) noexcept = default;

  /// One round trip. The agent lets go of what an answer before brought, as far as nothing of
  /// another program waits in front of it.
  /// @return kTooLarge: nothing new arrives, for results of other programs are in the way; errors
  ///         of the channel.
  common::Result<StandingNews> collect();

  /// The schedule's longest interval: a joined one's, if there is one.
  std::chrono::milliseconds max() const { return max_; }
  std::uint64_t name() const { return name_; }

  /// Unschedule it, unless it was there before, and let go of what it left. `channel`: the
  /// feed's or another one of the same IDS's. @return errors of the channel.
  common::Result<void> end(Channel& channel) const;

 private:
  StandingFeed(Channel& channel, std::uint64_t name, std::chrono::milliseconds max)
      : channel_{&channel}, name_{name}, max_{max} {}
  common::Result<void> begin(Use use);
  std::uint64_t forgettable(std::span<const StandingRun> runs) const;
  void look(std::uint64_t now_ns, bool is_open, std::vector<StandingGap>& gaps);

  Channel* channel_;
  std::uint64_t name_;
  std::chrono::milliseconds max_;
  bool is_ours_ = false;       // scheduled by this
  std::uint64_t first_ = 0;    // up to here it is not ours to let go of
  std::uint64_t last_ = 0;     // that was given
  std::uint64_t forget_ = 0;   // up to here all that waits is ours, and has arrived
  std::uint64_t base_ = 0;     // up to here runs are of a schedule before
  std::uint64_t seen_ns_ = 0;  // until then it is known to have run, by the agent's clock
  std::uint64_t seen_ = 0;     // that run's number
  std::uint64_t skipped_ = 0;  // in all, by the agent
  bool is_gap_told_ = false;
};

/// A run of a standing program as if it had been asked for.
ProgramRun as_program_run(StandingRun run);

}  // namespace sevmon::ids
