// SPDX-License-Identifier: Apache-2.0
#include "process/log.hpp"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace sevmon::proxy {

namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};

// systemd.exec(5): JOURNAL_STREAM is "device:inode" of the stream that goes to the journal; a
// redirected stderr must not get the prefixes.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status;
  if (!stream || fstat(STDERR_FILENO, &status)) return false;
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) == stream;
}

std::string_view journal_prefix(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "<3>";
    case LogLevel::kWarning:
      return "<4>";
    case LogLevel::kInfo:
      return "<6>";
    case LogLevel::kDebug:
      return "<7>";
  }
  return "";
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error: ";
    case LogLevel::kWarning:
      return "warning: ";
    case LogLevel::kInfo:
      return "";
    case LogLevel::kDebug:
      return "debug: ";
  }
  return "";
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view name) {
  if (name == "error") return LogLevel::kError;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "info") return LogLevel::kInfo;
  if (name == "debug") return LogLevel::kDebug;
  return std::nullopt;
}

void set_log_level(LogLevel level) {
  current_level = level;
}

void log(LogLevel level, std::string_view text) {
  if (level > current_level) return;
  static const bool journal = stderr_is_journal();
  std::string line;
  if (journal) {
    line += journal_prefix(level);
  } else {
    line += program_invocation_short_name;
    line += ": ";
    line += level_name(level);
  }
  line += text;
  line += '\n';
  // One write, so that lines of several threads do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

std::optional<std::uint64_t> LimitedLog::admit(Clock::time_point now) {
  const std::lock_guard lock{mutex_};
  const auto intervals = (now - refilled_) / interval_;
  if (intervals > 0) {
    tokens_ = static_cast<unsigned>(std::min<std::int64_t>(burst_, tokens_ + intervals));
    refilled_ = now;
  }
  if (tokens_ == 0) {
    ++left_out_;
    return std::nullopt;
  }
  --tokens_;
  return std::exchange(left_out_, 0);
}

void LimitedLog::log(LogLevel level, std::string_view text) {
  const auto left_out = admit(Clock::now());
  if (!left_out) return;
  if (*left_out == 0) return proxy::log(level, text);
  proxy::log(level, std::string{text} + " (" + std::to_string(*left_out) + " like it left out)");
}

}  // namespace sevmon::proxy
