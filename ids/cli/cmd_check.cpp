// SPDX-License-Identifier: Apache-2.0
#include <sevmon/text.hpp>
#include <sevmon/translation.hpp>

#include "command.hpp"
#include "kernel_json.hpp"

namespace sevmon::cli {
namespace {

using common::Result;

std::string access_text(std::uint64_t access) {
  std::string text = "r";
  text += (access & SEVMON_PTE_WRITE) != 0 ? "w" : "-";
  text += (access & SEVMON_PTE_NX) != 0 ? "-" : "x";
  text += (access & SEVMON_PTE_USER) != 0 ? "u" : "-";
  return text;
}

Json frame_json(const std::optional<common::Frame>& frame) {
  return frame ? Json(ids::hex_address(frame->value)) : Json(nullptr);
}

Json space_json(const ids::AddressSpace& space) {
  return {{"root_frame", ids::hex_address(space.root.value)},
          {"master", space.master},
          {"user_half", space.user_half},
          {"vcpus", space.vcpus},
          {"pids", space.pids}};
}

Json finding_json(const ids::Kernel& kernel, const ids::TranslationReport& report,
                  const ids::TranslationFinding& finding) {
  const auto& space = report.spaces[finding.space];
  const auto symbol = kernel.describe(finding.address);
  const bool with_access = finding.kind == ids::TranslationFinding::Kind::kAccess;
  return {{"id", ids::id(finding.kind)},
          {"severity", "high"},
          {"attack", "T1014"},  // MITRE ATT&CK: rootkit
          {"address", ids::hex_address(finding.address.value)},
          {"symbol", symbol ? Json(ids::escape(*symbol)) : Json(nullptr)},
          {"bytes", finding.bytes},
          {"expected_frame", frame_json(finding.expected)},
          {"found_frame", frame_json(finding.found)},
          {"expected_access", with_access ? Json(access_text(finding.expected_access)) : Json()},
          {"found_access", with_access ? Json(access_text(finding.found_access)) : Json()},
          {"root_frame", ids::hex_address(space.root.value)},
          {"master", space.master},
          {"user_half", space.user_half},
          {"vcpus", space.vcpus},
          {"pids", space.pids},
          {"text", finding.text}};
}

std::string summary(const ids::TranslationReport& report) {
  return std::to_string(report.spaces.size()) + " page tables of " +
         std::to_string(report.processes) + " processes and threads and " +
         std::to_string(report.vcpus) + " vCPUs, " + std::to_string(report.tables) +
         " pages of tables read";
}

Result<int> run(Session& session) {
  const auto kernel = session.kernel(ids::first_process_ranges);
  if (!kernel) return kernel.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto report = ids::check_translation(**channel, session.domain(), **kernel);
  if (!report) return report.error();

  auto& output = session.output;
  auto& result = output.result();
  result = {{"kernel", to_json(**kernel)},    {"consistency", ids::name(report->consistency)},
            {"passes", report->passes},       {"complete", report->complete},
            {"isolation", report->isolation}, {"tables_read", report->tables},
            {"page_tables", Json::array()},   {"vcpus", report->vcpus},
            {"processes", report->processes}, {"findings", Json::array()},
            {"notes", report->notes}};
  for (const auto& space : report->spaces) result["page_tables"].push_back(space_json(space));
  output.line(summary(*report));
  for (const auto& finding : report->findings) {
    result["findings"].push_back(finding_json(**kernel, *report, finding));
    output.line(output.styled(Output::Style::kBad, ids::id(finding.kind)) + "  " + finding.text);
  }
  for (const auto& note : report->notes) output.warn(note);
  if (!report->findings.empty()) return kExitFindings;
  if (!report->complete) return kExitUnknown;
  output.line("every kernel address leads where it has to");
  return kExitOk;
}

}  // namespace

void add_check(CLI::App& app, const Choose& choose) {
  auto* command = app.add_subcommand("check", "look for traces of an intruder");
  command->require_subcommand(1);
  auto* translation = command->add_subcommand(
      "translation", "do all page tables lead the kernel's addresses to the kernel?");
  translation->callback([choose] { choose("check translation", run); });
  add_check_text(*command, choose);
}

}  // namespace sevmon::cli
