// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_bpf_verify() and sevmon_bpf_continue(). The input is a budget, the size of a
// slice, and instructions. Properties: a verdict in steps is the one in one go, and takes time
// linear in the program's length; a program that is refused and one that is not both run to an end
// within their budget and touch no memory but their regions, each of which is an allocation of its
// own here; one that is accepted runs into nothing that the verifier is to see: no bad instruction,
// no call too deep. Slices make no difference.
#include <memory>

#include "bpf-run.h"
#include "bpf-verify.h"
#include "support/fuzz_input.hpp"

namespace sevmon::tests {
namespace {

constexpr std::size_t kInputBytes = 40, kMapBytes = 24, kDataBytes = 16;

bool helper(std::int32_t number, unsigned* arguments) {
  *arguments = static_cast<unsigned>(number) % 6;
  return number >= 1 && number <= 8;
}

/// Copies r3 bytes from r2 to r1, as helpers do: by sevmon_bpf_memory() alone.
std::uint32_t call_helper(sevmon_bpf_run* run, std::int32_t) {
  const auto bytes = run->reg[3];
  const auto* from = sevmon_bpf_memory(run, run->reg[2], bytes, false);
  auto* to = sevmon_bpf_memory(run, run->reg[1], bytes, true);
  run->reg[0] = from && to;
  if (from && to) std::memmove(to, from, bytes);
  return 10;
}

struct Ended {
  std::uint32_t state;
  std::uint64_t r0, budget;
  bool operator==(const Ended&) const = default;
};

/// Five passes, one for each depth and one that finds none, and one for each register that turns
/// out not to be set.
constexpr std::uint64_t kMostLooks = 5 + SEVMON_BPF_MAX_DEPTH + 1 + SEVMON_BPF_REGISTERS + 1;

void verify_in_steps(sevmon_bpf_verifier* verifier, const std::vector<sevmon_bpf_insn>& insns,
                     std::uint32_t looks, const sevmon_bpf_verdict& whole) {
  const auto count = static_cast<std::uint32_t>(insns.size());
  sevmon_bpf_verify_start(verifier, insns.data(), count, helper);
  for (std::uint64_t looked = 0; !sevmon_bpf_verify_step(verifier, looks); looked += looks)
    must(looked <= kMostLooks * count, "in linear time");
  must(verifier->verdict.reason == whole.reason && verifier->verdict.insn == whole.insn,
       "steps make no difference to the verdict");
}

Ended run_to_its_end(const std::vector<sevmon_bpf_insn>& insns, std::uint64_t budget,
                     std::uint32_t slice) {
  std::vector<std::uint8_t> input(kInputBytes, 1), map(kMapBytes, 2), data(kDataBytes, 3);
  const auto run = std::make_unique<sevmon_bpf_run>();
  sevmon_bpf_start(run.get(), insns.data(), static_cast<std::uint32_t>(insns.size()), input.data(),
                   kInputBytes, budget);
  run->helper = call_helper;
  run->region[SEVMON_REGION_MAP] = {map.data(), kMapBytes, true};
  run->region[SEVMON_REGION_DATA] = {data.data(), kDataBytes, false};
  for (std::uint64_t rounds = 0; sevmon_bpf_continue(run.get(), slice) == SEVMON_RUN_RUNNING;
       ++rounds)
    must(rounds <= budget, "ends within its budget");
  must(data == std::vector<std::uint8_t>(kDataBytes, 3), "what is not writable is not written");
  must(run->depth < SEVMON_BPF_MAX_DEPTH, "no frame outside of the frames");
  return {run->state, run->reg[0], run->budget};
}

}  // namespace
}  // namespace sevmon::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  FuzzInput in{data, size};
  const std::uint64_t budget = in.number<std::uint16_t>() % 5'000;
  const std::uint32_t slice = in.number<std::uint8_t>() + 1U;
  std::vector<sevmon_bpf_insn> insns;
  while (!in.empty()) insns.push_back(in.number<sevmon_bpf_insn>());

  const auto count = static_cast<std::uint32_t>(insns.size());
  const auto verifier = std::make_unique<sevmon_bpf_verifier>();
  const auto verdict = sevmon_bpf_verify(verifier.get(), insns.data(), count, helper);
  must(verdict.insn <= count, "names an instruction that is there");
  verify_in_steps(verifier.get(), insns, slice, verdict);
  const auto whole = run_to_its_end(insns, budget, 1'000'000);
  const auto sliced = run_to_its_end(insns, budget, slice);
  must(whole == sliced, "slices make no difference");
  if (verdict.reason == SEVMON_VERDICT_OK)
    must(whole.state != SEVMON_RUN_BAD_INSN && whole.state != SEVMON_RUN_TOO_DEEP,
         "what is accepted is well-formed");
  return 0;
}
