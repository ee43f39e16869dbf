// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// What `Watch` raises. Names (name()) are stable: scripts and rules match them.
enum class Alert : std::uint8_t {
  kSilence,   // no sealed answer for WatchOptions::silence
  kLate,      // an answer took longer than WatchOptions::deadline, or did not come
  kTampered,  // frames did not verify here, or not at the agent
  kReboot,    // a handshake succeeded under another boot nonce
  kRollback,  // within one boot the agent's clock or counters went back
  kClock,     // the agent's clock runs unlike ours
  kRefused,   // the relay or the agent will not
  kKey,       // the key file cannot be used
};
constexpr std::size_t kAlerts = 8;

/// "silence", "late", ….
std::string_view name(Alert alert);

struct WatchEvent {
  enum class Type : std::uint8_t {
    kConnected,  // a session was opened
    kLost,       // the connection ended
    kRaised,     // `alert` from now on
    kCleared,    // `alert` no more: it lasted for `lasted` and was seen `times` times
    kHappened,   // `alert`, which does not last
    kAnswered,   // a verified answer, after `lasted`
  } type = Type::kAnswered;
  Alert alert = Alert::kSilence;  // with kRaised, kCleared, kHappened
  std::string text;               // for people, in one line
  std::chrono::nanoseconds lasted{};
  std::uint64_t times = 0;
};

struct WatchOptions {
  /// One request every so often, whatever is asked.
  std::chrono::milliseconds interval{1000};
  /// How long an answer may take. The channels that WatchConnect makes give up after as long.
  std::chrono::milliseconds deadline{2000};
  /// At least `interval` and `deadline` together. Raised then, whatever is being waited for.
  std::chrono::milliseconds silence{10000};
  std::uint64_t max_slots = 0;                     // 0: no end
  std::chrono::milliseconds max_duration{};        // 0: no end
  std::uint8_t size_class = SEVMON_CLASS_4_PAGES;  // of all the channels
};

struct WatchTotals {
  std::uint64_t slots = 0;  // times to send that were used
  std::uint64_t skipped =
      0;  // that passed while an earlier request, or a handshake, was waited for
  std::uint64_t answers = 0;     // verified
  std::uint64_t unanswered = 0;  // requests without
  std::uint64_t connections = 0;
  std::uint64_t unverified = 0;                 // deliveries
  std::array<std::uint64_t, kAlerts> alerts{};  // how often each was raised
  std::array<bool, kAlerts> standing{};         // not cleared at the end
};

/// Time, so that tests need none.
class WatchClock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  virtual ~WatchClock() = default;
  /// From any thread.
  virtual TimePoint now() = 0;
  /// @return false when somebody wants the watch to end; then at once.
  virtual bool wait_until(TimePoint time) = 0;
};

/// Makes a channel to the agent: with `connection_id`, with WatchOptions' deadline and size class,
/// and without goodbye. Reads the key anew each time, so that a new one is found.
using WatchConnect = std::function<common::Result<std::unique_ptr<Channel>>(
    const std::array<std::uint8_t, SEVMON_ID_BYTES>& connection_id)>;

/// Watches an agent for as long as it lives, over however many connections that takes.
///
/// One request in every interval, never more, never fewer: a status request when nobody wants to
/// know anything else. The relay sees frames of one size at a constant rate and cannot tell what is
/// asked, nor whether.
class Watch {
 public:
  Watch(const WatchOptions& options, WatchConnect connect, WatchClock& clock,
        std::function<void(const WatchEvent&)> report);
  ~Watch();

  /// Until max_slots, max_duration, or the clock says so. Calls `report` from this thread and from
  /// one of its own, never from both at once; it must not throw. At the end tells the agent, in the
  /// last slot, that the connection is over. `at_slot` is called before each slot, and `at_end`
  /// before what other threads ask fails for it; they must not throw.
  WatchTotals run(const std::function<void()>& at_end = {},
                  const std::function<void()>& at_slot = {});

  /// For analyses in other threads, while run() runs: what is asked here waits for its slots. A
  /// request whose answer is lost is asked again, three times in all; one of before a reboot is
  /// not. Afterwards, and when the agent has rebooted, exchange() fails with kConnect.
  Channel& channel();

 private:
  struct Impl;
  class Guard;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sevmon::ids
