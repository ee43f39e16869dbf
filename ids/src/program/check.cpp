// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>

#include "bpf-verify.h"
#include "program/flow.hpp"
#include "program/helpers.hpp"
#include "program/loops.hpp"

namespace sevmon::ids {
namespace {

using Level = ProgramFinding::Level;

bool is_helper(std::int32_t number, unsigned* arguments) {
  const Helper* helper = find_helper(number);
  if (helper == nullptr) return false;
  *arguments = helper->argument_count();
  return true;
}

class Checker {
 public:
  explicit Checker(const ProgramImage& image) : image_{image} {
    const auto code = image.instructions();
    insns_.resize(code.size() / sizeof(sevmon_bpf_insn));
    if (!insns_.empty())
      std::memcpy(insns_.data(), code.data(), insns_.size() * sizeof(sevmon_bpf_insn));
  }

  ProgramCheck run() {
    check_.reached.assign(insns_.size(), true);
    if (!agent_accepts()) return std::move(check_);
    const auto head = image_.head();
    const Flow flow = analyse_flow(insns_, {head.map_bytes, head.data_bytes});
    check_.complete = flow.complete;
    check_.reached = flow.reached;
    for (const auto& finding : flow.findings)
      add(finding.is_error ? Level::kError : Level::kWarning, finding.insn, finding.reason);
    if (!flow.complete) add(Level::kWarning, 0, "too many ways through it to look at all of them");
    for (const auto at : unbounded_loops(insns_))
      if (flow.reached[at])
        add(Level::kWarning, at, "a loop without an obvious bound: the budget may end the run");
    if (flow.complete) note_unreached();
    std::ranges::stable_sort(check_.findings, {}, &ProgramFinding::insn);
    return std::move(check_);
  }

 private:
  bool agent_accepts() {
    const auto verifier = std::make_unique<sevmon_bpf_verifier>();
    const auto verdict = sevmon_bpf_verify(verifier.get(), insns_.data(),
                                           static_cast<std::uint32_t>(insns_.size()), is_helper);
    if (verdict.reason == SEVMON_VERDICT_OK) return true;
    std::string reason = std::string{"the agent refuses it: "} + describe_verdict(verdict.reason);
    const bool is_exit =
        verdict.insn < insns_.size() && insns_[verdict.insn].code == (BPF_JMP | BPF_EXIT);
    if (verdict.reason == SEVMON_VERDICT_UNINITIALISED && is_exit)
      reason += " (a function that returns nothing: let it return 0, and not be static)";
    add(Level::kError, verdict.insn, std::move(reason));
    return false;
  }

  /// A function that nothing calls is a warning; a way that is closed for this kernel, a note.
  void note_unreached() {
    for (std::uint32_t at = 0; at < insns_.size();) {
      if (check_.reached[at]) {
        ++at;
        continue;
      }
      const std::uint32_t begin = at;
      const auto* line = image_.line_of(begin);
      const std::string function = line != nullptr ? line->function : std::string{};
      while (at < insns_.size() && !check_.reached[at] &&
             (image_.line_of(at) == nullptr || image_.line_of(at)->function == function))
        ++at;
      const bool is_whole = !function.empty() && !is_reached(function);
      add(is_whole ? Level::kWarning : Level::kNote, begin,
          is_whole ? function + "() is never called"
                   : "never reached, with what is known for this kernel, up to instruction " +
                         std::to_string(at - 1));
    }
  }

  bool is_reached(const std::string& function) const {
    for (std::uint32_t at = 0; at < insns_.size(); ++at) {
      const auto* line = image_.line_of(at);
      if (check_.reached[at] && line != nullptr && line->function == function) return true;
    }
    return false;
  }

  void add(Level level, std::uint32_t insn, std::string reason) {
    ProgramFinding finding{.level = level,
                           .insn = insn,
                           .file = {},
                           .line = 0,
                           .text = {},
                           .instruction = {},
                           .reason = std::move(reason)};
    if (insn < insns_.size()) finding.instruction = disassemble(image_.instructions(), insn);
    // What the compiler made of no line in particular belongs to the next one.
    const auto* line = image_.line_of(insn);
    for (std::uint32_t at = insn; line != nullptr && line->line == 0 && ++at < insns_.size();)
      line = image_.line_of(at);
    if (line != nullptr) {
      finding.file = line->file;
      finding.line = line->line;
      finding.text = line->text;
    }
    check_.findings.push_back(std::move(finding));
  }

  const ProgramImage& image_;
  std::vector<sevmon_bpf_insn> insns_;
  ProgramCheck check_;
};

}  // namespace

std::string_view name(ProgramFinding::Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kNote:
      return "note";
  }
  return "error";
}

bool ProgramCheck::passed() const {
  return std::ranges::none_of(
      findings, [](const ProgramFinding& finding) { return finding.level == Level::kError; });
}

ProgramCheck check_program(const ProgramImage& image) {
  return Checker{image}.run();
}

}  // namespace sevmon::ids
