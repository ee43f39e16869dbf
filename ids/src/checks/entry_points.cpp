// SPDX-License-Identifier: Apache-2.0
#include "checks/entry_points.hpp"

#include <array>
#include <string>
#include <utility>

#include <sevmon/text.hpp>

namespace sevmon::ids {

using common::Frame;
using common::Gva;
using common::Result;
using Kind = TranslationFinding::Kind;

namespace {

constexpr std::pair<const char*, std::uint64_t sevmon_entry_points::*> kEntries[] = {
    {"event", &sevmon_entry_points::event},         {"failsafe", &sevmon_entry_points::failsafe},
    {"syscall64", &sevmon_entry_points::syscall64}, {"syscall32", &sevmon_entry_points::syscall32},
    {"sysenter", &sevmon_entry_points::sysenter},
};

/// A PV kernel leaves the handlers of its start in the trap table for exceptions that it never
/// gets: xen_early_idt_handler_array, a few bytes for each of 32 vectors (arch/x86/xen/xen-asm.S).
bool is_early_handler(const Kernel& kernel, const sevmon_trap& trap) {
  constexpr unsigned kFirstUnused = 20;
  constexpr unsigned kVectors = 32;
  constexpr std::uint64_t kMaxHandlerBytes = 16;
  const auto array = kernel.symbol("xen_early_idt_handler_array");
  return array && trap.vector >= kFirstUnused && trap.vector < kVectors &&
         trap.address >= array->value + 8 * std::uint64_t{trap.vector} &&
         trap.address < array->value + kMaxHandlerBytes * kVectors;
}

class Checker {
 public:
  Checker(Gva text, Gva end) : text_{text}, end_{end} {}

  void check(const VcpuState& vcpu, const std::string& what, std::uint64_t address) {
    if (address == 0 || (address >= text_.value && address < end_.value)) return;
    findings.push_back({.kind = Kind::kEntryPoint,
                        .address = {address},
                        .text = "vCPU " + std::to_string(vcpu.vcpu) + " enters the kernel at " +
                                hex_address(address) + " (" + what +
                                "), outside of the kernel's text"});
  }

  std::vector<TranslationFinding> findings;

 private:
  Gva text_, end_;
};

}  // namespace

Result<std::vector<TranslationFinding>> check_entry_points(const Kernel& kernel, PageTables& tables,
                                                           const std::vector<VcpuState>& vcpus) {
  const auto text = kernel.symbol("_text");
  if (!text) return text.error();
  const auto end = kernel.symbol("_etext");
  if (!end) return end.error();
  Checker checker{*text, *end};
  for (const auto& vcpu : vcpus) {
    for (const auto& [what, member] : kEntries) checker.check(vcpu, what, vcpu.state.entry.*member);
    for (const auto& trap : vcpu.traps)
      if (!is_early_handler(kernel, trap))
        checker.check(vcpu, "trap " + std::to_string(trap.vector), trap.address);
    if (vcpu.state.idt_base == 0) continue;  // PV: the trap table is all there is
    const auto idt = kernel.symbol("idt_table");
    if (!idt) return idt.error();
    const std::array addresses{idt->value, vcpu.state.idt_base};
    const auto frames =
        tables.translate(kernel.root().frame.value, kernel.root().levels, addresses);
    if (!frames) return frames.error();
    if ((*frames)[0] && (*frames)[0] == (*frames)[1]) continue;
    TranslationFinding finding{.kind = Kind::kVectorTable,
                               .address = {vcpu.state.idt_base},
                               .text = "vCPU " + std::to_string(vcpu.vcpu) + " has its IDT at " +
                                       hex_address(vcpu.state.idt_base) +
                                       ", which is not the kernel's idt_table"};
    for (std::size_t i = 0; i < 2; ++i)
      if ((*frames)[i]) (i == 0 ? finding.expected : finding.found) = Frame{*(*frames)[i]};
    checker.findings.push_back(std::move(finding));
  }
  return std::move(checker.findings);
}

}  // namespace sevmon::ids
