// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include <sevmon/kernel.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>
#include <sevmon/watch.hpp>

#include "output.hpp"

namespace sevmon::cli {

/// What `watch` prints while it runs: one line an event, at once. Thread-safe.
class WatchReport {
 public:
  WatchReport(Output& output, bool is_verbose);

  void event(const ids::WatchEvent& event);
  /// A process list that was finished; its findings. One is due every `period`.
  void processes(const ids::ProcessList& list, const ids::Kernel& kernel,
                 std::chrono::milliseconds period);
  /// An analysis that was not.
  void unfinished(const std::string& analysis, const common::Error& error);

  /// kExitOk, or the worst that analyses found: kExitFindings before kExitUnknown.
  int findings() const { return findings_; }
  /// Standard output takes no more.
  bool is_broken() const { return is_broken_; }

 private:
  enum class Level { kAlert, kNotice, kDetail };
  void emit(Level level, const std::string& head, const std::string& text, Json json);
  void found(int code);

  Output& output_;
  const bool is_verbose_;
  const bool has_journal_;
  std::mutex mutex_;
  int findings_ = kExitOk;
  std::atomic<bool> is_broken_ = false;  // read by who only waits
};

/// For the document at the end.
Json to_json(const ids::WatchTotals& totals);
/// The same in one line.
std::string describe(const ids::WatchTotals& totals);

}  // namespace sevmon::cli
