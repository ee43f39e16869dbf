// SPDX-License-Identifier: Apache-2.0
#include "standing_runs.hpp"

#include <cstdio>
#include <string>
#include <utility>

#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

std::string seconds(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(ns) / 1e9);
  return text;
}

Error describe(const ids::StandingGap& gap) {
  return {ErrorCode::kTimeout, "Xen made no list for " + seconds(gap.ns) +
                                   (gap.is_open ? " so far" : "") + ", and " +
                                   seconds(gap.allowed_ns) + " were allowed"};
}

/// Who collects them takes what this watch has not seen, too: nobody is told to.
Error describe_way(const std::vector<std::uint64_t>& programs) {
  std::string names;
  for (const auto program : programs)
    names += (names.empty() ? "" : ", ") + ids::hex_address(program);
  return {
      ErrorCode::kTooLarge,
      "results of " + names +
          ", of this key's programs, wait in front of further lists: their owner has to collect "
          "them; `sevmon program results` takes all, these lists unseen"};
}

}  // namespace

StandingRuns::StandingRuns(ids::Channel& channel, ids::StandingOrder order,
                           std::chrono::milliseconds poll, Wait wait, Tell tell)
    : feed_{channel, std::move(order), ids::StandingFeed::Use::kTakeOver},
      poll_{poll},
      wait_{std::move(wait)},
      tell_{std::move(tell)} {}

Result<ids::ProgramRun> StandingRuns::next() {
  looked_at();
  if (auto ok = fill(); !ok) return ok.error();
  given_ = std::move(queue_.front());
  queue_.pop_front();
  last_ = {given_->run.head.number, given_->age_ns};
  return ids::as_program_run(given_->run);
}

void StandingRuns::looked_at() {
  if (given_) feed_.looked_at(given_->run.head.number);
  given_.reset();
}

void StandingRuns::put_back() {
  if (given_) queue_.push_front(*std::move(given_));
  given_.reset();
}

/// A watch's requests are as many whatever they ask: to poll costs nothing.
Result<void> StandingRuns::fill() {
  while (queue_.empty()) {
    if (!is_more_ && !is_over_ && !wait_(poll_))
      return Error{ErrorCode::kConnect, "the watch is over"};
    if (auto ok = poll(); !ok) return ok;
    is_drained_ = is_over_ && queue_.empty();
    if (is_drained_) return Error{ErrorCode::kNotFound, "no more lists"};
  }
  return {};
}

Result<void> StandingRuns::poll() {
  is_more_ = false;  // also after an error
  if (!is_started_ && !is_over_)
    if (auto ok = feed_.start(); !ok) return ok;
  is_started_ = true;
  auto news = feed_.collect();
  if (!news) return news.error();
  is_more_ = news->waiting != 0 && !news->runs.empty();
  tell(*news);
  for (auto& run : news->runs) {
    const auto started_ns = run.head.report.started_ns;
    const auto age_ns = news->agent_ns > started_ns ? news->agent_ns - started_ns : 0;
    queue_.push_back({std::move(run), age_ns});
  }
  return {};
}

void StandingRuns::tell(const ids::StandingNews& news) {
  const auto say = [&](ErrorCode code, std::uint64_t count, const char* text) {
    if (count != 0) tell_({code, std::to_string(count) + text});
  };
  say(ErrorCode::kTooLarge, news.skipped_before,
      " lists were not made before this watch began: results of earlier ones waited too long");
  for (const auto& gap : news.gaps) tell_(describe(gap));
  say(ErrorCode::kTooLarge, news.skipped,
      " lists were not made: results of earlier ones waited too long");
  tell_others(news);
  if (news.trouble)
    tell_({news.trouble->code, "whether lists are still scheduled: " + news.trouble->detail});
}

/// What only somebody else with this IDS's key does.
void StandingRuns::tell_others(const ids::StandingNews& news) {
  if (news.lost != 0)
    tell_({ErrorCode::kNotFound, std::to_string(news.lost) +
                                     " lists that Xen made are gone: somebody else with this key "
                                     "has taken them"});
  if (news.others != 0)
    tell_({ErrorCode::kMismatch, std::to_string(news.others) +
                                     " lists are of another domain or page table, or not of one "
                                     "instant: somebody else with this key scheduled them"});
  if (news.is_scheduled_anew)
    tell_({ErrorCode::kMismatch,
           "lists were scheduled no more, or otherwise, by somebody else with this key; they are "
           "scheduled again"});
  if (!news.in_the_way.empty() && news.in_the_way != in_the_way_)
    tell_(describe_way(news.in_the_way));
  in_the_way_ = news.in_the_way;
}

// ---- The end ----

Result<void> StandingRuns::end() {
  is_over_ = true;
  return feed_.unschedule();
}

Result<void> StandingRuns::let_go() {
  looked_at();
  return feed_.let_go();
}

}  // namespace sevmon::cli
