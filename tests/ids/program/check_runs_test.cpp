// SPDX-License-Identifier: Apache-2.0
// What the check says of a program must hold when the agent's interpreter runs it: many programs
// made at random, of instructions that move pointers about.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "bpf-verify.h"
#include "support/checked_program.hpp"

namespace sevmon::tests {
namespace {

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_{seed} {}

  std::vector<sevmon_bpf_insn> make() {
    insns_.clear();
    // Every register is something: numbers, and places in each region.
    wide(0, pick<std::uint64_t>({0, 1, 7, 0xffffffff, 0x8000000000000000}));
    wide(3, 0x300000000 + pick<std::uint64_t>({0, 8, 16, 23}));
    wide(4, 0x400000000 + pick<std::uint64_t>({0, 8, 15}));
    add(BPF_ALU64 | BPF_MOV | BPF_X, 5, 10, 0, 0);
    add(BPF_ALU64 | BPF_ADD, 5, 0, 0, -8 * static_cast<int>(below(8) + 1));
    for (const unsigned reg : {6U, 7U, 8U, 9U}) add(BPF_ALU64 | BPF_MOV, reg, 0, 0, small());
    add(BPF_STX | BPF_MEM | BPF_DW, 10, 6, -8, 0);
    add(BPF_STX | BPF_MEM | BPF_DW, 10, 1, -16, 0);
    const auto count = 4 + below(24);
    for (unsigned i = 0; i < count; ++i) one(count - i);
    add(BPF_ALU64 | BPF_MOV, 0, 0, 0, 0);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return insns_;
  }

 private:
  unsigned below(unsigned end) { return static_cast<unsigned>(random_() % end); }
  template <typename T>
  T pick(std::initializer_list<T> from) {
    return *(from.begin() + below(static_cast<unsigned>(from.size())));
  }
  int small() { return pick({0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 63, 255, -1, -8, -2147483647 - 1}); }
  void add(unsigned code, unsigned dst, unsigned src, int offset, std::int32_t imm) {
    insns_.push_back({static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(dst | src << 4),
                      static_cast<std::int16_t>(offset), imm});
  }
  void wide(unsigned dst, std::uint64_t value) {
    add(BPF_LD_IMM64, dst, 0, 0, static_cast<std::int32_t>(value));
    add(0, 0, 0, 0, static_cast<std::int32_t>(value >> 32));
  }

  void one(unsigned left) {
    const auto dst = below(10), src = below(11);
    switch (below(12)) {
      case 0:
      case 1:
      case 2: {
        const auto op = pick({BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH,
                              BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_ADD, BPF_AND, BPF_MOV});
        const auto type = pick({BPF_ALU64, BPF_ALU64, BPF_ALU});
        const bool is_divide = op == BPF_DIV || op == BPF_MOD;
        if (below(2) == 0) return add(type | op | BPF_X, dst, src, is_divide ? below(2) : 0, 0);
        return add(type | op, dst, 0, is_divide ? below(2) : 0, small());
      }
      case 3:
        if (below(3) == 0) return add(pick({BPF_ALU64, BPF_ALU}) | BPF_NEG, dst, 0, 0, 0);
        if (below(2) == 0) return add(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, pick({8, 16, 32}), 0);
        return add(BPF_ALU | BPF_END | pick({0, BPF_X}), dst, 0, 0, pick({16, 32, 64}));
      case 4:
      case 5:
        return add(BPF_LDX | pick({BPF_MEM, BPF_MEM, BPF_MEMSX}) | pick({BPF_B, BPF_H, BPF_W}), dst,
                   place(), offset(), 0);
      case 6:
        return add(BPF_LDX | BPF_MEM | BPF_DW, dst, place(), offset(), 0);
      case 7:
        return add(BPF_STX | BPF_MEM | pick({BPF_B, BPF_H, BPF_W, BPF_DW}), place(), src, offset(),
                   0);
      case 8:
        return helper();
      default:
        break;
    }
    const auto op = pick({BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT,
                          BPF_JLE, BPF_JSLT, BPF_JSLE});
    const auto type = pick({BPF_JMP, BPF_JMP, BPF_JMP32});
    // Mostly forward; back into what is there, now and then. The budget ends those.
    const int to = below(4) == 0 ? -static_cast<int>(below(6)) - 2 : static_cast<int>(below(left));
    if (below(2) == 0) return add(type | op | BPF_X, dst, src, to, 0);
    add(type | op, dst, 0, to, small());
  }

  unsigned place() { return pick({1U, 3U, 4U, 5U, 10U, below(10)}); }
  int offset() { return pick({0, -8, -16, -4, 4, 8, -32, -12, -24, 1}); }

  void helper() {
    const auto number = pick(
        {SEVMON_HELPER_READ, SEVMON_HELPER_READ_STRING, SEVMON_HELPER_APPEND, SEVMON_HELPER_TIME});
    if (number != SEVMON_HELPER_TIME) {
      add(BPF_ALU64 | BPF_MOV | BPF_X, 1, pick({10U, 5U, 6U, 3U, 9U}), 0, 0);
      add(BPF_ALU64 | BPF_ADD, 1, 0, 0, pick({0, -8, -16, -24, -64}));
      if (below(2) == 0)
        add(BPF_ALU64 | BPF_MOV, 2, 0, 0, pick({1, 4, 8, 16, 24}));
      else
        add(BPF_ALU64 | BPF_MOV | BPF_X, 2, pick({6U, 7U, 8U}), 0, 0);
      add(BPF_ALU64 | BPF_MOV | BPF_X, 3, pick({0U, 6U, 7U, 8U}), 0, 0);
    }
    add(BPF_JMP | BPF_CALL, 0, 0, 0, number);
    // What a call takes is something again.
    wide(1, pick<std::uint64_t>({0x200000000, 0x300000000}));
    add(BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0);
    wide(3, 0x300000000);
    wide(4, 0x400000000);
    add(BPF_ALU64 | BPF_MOV | BPF_X, 5, 10, 0, 0);
    add(BPF_ALU64 | BPF_ADD, 5, 0, 0, -32);
  }

  std::mt19937_64 random_;
  std::vector<sevmon_bpf_insn> insns_;
};

std::string listing(const std::vector<sevmon_bpf_insn>& insns, const ids::ProgramCheck& check) {
  const auto image = image_of(insns);
  std::string text;
  for (std::uint32_t at = 0; at < insns.size(); ++at)
    text += std::to_string(at) + (check.reached[at] ? ": " : "! ") +
            ids::disassemble(image.instructions(), at) + '\n';
  for (const auto& finding : check.findings)
    text += std::to_string(finding.insn) + ": " + finding.reason + '\n';
  return text;
}

TEST(ProgramCheckRuns, AgreeWithWhatWasSaid) {
  const char* count_text = std::getenv("SEVMON_TEST_PROGRAMS");
  const unsigned long count = count_text != nullptr ? std::strtoul(count_text, nullptr, 0) : 1'500;
  unsigned clean = 0, accepted = 0;
  for (unsigned long seed = 1; seed <= count; ++seed) {
    const auto insns = Maker{seed}.make();
    const auto check = ids::check_program(image_of(insns));
    if (!check.findings.empty() && check.findings[0].reason.starts_with("the agent refuses"))
      continue;
    ++accepted;
    clean += check.passed() && check.complete ? 1 : 0;
    for (const std::uint32_t input_bytes : {0U, 9U, 40U}) {
      const auto found = contradiction(insns, check, input_bytes, 2'000);
      ASSERT_EQ(found, "") << "seed " << seed << ", input of " << input_bytes << '\n'
                           << listing(insns, check);
    }
  }
  // Or the test would prove nothing.
  EXPECT_GT(accepted, count / 4);
  EXPECT_GT(clean, count / 200);
  std::printf("%u accepted by the agent, %u without errors\n", accepted, clean);
}

}  // namespace
}  // namespace sevmon::tests
