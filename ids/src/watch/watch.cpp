// SPDX-License-Identifier: Apache-2.0
#include <sevmon/watch.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <sevmon/codec.hpp>

#include "channel/crypto.hpp"
#include "watch/slots.hpp"
#include "watch/state.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using std::chrono::milliseconds;
using TimePoint = WatchClock::TimePoint;

// A relay that is down is asked no more often than this, however short the interval.
constexpr milliseconds kReconnectPause{1000};
// Requests of the last analyses, to be repeated when there is nothing to ask.
constexpr std::size_t kMaxCovers = 64;

sevmon_item item_of(std::uint8_t type) {
  sevmon_item item{};
  item.type = type;
  return item;
}

Request request_of(std::uint8_t type) {
  return {{SEVMON_DOMID_DOM0}, {}, {item_of(type)}};
}

/// `request` with a status item in front, as much of it as then fits.
Request with_status(const Request& request, std::uint8_t size_class) {
  Request both{request.domain, request.root, {item_of(SEVMON_ITEM_STATUS)}};
  common::DataLayout layout{size_class};
  layout.place(sizeof(sevmon_status));
  for (const auto& item : request.items) {
    const auto bytes = common::item_data_bytes(item);
    if (both.items.size() == SEVMON_MAX_ITEMS || !layout.fits(bytes)) break;
    layout.place(bytes);
    both.items.push_back(item);
  }
  return both;
}

std::optional<sevmon_status> status_in(const Response& response) {
  if (response.head.status != SEVMON_ANSWER_OK || response.items.empty()) return std::nullopt;
  const auto& item = response.items.front();
  sevmon_status status;
  if (item.status != SEVMON_STATUS_OK || item.bytes.size() != sizeof(status)) return std::nullopt;
  std::memcpy(&status, item.bytes.data(), sizeof(status));
  return status;
}

/// Requests of programs do something, and cannot be asked along with something else.
bool is_repeatable(const Request& request) {
  return std::ranges::all_of(request.items, [](const sevmon_item& item) {
    return item.type < SEVMON_ITEM_PROGRAM_BEGIN && item.type != SEVMON_ITEM_CLOSE;
  });
}

/// After these nothing will come over this connection any more, or nothing that can be read.
bool ends_channel(ErrorCode code) {
  return code == ErrorCode::kConnect || code == ErrorCode::kMalformed ||
         code == ErrorCode::kInternal;
}

}  // namespace

struct Watch::Impl {
  Impl(const WatchOptions& watch_options, WatchConnect watch_connect, WatchClock& watch_clock,
       WatchState::Report report)
      : options{watch_options},
        connect{std::move(watch_connect)},
        clock{watch_clock},
        state{options, std::move(report), clock.now()},
        slots{options.size_class},
        connection_id{random_array<SEVMON_ID_BYTES>()} {}

  void use_slot();
  void open(TimePoint now);
  void ask();
  void take(const Response& response, bool is_heartbeat, TimePoint sent, TimePoint received);
  Request heartbeat();
  void remember(const Request& request);
  void rebooted();
  void say_goodbye();

  const WatchOptions options;
  const WatchConnect connect;
  WatchClock& clock;
  std::mutex state_mutex;  // run()'s thread and the guard tell `state` what happens
  WatchState state;
  Slots slots;
  const common::IdBytes connection_id;
  std::unique_ptr<Channel> channel;
  std::uint64_t known_unverified = 0;  // of `channel`'s
  bool has_asked = false;              // anything over `channel`
  bool is_answering = false;           // the last request was answered
  TimePoint next_attempt{};
  std::deque<Request> covers;
};

// ---- One slot ----

void Watch::Impl::use_slot() {
  const auto now = clock.now();
  {
    const std::lock_guard lock{state_mutex};
    ++state.totals().slots;
    // TCP takes minutes to notice that the network is back; a new connection notices at once.
    if (state.is_silent() && has_asked) channel.reset();
  }
  if (channel)
    ask();
  else if (now >= next_attempt)
    open(now);
}

void Watch::Impl::open(TimePoint now) {
  next_attempt = now + kReconnectPause;
  auto opened = connect(connection_id);
  const std::lock_guard lock{state_mutex};
  now = clock.now();
  if (!opened) return state.failed(opened.error(), now);
  channel = *std::move(opened);
  const auto boot_nonce = channel->boot_nonce();
  has_asked = false;
  known_unverified = channel->stats().unverified;
  state.unverified(known_unverified, now);
  if (state.connected(boot_nonce, channel->describe(), now)) rebooted();
  slots.reset(boot_nonce);
}

void Watch::Impl::ask() {
  has_asked = true;
  auto wanted = slots.next();
  auto request = wanted ? *wanted : heartbeat();
  auto sent = clock.now();
  auto responses = channel->exchange({&request, 1});
  if (!responses && responses.error().code == ErrorCode::kUsage && wanted) {
    // It cannot be sent. Another goes out in its place, or the rate would tell.
    slots.put(responses.error());
    wanted.reset();
    request = heartbeat();
    sent = clock.now();
    responses = channel->exchange({&request, 1});
  }
  const std::lock_guard lock{state_mutex};
  const auto received = clock.now();
  const auto unverified = channel->stats().unverified;
  state.unverified(unverified - std::exchange(known_unverified, unverified), received);
  is_answering = responses.has_value();
  if (!responses) {
    ++state.totals().unanswered;
    if (wanted) slots.put(responses.error());
    state.failed(responses.error(), received);
    if (ends_channel(responses.error().code)) channel.reset();
    return;
  }
  // The channel may have made a new session for it.
  if (state.boot(channel->boot_nonce(), received)) {
    rebooted();
    slots.reset(channel->boot_nonce());
    wanted.reset();  // asked of the boot before
  }
  auto& response = responses->front();
  take(response, !wanted, sent, received);
  if (!wanted) return;
  remember(request);
  slots.put(std::move(response));
}

void Watch::Impl::take(const Response& response, bool is_heartbeat, TimePoint sent,
                       TimePoint received) {
  WatchState::Answer answer{sent, received, response.head.time_ns, {}};
  if (is_heartbeat) {
    answer.status = status_in(response);
    if (!answer.status) covers.clear();  // what they read is no longer there
  }
  state.answered(answer);
}

/// A status request, and with it what an analysis asked before: to answer it takes the agent as
/// long as to answer an analysis.
Request Watch::Impl::heartbeat() {
  if (covers.empty()) return request_of(SEVMON_ITEM_STATUS);
  std::rotate(covers.begin(), covers.begin() + 1, covers.end());
  return with_status(covers.back(), options.size_class);
}

void Watch::Impl::remember(const Request& request) {
  if (!is_repeatable(request)) return;
  covers.push_back(request);
  if (covers.size() > kMaxCovers) covers.pop_front();
}

void Watch::Impl::rebooted() {
  covers.clear();
  slots.fail({ErrorCode::kConnect, "the agent started again"});
}

/// So that the agent has the place free at once.
void Watch::Impl::say_goodbye() {
  if (!channel || !is_answering) return;
  const auto request = request_of(SEVMON_ITEM_CLOSE);
  static_cast<void>(channel->exchange({&request, 1}));
  channel.reset();
}

// ---- The guard ----

/// Raises silence when its time has come, whatever run() waits for just then: a connection, a
/// handshake and an answer may each take longer.
class Watch::Guard {
 public:
  explicit Guard(Impl& watch) : watch_{watch}, thread_{[this] { run(); }} {}
  ~Guard() {
    {
      const std::lock_guard lock{watch_.state_mutex};
      is_over_ = true;
    }
    over_.notify_all();
    thread_.join();
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  void run() {
    std::unique_lock lock{watch_.state_mutex};
    while (!is_over_) over_.wait_for(lock, watch_.state.tick(watch_.clock.now()));
  }

  Impl& watch_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;  // last: it uses the others
};

// ---- The watch ----

Watch::Watch(const WatchOptions& options, WatchConnect connect, WatchClock& clock,
             std::function<void(const WatchEvent&)> report)
    : impl_{std::make_unique<Impl>(options, std::move(connect), clock, std::move(report))} {}

Watch::~Watch() = default;

Channel& Watch::channel() {
  return impl_->slots;
}

WatchTotals Watch::run(const std::function<void()>& at_end, const std::function<void()>& at_slot) {
  auto& self = *impl_;
  const auto& options = self.options;
  const auto start = self.clock.now();
  const auto end =
      options.max_duration.count() > 0 ? start + options.max_duration : TimePoint::max();
  auto& totals = self.state.totals();
  // Also when something throws: nobody shall wait for a slot that will not come.
  struct Close {
    Slots& slots;
    const std::function<void()>& at_end;
    ~Close() {
      if (at_end) at_end();
      slots.fail({ErrorCode::kConnect, "the watch is over"});
    }
  };
  const Close close{self.slots, at_end};
  std::optional<Guard> guard{self};
  auto slot = start;
  while (slot < end && (options.max_slots == 0 || totals.slots < options.max_slots) &&
         self.clock.wait_until(slot)) {
    if (at_slot) at_slot();
    self.use_slot();
    // The slots that passed meanwhile are not caught up with: no bursts.
    const auto passed = std::max<std::int64_t>((self.clock.now() - slot) / options.interval, 0);
    totals.skipped += static_cast<std::uint64_t>(passed);
    slot += options.interval * (passed + 1);
  }
  if (slot >= end) static_cast<void>(self.clock.wait_until(end));
  guard.reset();
  self.say_goodbye();
  return totals;
}

}  // namespace sevmon::ids
