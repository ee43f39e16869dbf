// SPDX-License-Identifier: Apache-2.0
#include "list_clock.hpp"

#include <algorithm>
#include <string>

namespace sevmon::cli {
namespace {

// What a list of a large system may take by pages, and one of Xen's whose tasks have to be read.
constexpr int kMostRequests = 600;

std::string seconds(std::chrono::steady_clock::duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

ListClock::ListClock(std::chrono::milliseconds period, std::chrono::milliseconds interval,
                     TimePoint now)
    : allowed_{std::max(3 * period, period + kMostRequests * interval)}, last_{now}, told_{now} {}

void ListClock::finished(TimePoint now) {
  const std::lock_guard lock{mutex_};
  is_any_finished_ = true;
  last_ = told_ = now;
}

bool ListClock::is_any_finished() const {
  const std::lock_guard lock{mutex_};
  return is_any_finished_;
}

std::optional<common::Error> ListClock::look(TimePoint now) {
  const std::lock_guard lock{mutex_};
  if (now - told_ <= allowed_) return std::nullopt;
  told_ = now;
  return common::Error{common::ErrorCode::kTimeout, "no list was finished for " +
                                                        seconds(now - last_) + ", and " +
                                                        seconds(allowed_) + " are allowed"};
}

}  // namespace sevmon::cli
