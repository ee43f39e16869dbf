// SPDX-License-Identifier: Apache-2.0
#include "program_report.hpp"

#include <algorithm>
#include <cstdio>
#include <span>

#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

using Level = ids::ProgramFinding::Level;

std::string place(const std::string& file, std::uint32_t line) {
  return file.empty() ? "?" : ids::escape(file) + ":" + std::to_string(line);
}

Json finding_json(const ids::ProgramFinding& finding) {
  return {{"level", ids::name(finding.level)},    {"insn", finding.insn},
          {"file", ids::escape(finding.file)},    {"line", finding.line},
          {"source", ids::escape(finding.text)},  {"instruction", finding.instruction},
          {"reason", ids::escape(finding.reason)}};
}

void print_finding(Output& output, const ids::ProgramFinding& finding) {
  const auto style = finding.level == Level::kError     ? Output::Style::kBad
                     : finding.level == Level::kWarning ? Output::Style::kBold
                                                        : Output::Style::kDim;
  output.line(place(finding.file, finding.line) + ": " +
              output.styled(style, std::string{ids::name(finding.level)} + ":") + " " +
              ids::escape(finding.reason));
  if (!finding.text.empty()) output.line("    " + ids::escape(finding.text));
  output.line("    " + std::to_string(finding.insn) + ": " + finding.instruction);
}

}  // namespace

void report_program(Output& output, const std::string& file, const std::string& release,
                    const ids::ProgramImage& image, const ids::ProgramCheck& check, bool notes) {
  const auto head = image.head();
  Json findings = Json::array();
  for (const auto& finding : check.findings) findings.push_back(finding_json(finding));
  output.result() = {{"file", file},
                     {"release", ids::escape(release)},
                     {"program", ids::hex_address(image.name)},
                     {"sha256", ids::hex(std::span{image.sha256})},
                     {"bytes", image.bytes.size()},
                     {"instructions", head.insns},
                     {"data_bytes", head.data_bytes},
                     {"map_bytes", head.map_bytes},
                     {"replaced", image.replaced.size()},
                     {"passed", check.passed()},
                     {"complete", check.complete},
                     {"findings", std::move(findings)}};
  for (const auto& finding : check.findings)
    if (finding.level != Level::kNote || notes) print_finding(output, finding);
  output.line("program   " + ids::hex_address(image.name));
  output.line("kernel    " + ids::escape(release));
  output.line("image     " + std::to_string(image.bytes.size()) + " bytes: " +
              std::to_string(head.insns) + " instructions, " + std::to_string(head.data_bytes) +
              " bytes of constants, " + std::to_string(head.map_bytes) + " of variables");
  output.line(std::string{"check     "} + (check.passed()
                                               ? output.styled(Output::Style::kGood, "passed")
                                               : output.styled(Output::Style::kBad, "not passed")));
}

void report_listing(Output& output, const ids::ProgramImage& image,
                    const ids::ProgramCheck& check) {
  const auto code = image.instructions();
  Json listing = Json::array();
  const ids::SourceLine* last = nullptr;
  for (std::uint32_t at = 0; at < image.head().insns; ++at) {
    const auto* line = image.line_of(at);
    const bool is_same = line == last || line == nullptr || line->line == 0 ||
                         (last != nullptr && line->file == last->file && line->line == last->line);
    if (!is_same)
      output.line(output.styled(Output::Style::kDim, "; " + place(line->file, line->line) + "  " +
                                                         ids::escape(line->text)));
    if (!is_same) last = line;
    const auto text = ids::disassemble(code, at);
    const bool reached = at >= check.reached.size() || check.reached[at];
    auto number = std::to_string(at);
    number.insert(0, number.size() < 5 ? 5 - number.size() : 0, ' ');
    output.line(number + ": " + text + (reached ? "" : "    (never reached)"));
    listing.push_back({{"insn", at},
                       {"instruction", text},
                       {"reached", reached},
                       {"file", line != nullptr ? ids::escape(line->file) : ""},
                       {"line", line != nullptr ? line->line : 0},
                       {"source", line != nullptr ? ids::escape(line->text) : ""}});
    if (code[at * 8] == 0x18) ++at;  // its second half is no instruction
  }
  output.result()["listing"] = std::move(listing);
}

void report_bytes(Output& output, std::span<const std::byte> bytes) {
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

}  // namespace sevmon::cli
