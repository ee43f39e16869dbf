// SPDX-License-Identifier: Apache-2.0
//
// Standing programs: schedule, unschedule, results.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <sevmon/programs.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "program_options.hpp"
#include "program_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct Arguments {
  ProgramOptions program;
  std::string every = "500-1500";
  bool in_slices = false;
  std::vector<std::string> names;
  bool keep = false;
  bool dump = false;
};

/// "500" or "500-1500", milliseconds.
Result<std::pair<std::chrono::milliseconds, std::chrono::milliseconds>> parse_every(
    const std::string& text) {
  const auto* const end = text.data() + text.size();
  std::uint32_t min = 0;
  auto parsed = std::from_chars(text.data(), end, min);
  std::uint32_t max = min;
  if (parsed.ec == std::errc{} && parsed.ptr != end && *parsed.ptr == '-')
    parsed = std::from_chars(parsed.ptr + 1, end, max);
  if (parsed.ec != std::errc{} || parsed.ptr != end)
    return Error{ErrorCode::kUsage, "--every " + text + ": not milliseconds, like 500-1500"};
  return std::pair{std::chrono::milliseconds{min}, std::chrono::milliseconds{max}};
}

Result<int> schedule(Session& session, const Arguments& arguments) {
  const auto every = parse_every(arguments.every);
  if (!every) return every.error();
  const auto loaded = arguments.program.load();
  if (!loaded) return loaded.error();
  const auto image = link_here(session, arguments.program.file.name, loaded->object);
  if (!image) return image.error();
  const auto options = arguments.program.run_options(session, !arguments.in_slices);
  if (!options) return options.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();

  const auto bytes = std::as_bytes(std::span{image->bytes});
  const ids::ProgramSchedule schedule{.min = every->first, .max = every->second, .run = *options};
  if (auto ok = ids::Programs{**channel}.schedule(bytes, loaded->input, schedule); !ok)
    return ok.error();
  auto& result = session.output.result();
  result["min_ms"] = every->first.count();
  result["max_ms"] = every->second.count();
  result["atomic"] = options->pause.has_value();
  session.output.line("schedule  every " + std::to_string(every->first.count()) + " to " +
                      std::to_string(every->second.count()) + " ms" +
                      (options->pause ? ", atomic" : ", in slices"));
  return kExitOk;
}

Result<int> unschedule(Session& session, const Arguments& arguments) {
  const auto names = parse_names(arguments.names);
  if (!names) return names.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  auto& output = session.output;
  output.result() = {{"unscheduled", Json::array()}};
  for (const auto name : *names) {
    if (auto ok = ids::Programs{**channel}.unschedule(name); !ok)
      return Error{ok.error().code, ids::hex_address(name) + ": " + ok.error().detail};
    output.result()["unscheduled"].push_back(ids::hex_address(name));
    output.line("unscheduled  " + ids::hex_address(name));
  }
  return kExitOk;
}

std::string milliseconds(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f ms", static_cast<double>(ns) / 1e6);
  return text;
}

/// Xen's clock.
std::string at_seconds(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f s", static_cast<double>(ns) / 1e9);
  return text;
}

void report_standing(Output& output, const ids::StandingRun& run, bool dump) {
  const auto& [head, bytes] = run;
  const auto& report = head.report;
  output.result()["runs"].push_back({{"number", head.number},
                                     {"program", ids::hex_address(head.program)},
                                     {"atomic", (head.flags & SEVMON_RUN_ATOMIC) != 0},
                                     {"started_ns", report.started_ns},
                                     {"run_ns", report.ended_ns - report.started_ns},
                                     {"paused_ns", report.paused_ns},
                                     {"state", ids::describe_run(report.state)},
                                     {"truncated", ids::is_truncated(report)},
                                     {"r0", report.r0},
                                     {"cost", report.cost},
                                     {"slices", report.slices},
                                     {"runs_before", report.runs},
                                     {"result", ids::hex(bytes)}});
  output.line(std::to_string(head.number) + "  " + ids::hex_address(head.program) + "  at " +
              at_seconds(report.started_ns) + "  " + ids::describe_run(report.state) + ", r0 " +
              std::to_string(static_cast<std::int64_t>(report.r0)) + ", paused " +
              milliseconds(report.paused_ns) + ", " + std::to_string(bytes.size()) + " bytes");
  if (dump) report_bytes(output, bytes);
}

/// What arrived, and what kept the rest from arriving.
struct Arrived {
  ids::Collected all;
  std::optional<Error> error;
};

/// All that waits, over as many answers as it takes; what has arrived is let go of, unless `keep`.
/// Each answer lets go of the one before: one that gets lost must not take that with it.
Result<Arrived> collect_all(ids::Programs& programs, bool keep) {
  auto first = programs.collect(0);
  if (!first) return first.error();
  Arrived arrived{.all = *std::move(first), .error = {}};
  auto& all = arrived.all;
  const auto last = all.next_number - 1;  // what comes meanwhile is the next command's
  while (!keep && !all.runs.empty()) {
    const auto seen = all.runs.back().head.number;
    auto more = programs.collect(seen);
    if (!more) {
      arrived.error = more.error();
      break;
    }
    all.agent_ns = more->agent_ns;
    all.waiting = more->waiting;
    if (seen >= last || more->runs.empty()) break;
    std::ranges::move(more->runs, std::back_inserter(all.runs));
    all.next_number = more->next_number;
    all.skipped = more->skipped;
  }
  return arrived;
}

/// Runs that have a number and left no result: those before the first one here were told before.
std::uint64_t count_missing(const ids::Collected& collected) {
  if (collected.runs.empty()) return 0;
  const auto& runs = collected.runs;
  const auto last = collected.waiting ? runs.back().head.number : collected.next_number - 1;
  return last - runs.front().head.number + 1 - runs.size();
}

Result<int> results(Session& session, const Arguments& arguments) {
  const auto channel = session.channel();
  if (!channel) return channel.error();
  ids::Programs programs{**channel};
  const auto arrived = collect_all(programs, arguments.keep);
  if (!arrived) return arrived.error();
  // After them: what ran meanwhile is no gap.
  const auto entries = programs.list();
  if (!entries && !arrived->error) return entries.error();
  const auto* const collected = &arrived->all;

  auto& output = session.output;
  output.result() = {{"next_number", collected->next_number},
                     {"skipped", collected->skipped},
                     {"waiting", collected->waiting},
                     {"runs", Json::array()},
                     {"gaps", Json::array()}};
  for (const auto& run : collected->runs) report_standing(output, run, arguments.dump);
  const auto gaps =
      entries ? ids::find_gaps(*collected, *entries) : std::vector<ids::StandingGap>{};
  for (const auto& gap : gaps) {
    output.result()["gaps"].push_back({{"program", ids::hex_address(gap.program)},
                                       {"after", gap.after},
                                       {"ns", gap.ns},
                                       {"allowed_ns", gap.allowed_ns},
                                       {"open", gap.is_open}});
    const auto after = gap.after ? " after number " + std::to_string(gap.after) : std::string{};
    output.warn(ids::hex_address(gap.program) + " did not run for " + at_seconds(gap.ns) + after +
                ", which is over " + at_seconds(gap.allowed_ns));
  }
  const auto missing = count_missing(*collected);
  output.result()["missing"] = missing;
  if (missing)
    output.warn(std::to_string(missing) +
                " runs did not take place: nobody collected, and there was no room left");
  if (collected->runs.empty()) output.line("no results");
  const auto blind = std::ranges::count_if(
      collected->runs, [](const auto& run) { return run.head.report.state != SEVMON_RUN_DONE; });
  if (blind) output.warn(std::to_string(blind) + " runs did not come to their end");
  if (arrived->error) {
    output.warn("the rest is not here: " + arrived->error->message());
    return kExitUnknown;
  }
  return gaps.empty() && missing == 0 && blind == 0 ? kExitOk : kExitFindings;
}

}  // namespace

void add_program_schedule(CLI::App& program, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* schedule_command =
      program.add_subcommand("schedule", "run a program at times that only the agent knows");
  arguments->program.add_to(*schedule_command);
  schedule_command
      ->add_option("--every", arguments->every,
                   "milliseconds between two runs, drawn at random: MIN-MAX")
      ->capture_default_str();
  schedule_command->add_flag("--in-slices", arguments->in_slices,
                             "not atomic: the target goes on meanwhile");
  schedule_command->callback([arguments, choose] {
    choose("program schedule",
           [arguments](Session& session) { return schedule(session, *arguments); });
  });

  auto* unschedule_command = program.add_subcommand("unschedule", "run programs no more");
  unschedule_command->add_option("NAME", arguments->names, "as `program list` says: 0x…")
      ->required();
  unschedule_command->callback([arguments, choose] {
    choose("program unschedule",
           [arguments](Session& session) { return unschedule(session, *arguments); });
  });

  auto* results_command =
      program.add_subcommand("results", "what the agent's own runs of programs gave");
  results_command->add_flag("--keep", arguments->keep, "leave them in the agent");
  results_command->add_flag("--dump", arguments->dump, "their bytes, too");
  results_command->callback([arguments, choose] {
    choose("program results",
           [arguments](Session& session) { return results(session, *arguments); });
  });
}

}  // namespace sevmon::cli
