// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include <sevmon/processes.hpp>
#include <sevmon/standing.hpp>

namespace sevmon::cli {

/// The runs of a watch's standing program, one after another, polled for; and what is to be said of
/// those that did not come. Of a run the agent lets go only when it was looked at.
class StandingRuns {
 public:
  /// Sleep for so long. @return false, at once, when the watch is over.
  using Wait = std::function<bool(std::chrono::milliseconds)>;
  using Tell = std::function<void(const common::Error&)>;

  /// Asks nothing yet. Everything that is referred to must outlive it.
  StandingRuns(ids::Channel& channel, ids::StandingOrder order, std::chrono::milliseconds poll,
               Wait wait, Tell tell);

  /// The oldest run that was not given; waits for one. Those given before were looked at.
  /// @return kConnect when the watch is over; kNotFound when there are no more, after end(); as
  ///         StandingFeed::start(), collect().
  common::Result<ids::ProgramRun> next();
  /// The run that was given last.
  const std::optional<ids::StandingOrigin>& last() const { return last_; }
  /// It was looked at.
  void looked_at();
  /// It was not: next() gives it again.
  void put_back();

  /// Perhaps Xen makes runs for it.
  bool is_scheduled() const { return feed_.is_ours(); }
  std::uint64_t name() const { return feed_.name(); }
  /// Xen shall make no more: next() gives what is left, and does not wait.
  common::Result<void> end();
  /// next() has given all that there will be.
  bool is_drained() const { return is_drained_; }
  /// The agent lets go of what was looked at; what was not stays.
  common::Result<void> let_go();

 private:
  struct Waiting {
    ids::StandingRun run;
    std::uint64_t age_ns;
  };
  common::Result<void> fill();
  common::Result<void> poll();
  void tell(const ids::StandingNews& news);
  void tell_others(const ids::StandingNews& news);

  ids::StandingFeed feed_;
  const std::chrono::milliseconds poll_;
  const Wait wait_;
  const Tell tell_;
  std::deque<Waiting> queue_;
  std::optional<Waiting> given_;  // that was not looked at yet
  std::optional<ids::StandingOrigin> last_;
  std::vector<std::uint64_t> in_the_way_;  // as told
  bool is_started_ = false;
  bool is_more_ = true;  // to be asked for at once
  bool is_over_ = false;
  bool is_drained_ = false;
};

}  // namespace sevmon::cli
