// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <sevmon/wire.h>
#include <sevmon/codec.hpp>
#include <sevmon/result.hpp>
#include <sevmon/watch.hpp>

namespace sevmon::ids {

/// What happened, turned into what it means. Knows no clock and does no I/O: every call says when.
class WatchState {
 public:
  using TimePoint = WatchClock::TimePoint;
  using Report = std::function<void(const WatchEvent&)>;

  WatchState(const WatchOptions& options, Report report, TimePoint now);

  /// A handshake succeeded, on a fresh connection. @return as boot().
  bool connected(const common::IdBytes& boot_nonce, const std::string& where, TimePoint now);
  /// The boot of the session in use: of each handshake, also of those within a connection.
  /// @return whether it is another one than before.
  bool boot(const common::IdBytes& boot_nonce, TimePoint now);
  /// A verified answer; `status` when it was to a heartbeat.
  struct Answer {
    TimePoint sent;
    TimePoint received;
    std::uint64_t agent_time_ns = 0;
    std::optional<sevmon_status> status;
  };
  void answered(const Answer& answer);
  /// A connection, handshake or request failed.
  void failed(const common::Error& error, TimePoint now);
  /// So many more deliveries did not verify.
  void unverified(std::uint64_t count, TimePoint now);
  /// Nothing happened. @return how long nothing may happen until silence could be raised.
  std::chrono::nanoseconds tick(TimePoint now);

  bool is_silent() const { return condition(Alert::kSilence).is_raised; }
  WatchTotals& totals() { return totals_; }

 private:
  struct Condition {
    bool is_raised = false;
    TimePoint since;
    std::uint64_t times = 0;
  };
  /// What an answer said, against which later ones of the same boot are held.
  struct Reference {
    TimePoint sent;
    TimePoint received;
    std::uint64_t agent_time_ns = 0;
  };

  const Condition& condition(Alert alert) const {
    return conditions_[static_cast<std::size_t>(alert)];
  }
  void heard(TimePoint now);
  void raise(Alert alert, std::string text, TimePoint now);
  void clear(Alert alert, TimePoint now);
  void happened(Alert alert, std::string text);
  void check_clock(const Answer& answer);
  void check_counters(const sevmon_status& status, TimePoint now);
  void forget_boot();

  const WatchOptions options_;
  const Report report_;
  TimePoint heard_;
  std::array<Condition, kAlerts> conditions_{};
  bool is_connected_ = true;     // so that a first attempt that fails is reported
  bool was_answered_ = true;     // since the last handshake; the first one counts
  bool saw_unverified_ = false;  // since the last answer
  std::optional<common::IdBytes> boot_;
  std::optional<Reference> anchor_;  // the clocks' common start
  std::uint64_t last_agent_time_ns_ = 0;
  std::optional<std::array<std::uint64_t, SEVMON_COUNTERS>> counters_;
  WatchTotals totals_;
};

}  // namespace sevmon::ids
