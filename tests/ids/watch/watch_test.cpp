// SPDX-License-Identifier: Apache-2.0
//
//   Watch ── ScriptedChannel: answers at once, late, or not, as the test says; moves the clock
#include <sevmon/watch.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <future>
#include <thread>
#include <vector>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using std::chrono::milliseconds;
using Id = std::array<std::uint8_t, SEVMON_ID_BYTES>;
using Type = WatchEvent::Type;

class FakeClock : public WatchClock {
 public:
  TimePoint now() override { return now_; }
  bool wait_until(TimePoint time) override {
    now_ = std::max(now(), time);
    return now() < stop_at;
  }
  void pass(milliseconds time) { now_ = now() + time; }
  milliseconds since_start() {
    return std::chrono::duration_cast<milliseconds>(now() - TimePoint{} - std::chrono::hours{1});
  }
  TimePoint stop_at = TimePoint::max();

 private:
  std::atomic<TimePoint> now_ = TimePoint{} + std::chrono::hours{1};
};

/// The agent and all that is between; outlives its channels.
struct Script {
  FakeClock clock;
  std::function<Result<void>()> on_connect = [] { return Result<void>{}; };
  std::function<Result<void>(const Request&)> on_request = [](const Request&) {
    return Result<void>{};
  };
  Id boot{1};
  std::uint64_t unverified = 0;
  std::vector<milliseconds> sent_at;
  std::vector<Request> requests;
  std::vector<Id> connection_ids;
  int open = 0;
};

class ScriptedChannel : public Channel {
 public:
  explicit ScriptedChannel(Script& script) : script_{script} { ++script_.open; }
  ~ScriptedChannel() override { --script_.open; }

  Result<std::vector<Response>> exchange(std::span<const Request> requests) override {
    EXPECT_EQ(requests.size(), 1u);
    script_.sent_at.push_back(script_.clock.since_start());
    script_.requests.push_back(requests.front());
    if (auto ok = script_.on_request(requests.front()); !ok) return ok.error();
    Response response;
    response.head.time_ns =
        static_cast<std::uint64_t>(std::chrono::nanoseconds{script_.clock.since_start()}.count());
    response.body.assign(sizeof(sevmon_status), std::byte{0});
    if (requests.front().items.front().type == SEVMON_ITEM_STATUS)
      response.items.push_back({SEVMON_STATUS_OK, 0, response.body});
    std::vector<Response> responses;
    responses.push_back(std::move(response));
    return responses;
  }
  std::uint8_t size_class() const override { return SEVMON_CLASS_4_PAGES; }
  ChannelStats stats() const override {
    ChannelStats stats;
    stats.unverified = script_.unverified;
    return stats;
  }
  Id boot_nonce() const override { return script_.boot; }
  std::string describe() const override { return "script"; }

 private:
  Script& script_;
};

class WatchTest : public ::testing::Test {
 protected:
  WatchTest() {
    options_.interval = milliseconds{100};
    options_.deadline = milliseconds{1000};
    options_.silence = milliseconds{5000};
    options_.max_slots = 20;
  }

  Watch make() {
    return Watch{options_,
                 [this](const Id& id) -> Result<std::unique_ptr<Channel>> {
                   script_.connection_ids.push_back(id);
                   if (auto ok = script_.on_connect(); !ok) return ok.error();
                   return std::unique_ptr<Channel>{std::make_unique<ScriptedChannel>(script_)};
                 },
                 script_.clock,
                 [this](const WatchEvent& event) {
                   events_.push_back(event);
                   if (event.type == Type::kRaised && event.alert == Alert::kSilence)
                     silence_.set_value();
                 }};
  }

  /// Time passes until silence is due; then real time does, until it was raised. By a guard that
  /// had begun to wait, or that begins now.
  Result<void> hear_nothing() {
    std::this_thread::sleep_for(milliseconds{10});
    script_.clock.pass(options_.silence);
    EXPECT_EQ(silence_.get_future().wait_for(std::chrono::seconds{10}), std::future_status::ready);
    script_.clock.pass(options_.deadline);
    return Error{ErrorCode::kTimeout, "nothing"};
  }

  std::size_t count(Type type) const {
    std::size_t count = 0;
    for (const auto& event : events_) count += event.type == type;
    return count;
  }
  static std::uint64_t alerts(const WatchTotals& totals, Alert alert) {
    return totals.alerts[static_cast<std::size_t>(alert)];
  }

  WatchOptions options_;
  Script script_;
  std::vector<WatchEvent> events_;
  std::promise<void> silence_;
};

TEST_F(WatchTest, OneRequestInEverySlotAndAGoodbye) {
  const auto totals = make().run();
  EXPECT_EQ(totals.slots, 20u);
  EXPECT_EQ(totals.answers, 19u);  // the first slot connects
  EXPECT_EQ(totals.skipped, 0u);
  ASSERT_EQ(script_.sent_at.size(), 20u);
  for (std::size_t i = 0; i < 19; ++i) EXPECT_EQ(script_.sent_at[i], milliseconds{100 * (i + 1)});
  EXPECT_EQ(script_.requests.back().items.front().type, SEVMON_ITEM_CLOSE);
  EXPECT_EQ(script_.open, 0);
}

TEST_F(WatchTest, EndsWhenTheClockSaysSoOrItsTimeIsOver) {
  options_.max_slots = 0;
  script_.clock.stop_at = script_.clock.now() + milliseconds{550};
  EXPECT_EQ(make().run().slots, 6u);
  script_.clock.stop_at = WatchClock::TimePoint::max();
  options_.max_duration = milliseconds{1000};
  EXPECT_EQ(make().run().slots, 10u);
}

TEST_F(WatchTest, SaysWhenASlotComesAndWhenItIsOver) {
  std::size_t slots = 0, at_end = 0;
  make().run([&] { at_end = slots; }, [&] { ++slots; });
  EXPECT_EQ(slots, 20u);
  EXPECT_EQ(at_end, 20u);
}

TEST_F(WatchTest, SlotsThatPassAreCountedAndNotCaughtUpWith) {
  script_.on_request = [&](const Request&) {
    if (script_.sent_at.size() == 3) script_.clock.pass(milliseconds{450});
    return Result<void>{};
  };
  const auto totals = make().run();
  EXPECT_EQ(totals.skipped, 4u);
  EXPECT_EQ(script_.sent_at[2], milliseconds{300});
  EXPECT_EQ(script_.sent_at[3], milliseconds{800});
  EXPECT_EQ(script_.sent_at[4], milliseconds{900});
}

TEST_F(WatchTest, ConnectsAgainUnderTheSameIdAndNotTooOften) {
  bool is_down = false;
  script_.on_request = [&](const Request&) -> Result<void> {
    if (script_.sent_at.size() == 3) is_down = true;
    if (is_down) return Error{ErrorCode::kConnect, "the relay closed"};
    return {};
  };
  script_.on_connect = [&]() -> Result<void> {
    if (script_.connection_ids.size() < 4 && is_down) return Error{ErrorCode::kConnect, "nobody"};
    is_down = false;
    return {};
  };
  options_.max_slots = 60;
  const auto totals = make().run();
  EXPECT_EQ(totals.connections, 2u);
  EXPECT_EQ(totals.unanswered, 1u);
  ASSERT_EQ(script_.connection_ids.size(), 4u);  // once, then one a second until it works
  for (const auto& id : script_.connection_ids) EXPECT_EQ(id, script_.connection_ids.front());
  EXPECT_EQ(count(Type::kLost), 1u);
  EXPECT_EQ(count(Type::kRaised), 0u);
}

TEST_F(WatchTest, ASilentConnectionIsReplaced) {
  script_.on_request = [&](const Request&) -> Result<void> {
    if (script_.connection_ids.size() > 1) return {};
    script_.clock.pass(options_.deadline);
    return Error{ErrorCode::kTimeout, "nothing"};
  };
  const auto totals = make().run();
  EXPECT_EQ(totals.connections, 2u);
  EXPECT_EQ(alerts(totals, Alert::kSilence), 1u);
  EXPECT_EQ(alerts(totals, Alert::kLate), 1u);
  EXPECT_FALSE(totals.standing[static_cast<std::size_t>(Alert::kSilence)]);
}

TEST_F(WatchTest, HandshakesAloneAreSilence) {
  options_.max_slots = 600;
  const milliseconds cut{40'000};
  script_.on_request = [&](const Request&) -> Result<void> {
    if (script_.clock.since_start() >= cut) return {};
    return Error{ErrorCode::kConnect, "closed"};
  };
  const auto totals = make().run();
  EXPECT_GT(totals.connections, 10u);
  EXPECT_EQ(alerts(totals, Alert::kSilence), 1u);
  EXPECT_GT(totals.answers, 10u);
  EXPECT_FALSE(totals.standing[static_cast<std::size_t>(Alert::kSilence)]);
}

TEST_F(WatchTest, SilenceIsRaisedWhileAnAnswerIsWaitedFor) {
  options_.silence = milliseconds{200};
  options_.max_slots = 2;
  script_.on_request = [&](const Request&) { return hear_nothing(); };
  EXPECT_EQ(alerts(make().run(), Alert::kSilence), 1u);
}

TEST_F(WatchTest, SilenceIsRaisedWhileAConnectionIsMade) {
  options_.silence = milliseconds{200};
  options_.max_slots = 1;
  script_.on_connect = [&] { return hear_nothing(); };
  EXPECT_EQ(alerts(make().run(), Alert::kSilence), 1u);
}

TEST_F(WatchTest, RebootWithinAConnectionAndAcrossConnections) {
  script_.on_request = [&](const Request&) -> Result<void> {
    if (script_.sent_at.size() == 5) script_.boot = {2};
    if (script_.sent_at.size() == 10) return Error{ErrorCode::kConnect, "closed"};
    return {};
  };
  script_.on_connect = [&] {
    if (script_.connection_ids.size() == 2) script_.boot = {3};
    return Result<void>{};
  };
  const auto totals = make().run();
  EXPECT_EQ(alerts(totals, Alert::kReboot), 2u);
}

TEST_F(WatchTest, DeliveriesThatDoNotVerifyAreTampering) {
  script_.on_request = [&](const Request&) {
    if (script_.sent_at.size() == 5) script_.unverified += 3;
    return Result<void>{};
  };
  const auto totals = make().run();
  EXPECT_EQ(totals.unverified, 3u);
  EXPECT_EQ(alerts(totals, Alert::kTampered), 1u);
  EXPECT_EQ(count(Type::kCleared), 1u);
}

/// An analysis's requests, each of one page.
std::vector<Request> analysis(std::size_t count) {
  std::vector<Request> requests(count);
  for (std::size_t i = 0; i < count; ++i)
    requests[i].items.assign(SEVMON_MAX_ITEMS, {SEVMON_ITEM_READ_VIRTUAL, 0, 64, 0, 4096 * i});
  return requests;
}

TEST_F(WatchTest, AnAnalysisUsesTheSameSlotsAndHeartbeatsLookLikeIt) {
  options_.max_slots = 0;
  bool is_done = false;
  auto watch = make();
  std::future<Result<std::vector<Response>>> result;
  script_.on_request = [&](const Request& request) {
    if (script_.sent_at.size() == 3) {
      result =
          std::async(std::launch::async, [&] { return watch.channel().exchange(analysis(5)); });
    }
    is_done = is_done || (request.items.size() == SEVMON_MAX_ITEMS &&
                          request.items.front().type == SEVMON_ITEM_READ_VIRTUAL &&
                          request.items.front().address == 4 * 4096);
    if (is_done && script_.clock.stop_at == WatchClock::TimePoint::max())
      script_.clock.stop_at = script_.clock.now() + milliseconds{1000};
    return Result<void>{};
  };
  const auto totals = watch.run();
  ASSERT_TRUE(result.get());
  EXPECT_EQ(totals.skipped, 0u);
  for (std::size_t i = 0; i + 1 < script_.sent_at.size(); ++i)
    EXPECT_EQ(script_.sent_at[i], milliseconds{100 * (i + 1)});
  const auto& last = script_.requests[script_.requests.size() - 2];
  EXPECT_EQ(last.items.size(), std::size_t{SEVMON_MAX_ITEMS});
  EXPECT_EQ(last.items.front().type, SEVMON_ITEM_STATUS);
  EXPECT_EQ(last.items.back().type, SEVMON_ITEM_READ_VIRTUAL);
}

TEST_F(WatchTest, HeartbeatsDoNotRepeatWhatProgramsDo) {
  options_.max_slots = 0;
  auto watch = make();
  std::future<Result<std::vector<Response>>> result;
  Request collect;
  collect.items.resize(1);
  collect.items[0].type = SEVMON_ITEM_PROGRAM_COLLECT;
  std::size_t collects = 0;
  script_.on_request = [&](const Request& request) {
    if (script_.sent_at.size() == 1)
      result = std::async(std::launch::async, [&] {
        return watch.channel().exchange({&collect, 1});
      });
    for (const auto& item : request.items) collects += item.type == SEVMON_ITEM_PROGRAM_COLLECT;
    if (collects != 0 && script_.clock.stop_at == WatchClock::TimePoint::max())
      script_.clock.stop_at = script_.clock.now() + milliseconds{1000};
    return Result<void>{};
  };
  static_cast<void>(watch.run());
  ASSERT_TRUE(result.get());
  EXPECT_EQ(collects, 1u);
}

TEST_F(WatchTest, WhatCannotBeSentLeavesNoGap) {
  options_.max_slots = 0;
  auto watch = make();
  std::future<Result<std::vector<Response>>> result;
  script_.on_request = [&](const Request& request) -> Result<void> {
    if (script_.requests.size() == 2)
      result =
          std::async(std::launch::async, [&] { return watch.channel().exchange(analysis(1)); });
    if (request.items.front().type == SEVMON_ITEM_READ_VIRTUAL) {
      script_.sent_at.pop_back();  // it was not sent
      script_.clock.stop_at = script_.clock.now() + milliseconds{500};
      return Error{ErrorCode::kUsage, "over the size class"};
    }
    return {};
  };
  const auto totals = watch.run();
  EXPECT_EQ(result.get().error().code, ErrorCode::kUsage);
  EXPECT_EQ(totals.unanswered, 0u);
  for (std::size_t i = 0; i + 1 < script_.sent_at.size(); ++i)
    EXPECT_EQ(script_.sent_at[i], milliseconds{100 * (i + 1)});
}

TEST_F(WatchTest, AnalysesOfAfterItAreRefused) {
  auto watch = make();
  watch.run();
  const auto late = watch.channel().exchange(analysis(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kConnect);
}

}  // namespace
}  // namespace sevmon::ids
