// SPDX-License-Identifier: Apache-2.0
#include "watch_report.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <sevmon/text.hpp>

#include "process_json.hpp"

namespace sevmon::cli {
namespace {

using ids::Alert;
using ids::WatchEvent;
using Type = WatchEvent::Type;

/// By this machine's clock: "2026-11-22T17:03:04.567Z".
std::string timestamp() {
  timespec now{};
  std::tm parts{};
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  char text[40];
  const auto length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof(text) - length, ".%03ldZ", now.tv_nsec / 1'000'000);
  return text;
}

const char* name(Type type) {
  switch (type) {
    case Type::kConnected:
      return "connected";
    case Type::kLost:
      return "lost";
    case Type::kRaised:
    case Type::kHappened:
      return "alert";
    case Type::kCleared:
      return "cleared";
    case Type::kAnswered:
      return "answer";
  }
  return "answer";
}

// So many times the time between lists: as if it were of now.
constexpr int kFewPeriods = 3;

bool is_old(const ids::StandingOrigin& origin, std::chrono::milliseconds period) {
  return std::chrono::nanoseconds{origin.age_ns} > kFewPeriods * period;
}

std::string seconds(std::uint64_t ns) {
  return std::to_string(ns / 1'000'000'000) + " s";
}

template <typename Values>
Json by_alert(const Values& values) {
  Json json = Json::object();
  for (std::size_t i = 0; i < ids::kAlerts; ++i)
    json[std::string{ids::name(static_cast<Alert>(i))}] = values[i];
  return json;
}

}  // namespace

WatchReport::WatchReport(Output& output, bool is_verbose)
    : output_{output},
      is_verbose_{is_verbose},
      has_journal_{std::getenv("JOURNAL_STREAM") != nullptr} {}

void WatchReport::event(const WatchEvent& event) {
  Json json = {{"event", name(event.type)}};
  std::string head = name(event.type);
  switch (event.type) {
    case Type::kRaised:
    case Type::kHappened:
    case Type::kCleared:
      head += " " + std::string{ids::name(event.alert)};
      json["kind"] = ids::name(event.alert);
      break;
    default:
      break;
  }
  json["text"] = ids::escape(event.text);
  if (event.type == Type::kRaised || event.type == Type::kHappened)
    json["lasts"] = event.type == Type::kRaised;
  if (event.type == Type::kCleared) json["times"] = event.times;
  if (event.type == Type::kCleared) json["lasted_ns"] = event.lasted.count();
  if (event.type == Type::kAnswered) json["took_ns"] = event.lasted.count();
  const auto level = json["event"] == "alert"        ? Level::kAlert
                     : event.type == Type::kAnswered ? Level::kDetail
                                                     : Level::kNotice;
  emit(level, head, event.text, std::move(json));
}

void WatchReport::processes(const ids::ProcessList& list, const ids::Kernel& kernel,
                            std::chrono::milliseconds period) {
  const int code = exit_code(list);
  std::string text = std::to_string(list.processes.size()) + " processes, " +
                     std::string{ids::name(list.consistency)};
  if (list.standing && is_old(*list.standing, period))
    text += ", as they were " + seconds(list.standing->age_ns) + " ago";
  for (const auto& note : list.notes) text += "; " + describe(note);
  emit(code == kExitOk ? Level::kNotice : Level::kAlert, code == kExitOk ? "ps" : "alert ps", text,
       {{"event", "analysis"},
        {"analysis", "ps"},
        {"exit", code},
        {"result", to_json(list, kernel)}});
  found(code);
}

void WatchReport::unfinished(const std::string& analysis, const common::Error& error) {
  emit(Level::kAlert, "unknown " + analysis, error.message(),
       {{"event", "analysis"},
        {"analysis", analysis},
        {"exit", kExitUnknown},
        {"error", {{"code", common::name(error.code)}, {"message", ids::escape(error.detail)}}}});
  found(kExitUnknown);
}

void WatchReport::found(int code) {
  const std::lock_guard lock{mutex_};
  if (code == kExitFindings || (code != kExitOk && findings_ == kExitOk)) findings_ = code;
}

void WatchReport::emit(Level level, const std::string& head, const std::string& text, Json json) {
  if (level == Level::kDetail && !is_verbose_) return;
  const std::lock_guard lock{mutex_};
  const auto now = timestamp();
  if (output_.json()) {
    Json document = {{"schema", 1}, {"command", "watch"}, {"time", now}};
    document.update(json);
    output_.raw(document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } else {
    // What the journal makes of a line's first bytes: sd-daemon(3). It has its own clock.
    static constexpr const char* kPriorities[] = {"<1>", "<5>", "<7>"};
    const auto style = level == Level::kAlert    ? Output::Style::kBad
                       : level == Level::kDetail ? Output::Style::kDim
                                                 : Output::Style::kPlain;
    const auto line = head + ": " + ids::escape(text);
    output_.line(has_journal_ ? kPriorities[static_cast<std::size_t>(level)] + line
                              : now + " " + output_.styled(style, line));
  }
  if (std::fflush(stdout) != 0) is_broken_ = true;
}

Json to_json(const ids::WatchTotals& totals) {
  return {{"slots", totals.slots},
          {"skipped", totals.skipped},
          {"answers", totals.answers},
          {"unanswered", totals.unanswered},
          {"connections", totals.connections},
          {"unverified", totals.unverified},
          {"alerts", by_alert(totals.alerts)},
          {"standing", by_alert(totals.standing)}};
}

std::string describe(const ids::WatchTotals& totals) {
  std::string alerts;
  for (std::size_t i = 0; i < ids::kAlerts; ++i)
    if (totals.alerts[i] != 0)
      alerts += (alerts.empty() ? "" : ", ") + std::string{ids::name(static_cast<Alert>(i))} + " " +
                std::to_string(totals.alerts[i]) + (totals.standing[i] ? " (still)" : "");
  return std::to_string(totals.slots) + " slots, " + std::to_string(totals.skipped) + " skipped, " +
         std::to_string(totals.answers) + " answers, " + std::to_string(totals.unanswered) +
         " requests unanswered, " + std::to_string(totals.connections) +
         " connections; alerts: " + (alerts.empty() ? "none" : alerts);
}

}  // namespace sevmon::cli
