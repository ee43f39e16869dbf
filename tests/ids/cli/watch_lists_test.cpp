// SPDX-License-Identifier: Apache-2.0
//
//   WatchLists ── a channel ── the agent's own code, in which a program gives back its input: what
//   the library's program of processes gave of a kernel that is made up
#include "watch_lists.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "ids/channel/programs_fixture.hpp"
#include "process_guest.hpp"

namespace sevmon::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class WatchListsTest : public ids::test::ProgramsTest {
 protected:
  WatchListsTest() {
    unsetenv("JOURNAL_STREAM");
    output_.set_json(true);
    guest_.add_usual();
    testing::internal::CaptureStdout();
  }
  ~WatchListsTest() override { events(); }

  /// 700 has no id, but is in the ring of tasks.
  void hide() { guest_.processes.insert(700, 0); }

  WatchListSource source() {
    return {[this](ids::Channel&) { return common::Result<ids::Kernel>{guest_.kernel()}; },
            [this](const ids::Kernel&,
                   const ids::ProgramSchedule& schedule) -> common::Result<ids::StandingOrder> {
              const std::uint64_t from_the_beginning = 0;
              const auto run = guest_.run(std::as_bytes(std::span{&from_the_beginning, 1}));
              return ids::StandingOrder{
                  {bytes(image_).begin(), bytes(image_).end()}, run.result, schedule};
            }};
  }
  /// Until Xen would make lists, and the first poll is over.
  void begin() {
    lists_.emplace(*channel_, source(),
                   WatchListOptions{.period = milliseconds{400},
                                    .interval = milliseconds{10},
                                    .method = ids::ListMethod::kStanding,
                                    .domain = {SEVMON_DOMID_DOM0}},
                   report_);
    wait_until([this] { return is_scheduled(); });
  }
  void end() {
    lists_->end();
    lists_->stop();
  }
  common::Result<void> finish(seconds time = seconds{20}) {
    return lists_->finish(*channel_, steady_clock::now() + time);
  }
  static void wait_until(const std::function<bool()>& is_so) {
    const auto end = steady_clock::now() + seconds{30};
    while (!is_so() && steady_clock::now() < end) std::this_thread::sleep_for(milliseconds{10});
    ASSERT_TRUE(is_so());
  }
  void run_by_xen(unsigned runs) {
    for (unsigned i = 0; i < runs; ++i) agent_.tick(host_);
  }
  bool is_scheduled() {
    const auto entries = *programs_.list();
    return !entries.empty() && entries[0].max_ms != 0;
  }
  std::size_t left() { return programs_.collect(0)->runs.size(); }

  /// All lines; once.
  std::vector<Json> events() {
    if (is_captured_) {
      std::istringstream lines{testing::internal::GetCapturedStdout()};
      for (std::string line; std::getline(lines, line);) events_.push_back(Json::parse(line));
    }
    is_captured_ = false;
    return events_;
  }
  std::vector<int> codes() {
    std::vector<int> codes;
    for (const auto& event : events()) codes.push_back(event["exit"]);
    return codes;
  }
  std::string error(std::size_t index) { return events().at(index)["error"]["message"]; }
  using Codes = std::vector<int>;

  tests::ProcessGuest guest_{"new"};
  const tests::Image image_ = echo();
  ids::Programs programs_{*channel_};
  Output output_;
  WatchReport report_{output_, false};
  std::optional<WatchLists> lists_;
  bool is_captured_ = true;
  std::vector<Json> events_;
};

TEST_F(WatchListsTest, ListsWhatXenMadeWithItsNumberAndAge) {
  begin();
  run_by_xen(2);
  wait_until([this] { return left() == 0; });  // the agent was told that both were looked at
  end();
  EXPECT_TRUE(lists_->is_standing());
  ASSERT_TRUE(finish());
  lists_->tell_if_none();
  EXPECT_EQ(codes(), (Codes{0, 0}));
  EXPECT_EQ(events()[0]["result"]["number"], 1);
  EXPECT_EQ(events()[1]["result"]["number"], 2);
  EXPECT_EQ(events()[1]["result"]["method"], "standing");
  EXPECT_EQ(events()[1]["result"]["processes"].size(), 5u);
  EXPECT_TRUE(events()[1]["result"].contains("age_ns"));
  EXPECT_EQ(report_.findings(), kExitOk);
  EXPECT_FALSE(is_scheduled());
}

TEST_F(WatchListsTest, WhatXenMadeLastIsLookedAtAtTheEnd) {
  hide();
  begin();
  end();
  run_by_xen(2);
  ASSERT_TRUE(finish());
  lists_->tell_if_none();
  EXPECT_EQ(codes(), (Codes{1}));
  EXPECT_EQ(events()[0]["result"]["notes"][0]["kind"], "hidden-from-pids");
  EXPECT_EQ(report_.findings(), kExitFindings);
  EXPECT_EQ(left(), 0u);
  EXPECT_FALSE(is_scheduled());
}

TEST_F(WatchListsTest, WhatAListThatWasInterruptedSawCounts) {
  hide();
  begin();
  run_by_xen(1);
  wait_until([this] { return left() == 0; });  // by its first pass; the second waits
  end();
  run_by_xen(1);
  ASSERT_TRUE(finish());
  EXPECT_EQ(codes(), (Codes{1}));
}

TEST_F(WatchListsTest, WhatWasSeenOnceAtTheEndIsNotForgotten) {
  hide();
  begin();
  run_by_xen(1);
  wait_until([this] { return left() == 0; });
  end();
  ASSERT_TRUE(finish());
  lists_->tell_if_none();
  EXPECT_EQ(codes(), (Codes{3, 3}));
  EXPECT_NE(error(0).find("was to be made again"), std::string::npos) << error(0);
}

TEST_F(WatchListsTest, AWatchThatFinishedNoneKnowsNothing) {
  begin();
  end();
  ASSERT_TRUE(finish());
  lists_->tell_if_none();
  EXPECT_EQ(codes(), (Codes{3}));
  EXPECT_EQ(error(0), "the watch is over and has finished no list");
  EXPECT_EQ(report_.findings(), kExitUnknown);
}

TEST_F(WatchListsTest, WhatCannotBeLookedAtStaysAndIsTold) {
  begin();
  end();
  run_by_xen(2);
  const auto ended = finish(seconds{-1});
  ASSERT_FALSE(ended);
  EXPECT_EQ(codes(), (Codes{3}));
  EXPECT_NE(error(0).find("left for the next watch"), std::string::npos) << error(0);
  EXPECT_EQ(left(), 2u);
  EXPECT_TRUE(is_scheduled());
}

TEST_F(WatchListsTest, OverdueListsAreToldWhateverTheThreadWaitsFor) {
  begin();
  lists_->look(steady_clock::now());
  lists_->look(steady_clock::now() + seconds{7});  // 400 ms and 600 requests
  end();
  EXPECT_EQ(codes(), (Codes{3}));
  EXPECT_NE(error(0).find("no list was finished for"), std::string::npos) << error(0);
}

TEST_F(WatchListsTest, ATargetCannotHaveAsManyTasksReadAsItLikes) {
  // A tree of them: each wave of reads leads to twice as many.
  auto& processes = guest_.processes;
  const auto links = [&](int i) { return processes.member(1000 + i, "tasks"); };
  for (int i = 0; i < 1023; ++i)
    processes.add_unlisted({.pid = 1000 + i, .parent = 1, .comm = "x"});
  for (int i = 0; i < 511; ++i) {
    processes.bytes.put(links(i), links(2 * i + 1));
    processes.bytes.put(links(i) + 8, links(2 * i + 2));
  }
  processes.bytes.put(processes.member(5000, "tasks"), links(0));
  begin();
  run_by_xen(4);
  wait_until([this] { return left() == 0; });
  end();
  const auto notes = events().at(0)["result"]["notes"].dump();
  EXPECT_NE(notes.find("over 256 tasks that no id leads to"), std::string::npos);
}

}  // namespace
}  // namespace sevmon::cli
