// SPDX-License-Identifier: Apache-2.0
//
// Target: check_program(). The input is as agent_bpf's: a budget, a byte, and instructions.
// Property: a program that the agent's verifier accepts and that the check has nothing against
// never faults, for inputs of several lengths; and no program runs what the check says cannot be
// reached.
#include "support/checked_program.hpp"
#include "support/fuzz_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  FuzzInput in{data, size};
  const std::uint64_t budget = in.number<std::uint16_t>() % 5'000;
  static_cast<void>(in.number<std::uint8_t>());
  std::vector<sevmon_bpf_insn> insns;
  while (!in.empty() && insns.size() <= SEVMON_PROGRAM_MAX_INSNS)
    insns.push_back(in.number<sevmon_bpf_insn>());
  const auto image = image_of(insns);
  const auto check = sevmon::ids::check_program(image);
  for (const auto& finding : check.findings)
    if (finding.reason.starts_with("the agent refuses")) return 0;
  for (const std::uint32_t input_bytes : {0U, 1U, 40U}) {
    const auto found = contradiction(insns, check, input_bytes, budget);
    must(found.empty(), found.c_str());
  }
  return 0;
}
