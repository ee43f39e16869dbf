// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <ctime>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sevmon/watch.hpp>

#include "command.hpp"
#include "listing.hpp"
#include "watch_lists.hpp"
#include "watch_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using ids::ListMethod;
using std::chrono::milliseconds;

constexpr milliseconds kMinInterval{10};
// The relay ends connections that are idle for minutes, and a connection that is idle for ten
// seconds may lose its place at the agent.
constexpr milliseconds kMaxInterval{60'000};
constexpr milliseconds kMaxTime = std::chrono::hours{24 * 3650};
// Of Xen's own lists: half of it is at least four pauses, one and a half of it a day at most.
constexpr milliseconds kMinStanding{400};
constexpr milliseconds kMaxStanding = std::chrono::hours{16};
// At the end: an answer, the few of a handshake, and all lists together. systemd waits for 30 s.
constexpr milliseconds kEndAnswer{2000};
constexpr milliseconds kEndLists{5000};

struct Flags {
  std::string interval, deadline, silence, duration, ps;
  std::optional<std::string> method;
  std::uint64_t count = 0;
};

struct Settings {
  ids::WatchOptions watch;
  WatchListOptions lists;  // period 0: none
};

Result<void> set_time(milliseconds& time, const std::string& text, const char* what,
                      milliseconds max = kMaxTime) {
  if (text.empty()) return {};
  const auto parsed = parse_time(text, what, max);
  if (!parsed) return parsed.error();
  time = *parsed;
  return {};
}

/// After the time between lists.
Result<void> set_method(Settings& settings, const Flags& flags) {
  if (!flags.method) return {};
  const auto method =
      parse_method(flags.method, false, {ListMethod::kPages, ListMethod::kStanding});
  if (!method) return method.error();
  settings.lists.method = *method;
  if (flags.ps.empty()) return Error{ErrorCode::kUsage, "--method: of process lists; add --ps"};
  if (*method != ListMethod::kStanding) return {};
  if (settings.lists.period < kMinStanding || settings.lists.period > kMaxStanding)
    return Error{ErrorCode::kUsage, "--ps " + flags.ps + ": with standing, 400ms to 16h"};
  // A list of several hundred processes is one result, and has to fit an answer.
  settings.watch.size_class = SEVMON_CLASS_15_PAGES;
  return {};
}

Result<Settings> take_flags(const Flags& flags, const Options& options, common::DomId domain) {
  Settings settings;
  auto& watch = settings.watch;
  settings.lists.domain = domain;
  watch.deadline = options.timeout.value_or(watch.deadline);
  watch.max_slots = flags.count;
  for (auto ok : {set_time(watch.interval, flags.interval, "interval", kMaxInterval),
                  set_time(watch.deadline, flags.deadline, "deadline", kMaxInterval),
                  set_time(watch.max_duration, flags.duration, "duration"),
                  set_time(settings.lists.period, flags.ps, "time between process lists"),
                  set_method(settings, flags)})
    if (!ok) return ok.error();
  settings.lists.interval = watch.interval;
  if (watch.interval < kMinInterval) return Error{ErrorCode::kUsage, "an interval below 10ms"};
  watch.silence = std::max(watch.silence, 2 * watch.interval + 2 * watch.deadline);
  if (auto ok = set_time(watch.silence, flags.silence, "silence"); !ok) return ok.error();
  if (watch.silence < watch.interval + watch.deadline)
    return Error{ErrorCode::kUsage, "silence after less than interval and deadline together"};
  return settings;
}

/// Ends with SIGTERM or SIGINT, which must be blocked in every thread. A second one ends the
/// process at once, whatever it waits for.
class SignalClock : public ids::WatchClock {
 public:
  explicit SignalClock(const WatchReport& report) : report_{report} {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    thread_ = std::thread{[this] { take_signals(); }};
  }
  ~SignalClock() override {
    bool is_waiting = false;
    {
      const std::lock_guard lock{mutex_};
      is_waiting = !is_over_;
      is_gone_ = true;
    }
    changed_.notify_all();
    // To that thread alone, where it is blocked until it has been waited for.
    if (is_waiting) pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalClock(const SignalClock&) = delete;
  SignalClock& operator=(const SignalClock&) = delete;

  TimePoint now() override { return std::chrono::steady_clock::now(); }

  bool wait_until(TimePoint time) override {
    std::unique_lock lock{mutex_};
    if (report_.is_broken()) return false;
    return !changed_.wait_until(lock, time, [this] { return is_over_; }) && !report_.is_broken();
  }

 private:
  void take_signals() {
    int number = 0;
    sigwait(&signals_, &number);
    std::unique_lock lock{mutex_};
    if (is_gone_) return;
    is_over_ = true;
    changed_.notify_all();
    // The next one does what it would have done without this clock.
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    changed_.wait(lock, [this] { return is_gone_; });
  }

  const WatchReport& report_;
  sigset_t signals_{};
  sigset_t before_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  bool is_gone_ = false;
  std::thread thread_;
};

int exit_code(const ids::WatchTotals& totals, const WatchReport& report) {
  if (report.is_broken() || totals.connections == 0) return kExitUnknown;
  const bool has_alerts = std::ranges::any_of(totals.alerts, [](auto count) { return count != 0; });
  if (has_alerts) return kExitFindings;
  if (totals.answers == 0 && totals.unanswered != 0) return kExitUnknown;
  return report.findings();
}

/// Xen makes no more lists, and those that it has left are looked at. The watch's own connection is
/// closed by now. A relay that keeps everything back must not keep the summary back, too.
void end_lists(Session& session, const ids::WatchOptions& watch, WatchLists& lists) {
  ids::ChannelOptions options;
  options.size_class = watch.size_class;
  options.answer_timeout = std::min(watch.deadline, kEndAnswer);
  const auto channel = session.open_channel(options);
  if (!channel) lists.tell_left(channel.error());
  const auto ended = channel ? lists.finish(**channel, std::chrono::steady_clock::now() + kEndLists)
                             : Result<void>{channel.error()};
  if (!ended)
    session.output.warn("Xen goes on making lists: " + ended.error().message() +
                        "; end it with `sevmon program unschedule " +
                        ids::hex_address(lists.name()) + "`");
}

Result<int> run(Session& session, const Flags& flags) {
  session.output.set_compact(true);
  const auto settings = take_flags(flags, session.options, session.domain());
  if (!settings) return settings.error();
  if (auto ok = session.check_target(); !ok) return ok.error();
  session.reconnects = true;
  // A wrong path shall not look like an outage.
  if (!session.options.connect->starts_with("image:"))
    for (const auto& path : session.options.keys)
      if (const auto key = ids::Key::load(path); !key) return key.error();
  std::vector<const ids::KernelInfo*> kernels;
  if (settings->lists.period.count() > 0) {
    auto loaded = session.profiles();
    if (!loaded) return loaded.error();
    kernels = *std::move(loaded);
  }

  WatchReport report{session.output, session.options.verbose};
  SignalClock clock{report};
  const auto connect = [&](const auto& connection_id) {
    ids::ChannelOptions channel;
    channel.size_class = settings->watch.size_class;
    channel.answer_timeout = settings->watch.deadline;
    channel.connection_id = connection_id;
    channel.says_goodbye = false;
    return session.open_channel(channel);
  };
  ids::Watch watch{settings->watch, connect, clock,
                   [&](const auto& event) { report.event(event); }};
  std::optional<WatchLists> lists;
  if (!kernels.empty())
    lists.emplace(watch.channel(), list_source(std::move(kernels), settings->lists.domain),
                  settings->lists, report);
  const auto totals = watch.run(
      [&] {
        if (lists) lists->end();
      },
      [&] {
        if (lists) lists->look(clock.now());
      });
  if (lists) lists->stop();
  if (lists && lists->is_standing()) end_lists(session, settings->watch, *lists);
  if (lists) lists->tell_if_none();
  session.output.result() = to_json(totals);
  session.output.line(describe(totals));
  return exit_code(totals, report);
}

}  // namespace

void add_watch(CLI::App& app, const Choose& choose) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand(
      "watch", "keep a connection, at a constant rate, and say when something is wrong");
  command->add_option("--interval", flags->interval, "one request that often: 1s (default), 250ms");
  command->add_option("--deadline", flags->deadline, "an answer after that is late: 2s (default)");
  command->add_option("--silence", flags->silence, "no answer for that long: 10s (default)");
  command->add_option("--ps", flags->ps, "list the processes that often, within the same requests");
  command->add_option("--method", flags->method,
                      "of the lists: pages (default), or standing: by Xen itself, at random times\n"
                      "around --ps, each of one instant");
  command->add_option("--count", flags->count, "end after as many requests")
      ->check(CLI::PositiveNumber);
  command->add_option("--duration", flags->duration, "end after that time: 10m, 8h");
  command->callback([flags, choose] {
    choose("watch", [flags](Session& session) { return run(session, *flags); });
  });
}

}  // namespace sevmon::cli
