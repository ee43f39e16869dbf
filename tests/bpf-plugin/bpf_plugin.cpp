// SPDX-License-Identifier: Apache-2.0
// The agent's verifier and interpreter as a plugin of the public eBPF conformance suite
// (github.com/Alan-Jowett/bpf_conformance): a program as hexadecimal bytes on standard input, the
// memory that r1 is to point at (r2: its length) as such bytes in the first argument; prints r0 in
// hexadecimal. What is refused or fails is said on standard error, with exit code 1.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf-run.h"
#include "bpf-verify.h"

namespace {

constexpr std::uint64_t kBudget = 100'000'000;

/// Pairs of digits, blanks allowed between them.
std::optional<std::vector<std::uint8_t>> from_hex(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c); });
  if (text.size() % 2) return {};
  std::vector<std::uint8_t> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* end = text.data() + 2 * i + 2;
    if (std::from_chars(end - 2, end, bytes[i], 16).ptr != end) return {};
  }
  return bytes;
}

int fail(const std::string& what) {
  std::cerr << "bpf-plugin: " << what << '\n';
  return 1;
}

/// The programs of the suite's groups call none.
bool no_helper(std::int32_t, unsigned*) {
  return false;
}
std::uint32_t call_no_helper(sevmon_bpf_run* run, std::int32_t) {
  run->state = SEVMON_RUN_BAD_INSN;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  auto program = from_hex({std::istreambuf_iterator<char>{std::cin}, {}});
  auto memory = from_hex(argc > 1 ? argv[1] : "");
  if (!program || program->size() % sizeof(sevmon_bpf_insn))
    return fail("no program in hexadecimal");
  if (!memory) return fail("no memory in hexadecimal");
  std::vector<sevmon_bpf_insn> insns(program->size() / sizeof(sevmon_bpf_insn));
  if (!insns.empty()) std::memcpy(insns.data(), program->data(), program->size());

  const auto count = static_cast<std::uint32_t>(insns.size());
  const auto verifier = std::make_unique<sevmon_bpf_verifier>();
  const auto verdict = sevmon_bpf_verify(verifier.get(), insns.data(), count, no_helper);
  if (verdict.reason)
    return fail("refused: reason " + std::to_string(verdict.reason) + " at instruction " +
                std::to_string(verdict.insn));

  const auto run = std::make_unique<sevmon_bpf_run>();
  sevmon_bpf_start(run.get(), insns.data(), count, memory->data(),
                   static_cast<std::uint32_t>(memory->size()), kBudget);
  run->helper = call_no_helper;
  while (sevmon_bpf_continue(run.get(), 1000) == SEVMON_RUN_RUNNING) {
  }
  if (run->state != SEVMON_RUN_DONE) return fail("ended in state " + std::to_string(run->state));
  std::cout << std::hex << run->reg[0] << '\n';
}
