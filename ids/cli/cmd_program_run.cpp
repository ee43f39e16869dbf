// SPDX-License-Identifier: Apache-2.0
//
// Programs in an agent: run, list, unload.
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <span>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "file_sink.hpp"
#include "program_options.hpp"
#include "program_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::Result;

struct Arguments {
  ProgramOptions program;
  std::string output;
  bool atomic = false;
  std::vector<std::string> names;
};

std::string microseconds(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64, ns / 1000, ns % 1000);
  return text;
}

/// Where in its source a run ended, when it did not end by itself.
std::string place_of(const ids::ProgramImage& image, std::uint32_t insn) {
  std::string text = "instruction " + std::to_string(insn);
  if (const auto* line = image.line_of(insn))
    text += " (" + ids::escape(line->file) + ":" + std::to_string(line->line) + ": " +
            ids::escape(line->text) + ")";
  return text;
}

void report_run(Output& output, const ids::ProgramImage& image, const ids::ProgramRun& run) {
  const auto& report = run.report;
  auto& result = output.result();
  result["loaded"] = run.was_loaded;
  result["state"] = ids::describe_run(report.state);
  result["r0"] = report.r0;
  result["insn"] = report.insn;
  result["cost"] = report.cost;
  result["slices"] = report.slices;
  result["runs_before"] = report.runs;
  result["run_ns"] = report.ended_ns - report.started_ns;
  result["paused_ns"] = report.paused_ns;
  result["truncated"] = ids::is_truncated(report);
  result["result_bytes"] = report.result_bytes;
  const bool is_done = report.state == SEVMON_RUN_DONE;
  output.line("run       " +
              output.styled(is_done ? Output::Style::kPlain : Output::Style::kBad,
                            ids::describe_run(report.state)) +
              (is_done ? "" : " at " + place_of(image, report.insn)));
  output.line("r0        " + std::to_string(static_cast<std::int64_t>(report.r0)));
  output.line("cost      " + std::to_string(report.cost) + " instructions in " +
              std::to_string(report.slices) + " slices, " +
              microseconds(report.ended_ns - report.started_ns) + " us");
  if (report.paused_ns)
    output.line("paused    " + microseconds(report.paused_ns) + " us: the target's vCPUs");
  output.line("result    " + std::to_string(report.result_bytes) + " bytes");
}

Result<int> run(Session& session, const Arguments& arguments) {
  const auto loaded = arguments.program.load();
  if (!loaded) return loaded.error();
  std::unique_ptr<FileSink> sink;
  if (!arguments.output.empty()) {
    auto opened = FileSink::open(arguments.output);
    if (!opened) return opened.error();
    sink = std::move(*opened);
  }
  const auto image = link_here(session, arguments.program.file.name, loaded->object);
  if (!image) return image.error();
  const auto options = arguments.program.run_options(session, arguments.atomic);
  if (!options) return options.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto run =
      ids::Programs{**channel}.run(std::as_bytes(std::span{image->bytes}), loaded->input, *options);
  if (!run) return run.error();
  report_run(session.output, *image, *run);
  if (sink) {
    if (auto ok = sink->write(run->result); !ok) return ok.error();
    if (auto ok = sink->finish(); !ok) return ok.error();
    session.output.result()["output"] = arguments.output;
  } else {
    session.output.result()["result"] = ids::hex(run->result);
    report_bytes(session.output, run->result);
  }
  return run->report.state == SEVMON_RUN_DONE ? kExitOk : kExitUnknown;
}

Result<int> list(Session& session) {
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto entries = ids::Programs{**channel}.list();
  if (!entries) return entries.error();
  auto& output = session.output;
  output.result() = {{"programs", Json::array()}};
  for (const auto& entry : *entries) {
    const std::uint64_t name =
        common::Reader{std::as_bytes(std::span{entry.sha256})}.take<std::uint64_t>();
    const bool is_ready = entry.state == SEVMON_PROGRAM_READY;
    output.result()["programs"].push_back({{"program", ids::hex_address(name)},
                                           {"sha256", ids::hex(std::span{entry.sha256})},
                                           {"bytes", entry.bytes},
                                           {"ready", is_ready},
                                           {"runs", entry.runs},
                                           {"used_ns", entry.used_ns},
                                           {"min_ms", entry.min_ms},
                                           {"max_ms", entry.max_ms},
                                           {"scheduled_ns", entry.scheduled_ns},
                                           {"standing_runs", entry.standing_runs},
                                           {"standing_ns", entry.standing_ns}});
    const auto schedule = ", every " + std::to_string(entry.min_ms) + " to " +
                          std::to_string(entry.max_ms) +
                          " ms: " + std::to_string(entry.standing_runs) + " runs by itself";
    output.line(ids::hex_address(name) + "  " + std::to_string(entry.bytes) + " bytes, " +
                std::to_string(entry.runs) + " runs" + (is_ready ? "" : ", not loaded yet") +
                (entry.max_ms ? schedule : ""));
  }
  if (entries->empty()) output.line("no programs");
  return kExitOk;
}

Result<int> unload(Session& session, const Arguments& arguments) {
  const auto names = parse_names(arguments.names);
  if (!names) return names.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  auto& output = session.output;
  output.result() = {{"unloaded", Json::array()}};
  for (const auto name : *names) {
    if (auto ok = ids::Programs{**channel}.unload(name); !ok)
      return Error{ok.error().code, ids::hex_address(name) + ": " + ok.error().detail};
    output.result()["unloaded"].push_back(ids::hex_address(name));
    output.line("unloaded  " + ids::hex_address(name));
  }
  return kExitOk;
}

void add_run(CLI::App& app, const Choose& choose, const std::string& description) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("run", description);
  arguments->program.add_to(*command);
  command->add_flag("--atomic", arguments->atomic,
                    "with the target's vCPUs paused, so that all of it is of one instant");
  command->add_option("-o,--output", arguments->output, "write its result to a file");
  command->callback([arguments, choose] {
    choose("program run", [arguments](Session& session) { return run(session, *arguments); });
  });
}

}  // namespace

void add_run(CLI::App& app, const Choose& choose) {
  add_run(app, choose, "compile, load and run a program: `program run`");
}

void add_program_run(CLI::App& program, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  add_run(program, choose, "run a program in the agent");

  program.add_subcommand("list", "the programs that this IDS has in the agent")->callback([choose] {
    choose("program list", [](Session& session) { return list(session); });
  });

  auto* unload_command = program.add_subcommand("unload", "take programs out of the agent");
  unload_command->add_option("NAME", arguments->names, "as `program list` says: 0x…")->required();
  unload_command->callback([arguments, choose] {
    choose("program unload", [arguments](Session& session) { return unload(session, *arguments); });
  });
}

}  // namespace sevmon::cli
