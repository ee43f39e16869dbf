// SPDX-License-Identifier: Apache-2.0
#include "watch/state.hpp"

#include <cstdio>
#include <cstring>
#include <utility>

#include <sevmon/text.hpp>

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using Type = WatchEvent::Type;

// Ordinary clocks differ by less than this part of the time that passes.
constexpr std::int64_t kClockParts = 2000;

std::string seconds(nanoseconds time) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(time.count()) / 1e9);
  return text;
}

std::string short_id(const common::IdBytes& id) {
  return hex(std::span<const std::uint8_t>{id}.first(4));
}

}  // namespace

std::string_view name(Alert alert) {
  switch (alert) {
    case Alert::kSilence:
      return "silence";
    case Alert::kLate:
      return "late";
    case Alert::kTampered:
      return "tampered";
    case Alert::kReboot:
      return "reboot";
    case Alert::kRollback:
      return "rollback";
    case Alert::kClock:
      return "clock";
    case Alert::kRefused:
      return "refused";
    case Alert::kKey:
      return "key";
  }
  return "unknown";
}

WatchState::WatchState(const WatchOptions& options, Report report, TimePoint now)
    : options_{options}, report_{std::move(report)}, heard_{now} {}

// ---- What happens ----

bool WatchState::connected(const common::IdBytes& boot_nonce, const std::string& where,
                           TimePoint now) {
  is_connected_ = true;
  ++totals_.connections;
  report_(
      {.type = Type::kConnected, .text = where + ": a session with boot " + short_id(boot_nonce)});
  const bool is_another = boot(boot_nonce, now);
  clear(Alert::kRefused, now);
  clear(Alert::kKey, now);
  // Who lets handshakes through, and nothing after them, has not let the agent be heard.
  if (std::exchange(was_answered_, false)) heard(now);
  return is_another;
}

bool WatchState::boot(const common::IdBytes& boot_nonce, TimePoint now) {
  if (boot_ == boot_nonce) return false;
  const bool is_another = boot_.has_value();
  if (is_another)
    happened(Alert::kReboot, "the agent started again within the last " + seconds(now - heard_) +
                                 ": boot " + short_id(*boot_) + " is now " + short_id(boot_nonce));
  boot_ = boot_nonce;
  forget_boot();
  return is_another;
}

/// Clock and counters start again with the agent.
void WatchState::forget_boot() {
  anchor_.reset();
  last_agent_time_ns_ = 0;
  counters_.reset();
}

void WatchState::answered(const Answer& answer) {
  ++totals_.answers;
  was_answered_ = true;
  const auto took = answer.received - answer.sent;
  if (took > options_.deadline)
    raise(Alert::kLate, "an answer took " + seconds(took), answer.received);
  else
    clear(Alert::kLate, answer.received);
  check_clock(answer);
  const auto tampered_before = condition(Alert::kTampered).times;
  if (answer.status) check_counters(*answer.status, answer.received);
  // Only a heartbeat says that nobody tampers at the agent's end.
  if (!saw_unverified_ && answer.status && condition(Alert::kTampered).times == tampered_before)
    clear(Alert::kTampered, answer.received);
  saw_unverified_ = false;
  heard(answer.received);
  report_({.type = Type::kAnswered,
           .text = "answered after " + seconds(took),
           .lasted = duration_cast<nanoseconds>(took)});
}

void WatchState::heard(TimePoint now) {
  clear(Alert::kSilence, now);
  clear(Alert::kRefused, now);
  clear(Alert::kKey, now);
  heard_ = now;
}

void WatchState::failed(const common::Error& error, TimePoint now) {
  switch (error.code) {
    case ErrorCode::kTimeout:
      raise(Alert::kLate, error.detail, now);
      break;
    case ErrorCode::kForged:
    case ErrorCode::kMalformed:
    case ErrorCode::kMismatch:
    case ErrorCode::kTooLarge:
    case ErrorCode::kTruncated:
      saw_unverified_ = true;
      raise(Alert::kTampered, error.detail, now);
      break;
    case ErrorCode::kKey:
    case ErrorCode::kIo:
      raise(Alert::kKey, error.detail, now);
      break;
    case ErrorCode::kConnect:
      if (std::exchange(is_connected_, false)) report_({.type = Type::kLost, .text = error.detail});
      break;
    default:
      raise(Alert::kRefused, error.detail, now);
  }
  tick(now);
}

void WatchState::unverified(std::uint64_t count, TimePoint now) {
  if (count == 0) return;
  totals_.unverified += count;
  saw_unverified_ = true;
  raise(Alert::kTampered, std::to_string(count) + " deliveries that do not verify", now);
}

nanoseconds WatchState::tick(TimePoint now) {
  if (is_silent()) return options_.silence;
  const auto passed = now - heard_;
  if (passed < options_.silence) return options_.silence - passed;
  raise(Alert::kSilence, "no sealed answer for " + seconds(passed), now);
  // Whatever connection there is, nobody is at its other end.
  is_connected_ = false;
  return options_.silence;
}

// ---- What an answer says ----

/// The agent read its clock between our sending and our receiving; so two answers bound how much of
/// its time may have passed.
void WatchState::check_clock(const Answer& answer) {
  const auto time_ns = answer.agent_time_ns;
  if (time_ns < last_agent_time_ns_) {
    happened(Alert::kRollback,
             "the agent's clock went back by " +
                 seconds(nanoseconds{last_agent_time_ns_ - time_ns}) +
                 " within one boot: its machine was set back to an earlier state");
    anchor_.reset();
  }
  last_agent_time_ns_ = time_ns;
  if (!anchor_) {
    anchor_ = {answer.sent, answer.received, time_ns};
    return;
  }
  const nanoseconds theirs{static_cast<std::int64_t>(time_ns - anchor_->agent_time_ns)};
  const auto least = duration_cast<nanoseconds>(answer.sent - anchor_->received);
  const auto most = duration_cast<nanoseconds>(answer.received - anchor_->sent);
  const auto tolerated = duration_cast<nanoseconds>(options_.deadline) + most / kClockParts;
  if (theirs >= least - tolerated && theirs <= most + tolerated) return;
  happened(Alert::kClock, "while " + seconds(most) + " passed here, the agent's clock moved by " +
                              seconds(theirs));
  anchor_ = {answer.sent, answer.received, time_ns};
}

void WatchState::check_counters(const sevmon_status& status, TimePoint now) {
  std::array<std::uint64_t, SEVMON_COUNTERS> counters;
  std::memcpy(counters.data(), status.counter, sizeof(counters));
  const auto before = std::exchange(counters_, counters);
  if (!before) return;
  for (std::size_t i = 0; i < counters.size(); ++i) {
    if (counters[i] >= (*before)[i]) continue;
    happened(Alert::kRollback,
             "a counter of the agent's went back from " + std::to_string((*before)[i]) + " to " +
                 std::to_string(counters[i]) + " within one boot: its machine was set back");
    return;
  }
  // What strangers can cause without having seen a session (malformed frames, first messages that
  // do not verify) is left out.
  const auto forged = counters[SEVMON_COUNT_FORGED] - (*before)[SEVMON_COUNT_FORGED];
  const auto replayed = counters[SEVMON_COUNT_REPLAYED] - (*before)[SEVMON_COUNT_REPLAYED];
  if (forged + replayed > 0)
    raise(Alert::kTampered,
          "the agent was given " + std::to_string(forged) + " forged and " +
              std::to_string(replayed) + " replayed requests (of any IDS's)",
          now);
}

// ---- Conditions ----

void WatchState::raise(Alert alert, std::string text, TimePoint now) {
  auto& condition = conditions_[static_cast<std::size_t>(alert)];
  ++condition.times;
  if (condition.is_raised) return;
  condition.is_raised = true;
  condition.since = now;
  ++totals_.alerts[static_cast<std::size_t>(alert)];
  totals_.standing[static_cast<std::size_t>(alert)] = true;
  report_({.type = Type::kRaised, .alert = alert, .text = std::move(text), .times = 1});
}

void WatchState::clear(Alert alert, TimePoint now) {
  auto& condition = conditions_[static_cast<std::size_t>(alert)];
  if (!condition.is_raised) return;
  const auto ended = std::exchange(condition, {});
  totals_.standing[static_cast<std::size_t>(alert)] = false;
  // Silence began with the last answer, not when it was noticed.
  const auto since = alert == Alert::kSilence ? heard_ : ended.since;
  report_({.type = Type::kCleared,
           .alert = alert,
           .text = "over after " + seconds(now - since) + ", seen " + std::to_string(ended.times) +
                   (ended.times == 1 ? " time" : " times"),
           .lasted = duration_cast<nanoseconds>(now - since),
           .times = ended.times});
}

void WatchState::happened(Alert alert, std::string text) {
  ++totals_.alerts[static_cast<std::size_t>(alert)];
  report_({.type = Type::kHappened, .alert = alert, .text = std::move(text), .times = 1});
}

}  // namespace sevmon::ids
