// SPDX-License-Identifier: Apache-2.0
//
// Programs in an agent: run, list, unload.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "file_sink.hpp"
#include "kernel_json.hpp"
#include "program_file.hpp"
#include "program_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct Arguments {
  std::string file;
  std::string output;
  std::vector<std::string> includes;
  std::string input;  // hexadecimal
  std::uint64_t budget = ids::ProgramRunOptions{}.budget;
  std::vector<std::string> names;
};

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

Result<std::vector<std::byte>> parse_hex(const std::string& text) {
  if (text.size() % 2 != 0)
    return Error{ErrorCode::kUsage, "--input: an odd number of hexadecimal digits"};
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low)
      return Error{ErrorCode::kUsage, "--input: not hexadecimal at " + std::to_string(i)};
    bytes.push_back(static_cast<std::byte>(*high << 4 | *low));
  }
  return bytes;
}

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
  output.line("result    " + std::to_string(report.result_bytes) + " bytes");
}

void dump(Output& output, std::span<const std::byte> bytes) {
  constexpr std::size_t kRow = 16;
  for (std::size_t at = 0; at < bytes.size(); at += kRow) {
    const auto row = bytes.subspan(at, std::min(kRow, bytes.size() - at));
    char offset[32];
    std::snprintf(offset, sizeof(offset), "%08zx ", at);
    std::string line = offset, text;
    for (const auto byte : row) {
      const auto value = std::to_integer<unsigned char>(byte);
      char digits[8];
      std::snprintf(digits, sizeof(digits), " %02x", value);
      line += digits;
      text += value >= 0x20 && value < 0x7f ? static_cast<char>(value) : '.';
    }
    line.append(3 * (kRow - row.size()) + 2, ' ');
    output.line(line + "|" + text + "|");
  }
}

/// Linked for the kernel that runs, and checked as `program verify` does.
Result<ids::ProgramImage> link_here(Session& session, const Arguments& arguments,
                                    const ids::ProgramObject& object) {
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  const auto* profile = dynamic_cast<const ids::Profile*>(&(*kernel)->info());
  if (profile == nullptr) return Error{ErrorCode::kInternal, "no profile of the kernel"};
  auto image = object.link(ids::program_target(
      *profile, [&](std::string_view name) { return (*kernel)->symbol(name); }));
  if (!image) return image.error();
  const auto check = ids::check_program(*image);
  report_program(session.output, arguments.file, profile->release(), *image, check,
                 session.options.verbose);
  if (!check.passed())
    return Error{ErrorCode::kUsage, arguments.file + ": the check refuses it, so it is not sent"};
  return image;
}

Result<int> run(Session& session, const Arguments& arguments) {
  const auto input = parse_hex(arguments.input);
  if (!input) return input.error();
  // Before anything is read that comes from outside: a confined process opens no file.
  const auto object = load_program(arguments.file, arguments.includes);
  if (!object) return object.error();
  std::unique_ptr<FileSink> sink;
  if (!arguments.output.empty()) {
    auto opened = FileSink::open(arguments.output);
    if (!opened) return opened.error();
    sink = std::move(*opened);
  }
  const auto image = link_here(session, arguments, *object);
  if (!image) return image.error();
  const auto kernel = session.kernel();
  const auto channel = session.channel();
  if (!channel) return channel.error();

  const ids::ProgramRunOptions options{
      .domain = session.domain(), .root = (*kernel)->root(), .budget = arguments.budget};
  const auto run =
      ids::Programs{**channel}.run(std::as_bytes(std::span{image->bytes}), *input, options);
  if (!run) return run.error();
  report_run(session.output, *image, *run);
  if (sink) {
    if (auto ok = sink->write(run->result); !ok) return ok.error();
    if (auto ok = sink->finish(); !ok) return ok.error();
    session.output.result()["output"] = arguments.output;
  } else {
    session.output.result()["result"] = ids::hex(run->result);
    dump(session.output, run->result);
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
                                           {"used_ns", entry.used_ns}});
    output.line(ids::hex_address(name) + "  " + std::to_string(entry.bytes) + " bytes, " +
                std::to_string(entry.runs) + " runs" + (is_ready ? "" : ", not loaded yet"));
  }
  if (entries->empty()) output.line("no programs");
  return kExitOk;
}

Result<std::uint64_t> parse_name(const std::string& text) {
  std::uint64_t name = 0;
  const bool is_hex = text.starts_with("0x") && text.size() > 2 && text.size() <= 18;
  for (std::size_t i = 2; is_hex && i < text.size(); ++i) {
    const auto digit = hex_digit(text[i]);
    if (!digit) return Error{ErrorCode::kUsage, text + ": not a program's name (0x…)"};
    name = name << 4 | *digit;
  }
  if (!is_hex) return Error{ErrorCode::kUsage, text + ": not a program's name (0x…)"};
  return name;
}

Result<int> unload(Session& session, const Arguments& arguments) {
  std::vector<std::uint64_t> names;
  for (const auto& text : arguments.names) {
    const auto name = parse_name(text);
    if (!name) return name.error();
    names.push_back(*name);
  }
  const auto channel = session.channel();
  if (!channel) return channel.error();
  auto& output = session.output;
  output.result() = {{"unloaded", Json::array()}};
  for (const auto name : names) {
    if (auto ok = ids::Programs{**channel}.unload(name); !ok)
      return Error{ok.error().code, ids::hex_address(name) + ": " + ok.error().detail};
    output.result()["unloaded"].push_back(ids::hex_address(name));
    output.line("unloaded  " + ids::hex_address(name));
  }
  return kExitOk;
}

}  // namespace

void add_program_run(CLI::App& program, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* run_command = program.add_subcommand("run", "run a program in the agent");
  run_command->add_option("PROGRAM", arguments->file, "NAME.bpf.c or NAME.bpf.o")->required();
  run_command->add_option("-I,--include", arguments->includes, "search headers there, too")
      ->allow_extra_args(false);
  run_command->add_option("--input", arguments->input, "what it gets, in hexadecimal");
  run_command
      ->add_option("--budget", arguments->budget,
                   "instructions that it may cost, helpers included; up to 67108864")
      ->capture_default_str();
  run_command->add_option("-o,--output", arguments->output, "write its result to a file");
  run_command->callback([arguments, choose] {
    choose("program run", [arguments](Session& session) { return run(session, *arguments); });
  });

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
