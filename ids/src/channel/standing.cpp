// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <sevmon/standing.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// What may delay a run that is due: those of other programs, each of which pauses for 100 ms at
// most, and whatever else Xen's CPU is at.
constexpr std::uint64_t kSlackNs = 500'000'000;

constexpr std::uint64_t allowed_ns(std::chrono::milliseconds max) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{max}.count()) + kSlackNs;
}

std::uint64_t name_of(const sevmon_program_entry& entry) {
  std::uint64_t name = 0;
  std::memcpy(&name, entry.sha256, sizeof(name));
  return name;
}

/// What could not pause the target, or had nothing to begin at, ends no gap.
bool saw_something(const sevmon_run_report& report) {
  return report.state != SEVMON_RUN_NOT_PAUSED && report.state != SEVMON_RUN_NO_TARGET &&
         report.state != SEVMON_RUN_NO_ROOT;
}

/// Runs without a result, behind the oldest one that waits: what was seen first stays.
std::uint64_t count_skipped(const Collected& waiting) {
  if (waiting.runs.empty()) return 0;
  const auto numbers = waiting.next_number - waiting.runs.front().head.number;
  const auto results = waiting.runs.size() + waiting.waiting;
  return numbers > results ? numbers - results : 0;
}

/// Of whom all these are.
std::vector<std::uint64_t> programs_of(std::span<const StandingRun> runs) {
  std::vector<std::uint64_t> names;
  for (const auto& run : runs)
    if (std::ranges::find(names, run.head.program) == names.end())
      names.push_back(run.head.program);
  return names;
}

}  // namespace

std::vector<StandingGap> find_gaps(const Collected& collected,
                                   std::span<const sevmon_program_entry> entries) {
  std::vector<StandingGap> gaps;
  for (const auto& entry : entries) {
    if (entry.max_ms == 0) continue;
    StandingGap gap{.program = name_of(entry),
                    .allowed_ns = allowed_ns(std::chrono::milliseconds{entry.max_ms})};
    std::uint64_t ended_ns = 0;
    const auto look = [&](std::uint64_t now_ns) {
      gap.ns = now_ns > ended_ns ? now_ns - ended_ns : 0;
      if (ended_ns != 0 && gap.ns > gap.allowed_ns) gaps.push_back(gap);
    };
    // As far as nothing of it is here: what the agent itself says of it.
    const auto begun_ns = std::max(entry.scheduled_ns, entry.standing_ns);
    for (const auto& run : collected.runs) {
      if (run.head.program != gap.program || !saw_something(run.head.report)) continue;
      // The first run of a schedule follows none of it.
      if (run.head.report.runs != 0) look(run.head.report.started_ns);
      gap.after = run.head.number;
      ended_ns = run.head.report.ended_ns;
    }
    gap.is_open = true;
    if (collected.waiting != 0) continue;
    if (gap.after == 0) ended_ns = begun_ns;
    look(collected.agent_ns);
  }
  return gaps;
}

StandingFeed::StandingFeed(Channel& channel, StandingOrder order, Use use)
    : channel_{&channel},
      order_{std::move(order)},
      use_{use},
      name_{Programs::name_of(order_.image)},
      max_{order_.schedule.max} {}

// ---- Its beginning ----

Result<void> StandingFeed::start() {
  boot_ = channel_->boot_nonce();
  if (use_ == Use::kJoin)
    if (auto ok = join(); !ok) return ok;
  if (auto ok = begin(); !ok) return ok;
  return use_ == Use::kJoin && !is_ours_ ? Result<void>{} : schedule();
}

/// Takes over instead if there is nothing to join.
Result<void> StandingFeed::join() {
  const auto entries = Programs{*channel_}.list();
  if (!entries) return entries.error();
  const auto joined = std::ranges::find_if(
      *entries, [&](const auto& entry) { return name_of(entry) == name_ && entry.max_ms != 0; });
  if (joined != entries->end())
    max_ = std::chrono::milliseconds{joined->max_ms};
  else
    is_ours_ = true;
  return {};
}

/// What there is before it is scheduled.
Result<void> StandingFeed::begin() {
  if (has_begun_) return {};
  const auto waiting = Programs{*channel_}.collect(0);
  if (!waiting) return waiting.error();
  has_begun_ = true;
  seen_ns_ = agent_ns_ = waiting->agent_ns;
  next_number_ = waiting->next_number;
  skipped_ = waiting->skipped;
  if (use_ == Use::kJoin)
    first_ = last_ = given_ = looked_at_ = next_number_ - 1;
  else
    skipped_before_ = count_skipped(*waiting);
  return {};
}

Result<void> StandingFeed::schedule() {
  // Before anybody knows: the answer can get lost, and the schedule stays.
  is_ours_ = true;
  const auto begun = Programs{*channel_}.schedule(order_.image, order_.input, order_.schedule);
  if (!begun) {
    const auto code = begun.error().code;
    if (code == ErrorCode::kUnsupported || code == ErrorCode::kUsage) is_ours_ = false;
    return begun.error();
  }
  // By then the program may have been sent, and each request have waited for a slot of a watch.
  scheduled_ns_ = seen_ns_ = begun->time_ns;
  domid_ = begun->domid;
  next_run_ = 0;
  seen_ = told_ns_ = 0;
  is_taken_over_ = false;
  return {};
}

// ---- What it leaves ----

/// Another watch of this IDS may have scheduled it, with the same name and for something else.
bool StandingFeed::is_as_scheduled(const sevmon_result_head& head) const {
  if (!is_ours_) return true;
  const auto& run = order_.schedule.run;
  // Where there was no domain, nobody knew its number.
  const bool is_its_domain = !domid_ || head.domid == *domid_ || head.domid == run.domain.value;
  const bool is_atomic = (head.flags & SEVMON_RUN_ATOMIC) != 0;
  if (!is_its_domain || is_atomic != run.pause.has_value()) return false;
  return run.root.kind != Root::Kind::kFrame ||
         (head.root_frame == run.root.frame.value && head.levels == run.root.levels);
}

void StandingFeed::looked_at(std::uint64_t number) {
  // What was not given needs no look.
  looked_at_ = std::max(looked_at_, number >= given_ ? last_ : number);
}

/// Told once: the agent may have been set back to a time when other runs had these numbers.
std::uint64_t StandingFeed::forgettable() const {
  const auto seen = std::min(ours_, looked_at_);
  return seen > forgotten_ ? seen : 0;
}

/// What waits, if that follows on what was known.
Result<Collected> StandingFeed::fetch(std::uint64_t seen) {
  if (!is_here()) return Error{ErrorCode::kConnect, "the agent started again"};
  auto collected = Programs{*channel_}.collect(seen);
  if (!collected) return collected;
  if (!is_here()) return Error{ErrorCode::kConnect, "the agent started again"};
  if (collected->next_number < next_number_ || collected->agent_ns < agent_ns_)
    return Error{ErrorCode::kMismatch, "the agent was set back: it is at standing run " +
                                           std::to_string(collected->next_number) + " and was at " +
                                           std::to_string(next_number_) +
                                           " before; runs between may never be seen"};
  next_number_ = collected->next_number;
  agent_ns_ = collected->agent_ns;
  forgotten_ = std::max(forgotten_, seen);
  return collected;
}

Result<StandingNews> StandingFeed::collect() {
  auto collected = fetch(forgettable());
  if (!collected) return collected.error();
  StandingNews news;
  news.agent_ns = collected->agent_ns;
  news.waiting = collected->waiting;
  news.skipped = collected->skipped - std::min(skipped_, collected->skipped);
  news.skipped_before = std::exchange(skipped_before_, 0);
  skipped_ = collected->skipped;
  take(*collected, news);
  if (collected->waiting != 0 || is_over_) return news;
  look(collected->agent_ns, true, news.gaps);
  if (is_ours_ && !news.gaps.empty() && news.gaps.back().is_open) mend(news);
  return news;
}

void StandingFeed::take(Collected& collected, StandingNews& news) {
  const bool was_all_looked_at = looked_at_ >= given_;
  bool is_in_front = true;
  bool is_any_ours = false;
  for (const auto& run : collected.runs) {
    is_in_front = is_in_front && is_ours_ && run.head.program == name_ && run.head.number > first_;
    if (is_in_front) ours_ = run.head.number;
    is_any_ours = is_any_ours || run.head.program == name_;
  }
  if (collected.waiting != 0 && !is_any_ours) news.in_the_way = programs_of(collected.runs);
  for (auto& run : collected.runs) {
    const auto number = run.head.number;
    if (run.head.program != name_ || number <= last_) continue;
    last_ = number;
    if (!is_as_scheduled(run.head)) {
      is_taken_over_ = is_taken_over_ || run.head.report.started_ns >= scheduled_ns_;
      ++news.others;
      continue;
    }
    follow(run, news);
    given_ = number;
    news.runs.push_back(std::move(run));
  }
  if (was_all_looked_at && news.runs.empty()) looked_at_ = std::max(looked_at_, last_);
}

/// Whether it came when it should, after the run before.
void StandingFeed::follow(const StandingRun& run, StandingNews& news) {
  const auto& report = run.head.report;
  if (report.started_ns < scheduled_ns_) return;
  // A schedule's runs count from 0. Fewer than there were: it is another one.
  const auto next = next_run_.value_or(report.runs);
  const auto lost = report.runs < next ? report.runs : report.runs - next;
  next_run_ = report.runs + 1;
  news.lost += lost;
  if (!saw_something(report)) return;
  if (lost == 0) look(report.started_ns, false, news.gaps);
  seen_ns_ = report.ended_ns;
  seen_ = run.head.number;
  told_ns_ = 0;
}

/// Whether it has been too long until now that it ran.
void StandingFeed::look(std::uint64_t now_ns, bool is_open, std::vector<StandingGap>& gaps) {
  const auto allowed = allowed_ns(max_);
  const auto ns = now_ns > seen_ns_ ? now_ns - seen_ns_ : 0;
  if (ns <= (is_open ? told_ns_ : 0) + allowed) return;
  if (is_open) told_ns_ = ns;
  gaps.push_back(
      {.program = name_, .after = seen_, .ns = ns, .allowed_ns = allowed, .is_open = is_open});
}

/// When no runs come: are there any, and is it still scheduled?
void StandingFeed::mend(StandingNews& news) {
  const auto entries = Programs{*channel_}.list();
  if (!entries) {
    news.trouble = entries.error();
    return;
  }
  const auto entry =
      std::ranges::find_if(*entries, [&](const auto& each) { return name_of(each) == name_; });
  const auto& schedule = order_.schedule;
  if (entry == entries->end() || entry->max_ms != schedule.max.count() ||
      entry->min_ms != schedule.min.count() || is_taken_over_) {
    const auto ok = this->schedule();
    news.is_scheduled_anew = ok.has_value();
    if (!ok) news.trouble = ok.error();
    return;
  }
  // One that ended before the answer, and is not in it, somebody else has. One of after may come.
  const auto next = next_run_.value_or(entry->standing_runs);
  if (entry->standing_ns > news.agent_ns || entry->standing_runs <= next) return;
  news.lost += entry->standing_runs - next;
  next_run_ = entry->standing_runs;
  seen_ns_ = entry->standing_ns;
  told_ns_ = 0;
  news.gaps.pop_back();
}

// ---- Its end ----

Result<void> StandingFeed::unschedule() {
  if (!is_ours_ || !is_here()) return {};
  auto ok = Programs{*channel_}.unschedule(name_);
  if (!ok && ok.error().code != ErrorCode::kNotFound) return ok;
  is_over_ = true;
  return {};
}

Result<void> StandingFeed::let_go() {
  const auto seen = forgettable();
  if (!is_ours_ || !is_here() || seen == 0) return {};
  const auto forgotten = fetch(seen);
  return forgotten ? Result<void>{} : Result<void>{forgotten.error()};
}

Result<void> StandingFeed::end() {
  if (!is_ours_ || !is_here()) return {};
  if (auto ok = unschedule(); !ok) return ok;
  // Also of what ran since the last answer.
  looked_at(last_);
  if (const auto rest = collect(); !rest) return rest.error();
  looked_at(last_);
  return let_go();
}

ProgramRun as_program_run(StandingRun run) {
  ProgramRun given;
  given.report = run.head.report;
  given.head.time_ns = run.head.report.started_ns;
  given.head.domid = run.head.domid;
  given.head.kind = run.head.kind;
  given.head.levels = run.head.levels;
  given.head.root_frame = run.head.root_frame;
  given.result = std::move(run.result);
  return given;
}

}  // namespace sevmon::ids
