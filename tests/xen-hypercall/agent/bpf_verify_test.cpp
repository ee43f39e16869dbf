// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/bpf_program.hpp"

namespace sevmon::tests {
namespace {

/// Each instruction is looked at in five passes, in one for each depth and for the one that finds
/// none, and once for each register besides the first time.
constexpr std::uint64_t kMostLooks = 5 + SEVMON_BPF_MAX_DEPTH + 1 + SEVMON_BPF_REGISTERS + 1;

void expect_the_same_in_steps(const BpfProgram& program, const char* why) {
  const auto whole = program.verify();
  for (const std::uint32_t looks : {1, 2, 7}) {
    const auto [verdict, steps] = program.verify_in_steps(looks);
    EXPECT_EQ(verdict.reason, whole.reason) << why << ", " << looks;
    EXPECT_EQ(verdict.insn, whole.insn) << why << ", " << looks;
    EXPECT_LE((steps - 1) * looks, kMostLooks * program.count()) << why;
  }
}

void expect_refused(const BpfProgram& program, unsigned reason, unsigned insn, const char* why) {
  const auto verdict = program.verify();
  EXPECT_EQ(verdict.reason, reason) << why;
  EXPECT_EQ(verdict.insn, insn) << why;
  expect_the_same_in_steps(program, why);
}

void expect_fine(const BpfProgram& program, const char* why) {
  const auto verdict = program.verify();
  EXPECT_EQ(verdict.reason, SEVMON_VERDICT_OK) << why << ", at " << verdict.insn;
  expect_the_same_in_steps(program, why);
}

/// A program of one instruction between one that sets all registers and the end.
BpfProgram with(unsigned code, unsigned dst, unsigned src, int offset, std::int64_t imm) {
  BpfProgram program;
  for (unsigned reg = 0; reg < 10; ++reg) program.mov(reg, 1);
  return program.add(code, dst, src, offset, imm).jump(0).exit();
}
constexpr unsigned kAt = 10;

TEST(BpfVerify, LengthsHaveLimits) {
  expect_refused(BpfProgram{}, SEVMON_VERDICT_LENGTH, 0, "nothing");
  BpfProgram longest;
  for (int i = 0; i < SEVMON_PROGRAM_MAX_INSNS - 1; ++i) longest.mov(0, 0);
  longest.exit();
  expect_fine(longest, "the longest");
  longest.exit();
  expect_refused(longest, SEVMON_VERDICT_LENGTH, SEVMON_PROGRAM_MAX_INSNS + 1, "one more");
}

TEST(BpfVerify, OnlyTheOpcodesOfTheGroupsAreTaken) {
  unsigned taken = 0;
  for (unsigned code = 0; code < 256; ++code) {
    const bool swap = (code & 0xf0) == BPF_END && (code & 7) != BPF_JMP && (code & 7) != BPF_JMP32;
    const bool call = code == (BPF_JMP | BPF_CALL);
    // r0 for r0 is a valid operand of all but these; so are zero immediates and offsets.
    taken += with(code, 0, 0, 0, swap ? 16 : call ? 1 : 0).verify().reason != SEVMON_VERDICT_OPCODE;
  }
  // 12 operations and NEG, in two widths, all but NEG with two kinds of operand; three swaps; 11
  // conditions in two widths with two kinds of operand; two JA, CALL, EXIT; LDDW, 7 loads, 8
  // stores.
  EXPECT_EQ(taken, 12U * 4 + 2 + 3 + 11 * 4 + 4 + 1 + 7 + 8);
}

TEST(BpfVerify, FieldsThatAreNotUsedAreZero) {
  struct Case {
    unsigned code, src;
    int offset;
    std::int64_t imm;
  };
  for (const Case& fine : {Case{BPF_ALU64 | BPF_ADD, 0, 0, -1},
                           {BPF_ALU64 | BPF_ADD | BPF_X, 1, 0, 0},
                           {BPF_ALU | BPF_DIV, 0, 1, 3},
                           {BPF_ALU64 | BPF_MOD | BPF_X, 1, 1, 0},
                           {BPF_ALU64 | BPF_MOV | BPF_X, 1, 32, 0},
                           {BPF_ALU | BPF_MOV | BPF_X, 1, 16, 0},
                           {BPF_ALU | BPF_END, 0, 0, 64},
                           {BPF_JMP | BPF_JEQ, 0, 1, 7},
                           {BPF_JMP32 | BPF_JA, 0, 0, 1},
                           {BPF_JMP | BPF_JA, 0, 1, 0}})
    EXPECT_EQ(with(fine.code, 0, fine.src, fine.offset, fine.imm).verify().reason,
              SEVMON_VERDICT_OK)
        << std::hex << fine.code;
  for (const Case& bad : {Case{BPF_ALU64 | BPF_ADD, 1, 0, 1},
                          {BPF_ALU64 | BPF_ADD, 0, 1, 1},
                          {BPF_ALU64 | BPF_ADD | BPF_X, 1, 0, 1},
                          {BPF_ALU64 | BPF_ADD | BPF_X, 1, 1, 0},
                          {BPF_ALU64 | BPF_DIV, 0, 2, 1},
                          {BPF_ALU64 | BPF_MOD, 0, -1, 1},
                          {BPF_ALU64 | BPF_MOV, 0, 8, 1},
                          {BPF_ALU64 | BPF_MOV | BPF_X, 1, 24, 0},
                          {BPF_ALU | BPF_MOV | BPF_X, 1, 32, 0},
                          {BPF_ALU64 | BPF_NEG, 1, 0, 0},
                          {BPF_ALU64 | BPF_NEG, 0, 1, 0},
                          {BPF_ALU64 | BPF_NEG, 0, 0, 1},
                          {BPF_ALU | BPF_END, 0, 0, 8},
                          {BPF_ALU | BPF_END, 0, 0, 0},
                          {BPF_ALU | BPF_END, 1, 0, 16},
                          {BPF_ALU | BPF_END, 0, 1, 16},
                          {BPF_JMP | BPF_JEQ, 1, 1, 7},
                          {BPF_JMP | BPF_JEQ | BPF_X, 1, 1, 7},
                          {BPF_JMP | BPF_JA, 1, 0, 0},
                          {BPF_JMP | BPF_JA, 0, 0, 1},
                          {BPF_JMP32 | BPF_JA, 0, 1, 0},
                          {BPF_JMP | BPF_CALL, 0, 1, 1},
                          {BPF_JMP | BPF_CALL, 2, 0, 1},
                          {BPF_JMP | BPF_EXIT, 0, 0, 1},
                          {BPF_JMP | BPF_EXIT, 0, 1, 0},
                          {BPF_JMP | BPF_EXIT, 1, 0, 0},
                          {BPF_LDX | BPF_MEM | BPF_W, 1, 0, 1},
                          {BPF_STX | BPF_MEM | BPF_W, 1, 0, 1},
                          {BPF_ST | BPF_MEM | BPF_W, 1, 0, 1},
                          {BPF_LD_IMM64, 1, 0, 0},
                          {BPF_LD_IMM64, 0, 1, 0}})
    expect_refused(with(bad.code, 0, bad.src, bad.offset, bad.imm), SEVMON_VERDICT_FIELD, kAt,
                   std::to_string(bad.code).c_str());
}

TEST(BpfVerify, SecondHalvesOfImmediatesHoldNothingElse) {
  const auto with_half = [](unsigned code, unsigned dst, int offset) {
    return BpfProgram{}.add(BPF_LD_IMM64).add(code, dst, 0, offset, 1).exit();
  };
  expect_fine(with_half(0, 0, 0), "all zero");
  expect_refused(with_half(1, 0, 0), SEVMON_VERDICT_FIELD, 1, "an opcode");
  expect_refused(with_half(0, 1, 0), SEVMON_VERDICT_FIELD, 1, "a register");
  expect_refused(with_half(0, 0, 1), SEVMON_VERDICT_FIELD, 1, "an offset");
}

TEST(BpfVerify, RegistersAreR0ToR10AndR10IsNotWritten) {
  for (unsigned reg = 11; reg < 16; ++reg) {
    expect_refused(with(BPF_ALU64 | BPF_MOV, reg, 0, 0, 1), SEVMON_VERDICT_REGISTER, kAt,
                   "written");
    expect_refused(with(BPF_ALU64 | BPF_MOV | BPF_X, 0, reg, 0, 0), SEVMON_VERDICT_REGISTER, kAt,
                   "read");
    expect_refused(with(BPF_STX | BPF_MEM | BPF_B, reg, 0, 0, 0), SEVMON_VERDICT_REGISTER, kAt,
                   "base");
    expect_refused(with(BPF_JMP | BPF_JEQ, reg, 0, 0, 0), SEVMON_VERDICT_REGISTER, kAt, "compared");
  }
  expect_refused(with(BPF_ALU64 | BPF_ADD, 10, 0, 0, 8), SEVMON_VERDICT_REGISTER, kAt, "r10 += 8");
  expect_refused(with(BPF_LDX | BPF_MEM | BPF_DW, 10, 1, 0, 0), SEVMON_VERDICT_REGISTER, kAt,
                 "r10 = *");
  expect_fine(with(BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0), "r3 = r10");
  expect_fine(with(BPF_STX | BPF_MEM | BPF_DW, 10, 3, -8, 0), "*(r10 - 8) = r3");
}

TEST(BpfVerify, PlacesOffR10AreInTheStack) {
  for (const auto& [size, bytes] :
       {std::pair{BPF_B, 1}, std::pair{BPF_H, 2}, std::pair{BPF_W, 4}, std::pair{BPF_DW, 8}}) {
    expect_fine(with(BPF_STX | BPF_MEM | size, 10, 0, -bytes, 0), "the last");
    expect_fine(with(BPF_LDX | BPF_MEM | size, 0, 10, -512, 0), "the first");
    expect_refused(with(BPF_STX | BPF_MEM | size, 10, 0, -bytes + 1, 0), SEVMON_VERDICT_STACK, kAt,
                   "over");
    expect_refused(with(BPF_ST | BPF_MEM | size, 10, 0, 0, 0), SEVMON_VERDICT_STACK, kAt, "behind");
    expect_refused(with(BPF_LDX | BPF_MEM | size, 0, 10, -513, 0), SEVMON_VERDICT_STACK, kAt,
                   "below");
  }
}

TEST(BpfVerify, JumpsStayInTheirFunctionAndOutOfImmediates) {
  expect_refused(BpfProgram{}.mov(0, 0).jump(1).exit(), SEVMON_VERDICT_JUMP, 1, "past the end");
  expect_refused(BpfProgram{}.mov(0, 0).jump(-3).exit(), SEVMON_VERDICT_JUMP, 1,
                 "before the start");
  expect_refused(BpfProgram{}.mov(0, 0).jump(1).load_imm64(0, 1).exit(), SEVMON_VERDICT_JUMP, 1,
                 "into an immediate");
  expect_refused(BpfProgram{}.mov(0, 0).add(BPF_JMP32 | BPF_JA, 0, 0, 0, 0x7fffffff).exit(),
                 SEVMON_VERDICT_JUMP, 1, "far");
  expect_fine(BpfProgram{}.mov(0, 0).jump(-2).exit(), "a loop");

  BpfProgram other;
  other.call_local(1).exit().mov(0, 0).jump(-3).exit();
  expect_refused(other, SEVMON_VERDICT_JUMP, 3, "into another function");
  expect_refused(BpfProgram{}.call_local(1).exit(), SEVMON_VERDICT_JUMP, 0, "call past the end");
  expect_refused(BpfProgram{}.call_local(-3).exit(), SEVMON_VERDICT_JUMP, 0,
                 "call before the start");
  expect_refused(BpfProgram{}.call_local(2).exit().load_imm64(0, 1).exit(), SEVMON_VERDICT_JUMP, 0,
                 "call of an immediate");
}

TEST(BpfVerify, FunctionsEnd) {
  expect_refused(BpfProgram{}.mov(0, 0), SEVMON_VERDICT_END, 0, "runs out of the program");
  expect_refused(BpfProgram{}.mov(0, 0).add(BPF_LD_IMM64), SEVMON_VERDICT_END, 1,
                 "half an immediate");
  expect_refused(BpfProgram{}.mov(0, 0).exit().add(BPF_JMP | BPF_JEQ, 0, 0, -1), SEVMON_VERDICT_END,
                 2, "a condition at the end");
  expect_refused(BpfProgram{}.mov(1, 0).mov(2, 0).call_local(1).mov(0, 0).mov(0, 1).exit(),
                 SEVMON_VERDICT_END, 3, "into the next function");
  expect_fine(BpfProgram{}.mov(0, 0).jump(-2), "for ever");
}

TEST(BpfVerify, RegistersAreSetBeforeTheyAreRead) {
  expect_fine(BpfProgram{}.mov_reg(0, 1).exit(), "r1 is set at the start");
  expect_fine(BpfProgram{}.mov_reg(0, 2).exit(), "and r2");
  expect_refused(BpfProgram{}.mov_reg(0, 3).exit(), SEVMON_VERDICT_UNINITIALISED, 0, "r3 is not");
  expect_refused(BpfProgram{}.exit(), SEVMON_VERDICT_UNINITIALISED, 0, "nor r0");
  expect_refused(BpfProgram{}.add(BPF_ALU64 | BPF_ADD, 0, 0, 0, 1).exit(),
                 SEVMON_VERDICT_UNINITIALISED, 0, "r0 += 1");
  expect_refused(BpfProgram{}.add(BPF_JMP | BPF_JEQ, 1, 0, 1).mov(0, 1).exit(),
                 SEVMON_VERDICT_UNINITIALISED, 2, "on one of two ways");
  expect_fine(BpfProgram{}.add(BPF_JMP | BPF_JEQ, 1, 0, 2).mov(0, 1).jump(1).mov(0, 2).exit(),
              "on both");
  expect_refused(BpfProgram{}.mov(3, 0).call(1).mov_reg(0, 3).exit(), SEVMON_VERDICT_UNINITIALISED,
                 2, "a helper takes r1 to r5");
  expect_refused(BpfProgram{}.mov(3, 0).call(4).exit(), SEVMON_VERDICT_UNINITIALISED, 1,
                 "an argument");
  expect_fine(BpfProgram{}.mov(6, 0).call(1).mov_reg(0, 6).exit(), "but leaves r6");

  // A loop takes a register away only on its second round.
  BpfProgram loop;
  loop.mov(0, 0).mov(3, 0).mov_reg(6, 3).mov(1, 0).call(1).jump(-4).exit();
  expect_refused(loop, SEVMON_VERDICT_UNINITIALISED, 2, "on the way back");
}

TEST(BpfVerify, LocalFunctionsGetArgumentsOnly) {
  expect_fine(BpfProgram{}.mov(6, 0).call_local(1).exit().mov_reg(0, 1).exit(), "r1");
  expect_refused(BpfProgram{}.mov(6, 0).call_local(1).exit().mov_reg(0, 6).exit(),
                 SEVMON_VERDICT_UNINITIALISED, 3, "not r6 of its caller");
  expect_fine(BpfProgram{}.mov(0, 7).call_local(1).exit().exit(), "void ones: their r0 is 0");
  expect_fine(BpfProgram{}.mov(6, 0).call_local(2).mov_reg(0, 6).exit().mov(0, 0).exit(),
              "which keeps its own r6");
}

TEST(BpfVerify, HelpersAreKnown) {
  expect_fine(BpfProgram{}.call(2).exit(), "one that is there");
  for (const int number : {0, 6, -1, 0x7fffffff})
    expect_refused(BpfProgram{}.call(number).exit(), SEVMON_VERDICT_HELPER, 0, "none such");
  expect_refused(BpfProgram{}.mov(0, 0).exit().call(9).exit(), SEVMON_VERDICT_HELPER, 2,
                 "where nothing leads, too");
}

TEST(BpfVerify, CallsHaveADepth) {
  const auto chain = [](int depth) {
    BpfProgram program;
    for (int i = 1; i < depth; ++i) program.call_local(1).exit();
    return program.mov(0, 0).exit();
  };
  expect_fine(chain(SEVMON_BPF_MAX_DEPTH), "the deepest");
  EXPECT_EQ(chain(SEVMON_BPF_MAX_DEPTH + 1).verify().reason, SEVMON_VERDICT_DEPTH);
  EXPECT_EQ(BpfProgram{}.call_local(-1).exit().verify().reason, SEVMON_VERDICT_DEPTH)
      << "of itself";
  BpfProgram mutual;
  mutual.call_local(1).exit().call_local(1).exit().call_local(-3).exit();
  EXPECT_EQ(mutual.verify().reason, SEVMON_VERDICT_DEPTH) << "of each other";

  // Each function behind the one that it calls: the order of the text does not hide the depth.
  const auto backwards = [](int functions) {
    BpfProgram program;
    program.call_local(2 * functions - 1).exit().mov(0, 0).exit();
    for (int i = 1; i < functions; ++i) program.call_local(-3).exit();
    return program;
  };
  expect_fine(backwards(SEVMON_BPF_MAX_DEPTH - 1), "the deepest, backwards");
  EXPECT_EQ(backwards(SEVMON_BPF_MAX_DEPTH).verify().reason, SEVMON_VERDICT_DEPTH);
}

/// A step is as long as it was told, and one that has its verdict keeps it.
TEST(BpfVerify, StepsAreNoLonger) {
  BpfProgram program;
  while (program.count() < 99) program.mov(0, 0);
  program.exit();
  const auto [whole, steps] = program.verify_in_steps(1);
  EXPECT_EQ(whole.reason, SEVMON_VERDICT_OK);
  // Five passes, a round of depths that finds none, and the registers: straight on.
  EXPECT_EQ(steps, 7u * program.count());
  for (const std::uint32_t looks : {2u, 3u, 50u, 699u, 700u, 701u})
    EXPECT_EQ(program.verify_in_steps(looks).second, (steps + looks - 1) / looks) << looks;

  sevmon_bpf_verifier verifier;
  sevmon_bpf_verify_start(&verifier, program.insns().data(), 0, nullptr);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(sevmon_bpf_verify_step(&verifier, 1));
    EXPECT_EQ(verifier.verdict.reason, SEVMON_VERDICT_LENGTH);
  }
}

TEST(BpfVerify, TakesLinearTime) {
  // Each instruction of a long loop is visited again for each register that turns out not to be
  // set.
  BpfProgram program;
  for (unsigned reg = 0; reg < 10; ++reg) program.mov(reg, 0);
  while (program.count() < SEVMON_PROGRAM_MAX_INSNS - 4) program.add(BPF_JMP | BPF_JEQ, 0, 0, 0);
  program.mov(1, 0).call(1).jump(-(SEVMON_PROGRAM_MAX_INSNS - 11)).exit();
  EXPECT_EQ(program.count(), SEVMON_PROGRAM_MAX_INSNS);
  expect_fine(program, "a long loop");

  const auto slowest = slowest_to_verify();
  EXPECT_EQ(slowest.count(), SEVMON_PROGRAM_MAX_INSNS);
  expect_fine(slowest, "many ways");
  EXPECT_GE(slowest.verify_in_steps(1).second, (5u + 1 + 9) * (SEVMON_PROGRAM_MAX_INSNS - 50))
      << "as much as there is to do";
}

}  // namespace
}  // namespace sevmon::tests
