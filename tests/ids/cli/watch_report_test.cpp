// SPDX-License-Identifier: Apache-2.0
#include "watch_report.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "ids/linux/fake_kernel.hpp"

namespace sevmon::cli {
namespace {

using std::chrono::seconds;

class WatchReportTest : public ::testing::Test {
 protected:
  WatchReportTest() { unsetenv("JOURNAL_STREAM"); }

  /// What is printed of a list that Xen made so long ago.
  std::string printed(std::uint64_t age_s) {
    ids::ProcessList list;
    list.standing = {.number = 7, .age_ns = age_s * 1'000'000'000};
    const ids::Kernel kernel{info_, {}, 0, [] { return std::unique_ptr<ids::Memory>{}; }};
    testing::internal::CaptureStdout();
    WatchReport{output_, false}.processes(list, kernel, seconds{10});
    return testing::internal::GetCapturedStdout();
  }

  ids::test::FakeInfo info_;
  Output output_;
};

TEST_F(WatchReportTest, SaysWhenAListIsOfLongAgo) {
  EXPECT_EQ(printed(30).find("ago"), std::string::npos);
  EXPECT_NE(printed(31).find("0 processes, consistent, as they were 31 s ago"), std::string::npos);
}

TEST_F(WatchReportTest, TheDocumentHasNumberAndAge) {
  output_.set_json(true);
  const auto document = Json::parse(printed(30));
  EXPECT_EQ(document["result"]["number"], 7);
  EXPECT_EQ(document["result"]["age_ns"], 30'000'000'000);
}

TEST_F(WatchReportTest, WhatWasNotFinishedIsUnknown) {
  WatchReport report{output_, false};
  testing::internal::CaptureStdout();
  report.unfinished("ps", {common::ErrorCode::kTimeout, "nothing came"});
  EXPECT_NE(testing::internal::GetCapturedStdout().find("unknown ps: timeout: nothing came"),
            std::string::npos);
  EXPECT_EQ(report.findings(), kExitUnknown);
}

}  // namespace
}  // namespace sevmon::cli
