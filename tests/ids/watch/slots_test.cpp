// SPDX-License-Identifier: Apache-2.0
#include "watch/slots.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Request request(std::uint64_t address) {
  return {{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 64, 0, address}}};
}

Response response(std::uint64_t time_ns) {
  Response answer;
  answer.head.time_ns = time_ns;
  return answer;
}

class SlotsTest : public ::testing::Test {
 protected:
  ~SlotsTest() override { slots_.fail({ErrorCode::kConnect, "the test is over"}); }

  using Exchanged = std::future<Result<std::vector<Response>>>;
  Exchanged ask(std::vector<std::uint64_t> addresses) {
    return std::async(std::launch::async, [this, addresses = std::move(addresses)] {
      std::vector<Request> requests;
      for (const auto address : addresses) requests.push_back(request(address));
      return slots_.exchange(requests);
    });
  }

  /// The address that is asked next, once somebody asks.
  std::uint64_t next() {
    while (true) {
      if (const auto asked = slots_.next()) return asked->items.front().address;
      std::this_thread::yield();
    }
  }

  Slots slots_{SEVMON_CLASS_1_PAGE};
};

TEST_F(SlotsTest, NothingIsAsked) {
  EXPECT_FALSE(slots_.next());
  slots_.put(response(1));  // of a heartbeat
  EXPECT_TRUE(slots_.exchange({})->empty());
}

TEST_F(SlotsTest, OneRequestAtATimeInOrder) {
  auto exchanged = ask({1, 2, 3});
  for (const std::uint64_t address : {1, 2, 3}) {
    EXPECT_EQ(next(), address);
    slots_.put(response(address * 10));
  }
  const auto responses = exchanged.get();
  ASSERT_TRUE(responses);
  ASSERT_EQ(responses->size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ((*responses)[i].head.time_ns, (i + 1) * 10);
  EXPECT_FALSE(slots_.next());
}

TEST_F(SlotsTest, WhatWasLostIsAskedAgainThreeTimesInAll) {
  auto exchanged = ask({7});
  for (const auto code : {ErrorCode::kTimeout, ErrorCode::kConnect, ErrorCode::kForged}) {
    EXPECT_EQ(next(), 7u);
    slots_.put(Error{code, "lost"});
  }
  const auto responses = exchanged.get();
  ASSERT_FALSE(responses);
  EXPECT_EQ(responses.error().code, ErrorCode::kForged);
  EXPECT_FALSE(slots_.next());
}

TEST_F(SlotsTest, WhatCannotBeAskedFailsAtOnce) {
  auto exchanged = ask({7});
  next();
  slots_.put(Error{ErrorCode::kUsage, "over the size class"});
  EXPECT_EQ(exchanged.get().error().code, ErrorCode::kUsage);
}

TEST_F(SlotsTest, SeveralAskersEachGetTheirs) {
  auto first = ask({1});
  EXPECT_EQ(next(), 1u);
  auto second = ask({2});
  slots_.put(response(10));
  EXPECT_EQ(next(), 2u);
  slots_.put(response(20));
  EXPECT_EQ(first.get()->front().head.time_ns, 10u);
  EXPECT_EQ(second.get()->front().head.time_ns, 20u);
}

TEST_F(SlotsTest, RebootFailsWhatWaitsAndAnAnswerOfBefore) {
  auto exchanged = ask({1, 2});
  next();
  slots_.fail({ErrorCode::kConnect, "the agent started again"});
  EXPECT_FALSE(exchanged.get());
  EXPECT_FALSE(slots_.exchange(std::vector{request(3)}));
  slots_.put(response(1));  // to nobody
  slots_.reset({9});
  EXPECT_EQ(slots_.boot_nonce(), (common::IdBytes{9}));
  auto again = ask({3});
  EXPECT_EQ(next(), 3u);
  slots_.put(response(30));
  EXPECT_EQ(again.get()->front().head.time_ns, 30u);
}

}  // namespace
}  // namespace sevmon::ids
