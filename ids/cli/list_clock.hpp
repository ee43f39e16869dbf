// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include <sevmon/result.hpp>

namespace sevmon::cli {

/// Whether process lists are finished as often as they should be, whoever makes them and however.
/// Thread-safe.
class ListClock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// One list every `period`, by requests of which one leaves every `interval`.
  ListClock(std::chrono::milliseconds period, std::chrono::milliseconds interval, TimePoint now);

  void finished(TimePoint now);
  bool is_any_finished() const;
  /// @return kTimeout when it has been too long, and again each time that as long has gone by.
  std::optional<common::Error> look(TimePoint now);

 private:
  const std::chrono::milliseconds allowed_;
  mutable std::mutex mutex_;
  bool is_any_finished_ = false;
  TimePoint last_;  // finished
  TimePoint told_;  // or finished, if that is later
};

}  // namespace sevmon::cli
