// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace sevmon::proxy {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

/// "error", "warning", "info" or "debug".
std::optional<LogLevel> parse_log_level(std::string_view name);

/// Lines less important than `level` are dropped. Default: kInfo.
void set_log_level(LogLevel level);

/// One line to stderr: with the journal's priority prefix when stderr is the journal
/// (sd-daemon(3)), with the program's name and the level otherwise. Never a frame's bytes, never a
/// key.
void log(LogLevel level, std::string_view text);

/// For lines that somebody outside can cause: a burst, then one line per interval that also says
/// how many were left out. One object per kind of event.
class LimitedLog {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LimitedLog(std::chrono::milliseconds interval = std::chrono::seconds{5},
                      unsigned burst = 5)
      : interval_{interval}, burst_{burst}, tokens_{burst} {}

  void log(LogLevel level, std::string_view text);

  /// How many lines were left out before this one, or nothing when this one is to be left out.
  std::optional<std::uint64_t> admit(Clock::time_point now);

 private:
  const std::chrono::milliseconds interval_;
  const unsigned burst_;
  std::mutex mutex_;
  unsigned tokens_;
  Clock::time_point refilled_{};
  std::uint64_t left_out_ = 0;
};

}  // namespace sevmon::proxy
