// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "support/bpf_program.hpp"

namespace sevmon::tests {
namespace {

using U64 = std::uint64_t;
using U32 = std::uint32_t;
using S64 = std::int64_t;
using S32 = std::int32_t;

constexpr U64 kInput = SEVMON_BPF_ADDRESS(SEVMON_REGION_INPUT);

const std::vector<U64> kValues = {0,
                                  1,
                                  2,
                                  5,
                                  31,
                                  32,
                                  63,
                                  64,
                                  0x7f,
                                  0x80,
                                  0x7fff,
                                  0x8000,
                                  0x7fffffff,
                                  0x80000000,
                                  0xffffffff,
                                  0x100000000,
                                  0x123456789abcdef0,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0xffffffff80000000,
                                  0xffffffffffffffff};

/// One operation of RFC 9669, 4.1, said again with types instead of widths.
struct Operation {
  unsigned code;
  int offset;
  std::function<U64(U64, U64)> wide;
  std::function<U32(U32, U32)> narrow;
};

template <typename T>
T divide(T a, T b) {
  if (b == 0) return 0;
  if (std::is_signed_v<T> && b == static_cast<T>(-1))
    return static_cast<T>(U64{0} - static_cast<U64>(a));
  return a / b;
}
template <typename T>
T modulo(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return a % b;
}

const std::vector<Operation> kOperations = {
    {BPF_ADD, 0, [](U64 a, U64 b) { return a + b; }, [](U32 a, U32 b) { return a + b; }},
    {BPF_SUB, 0, [](U64 a, U64 b) { return a - b; }, [](U32 a, U32 b) { return a - b; }},
    {BPF_MUL, 0, [](U64 a, U64 b) { return a * b; }, [](U32 a, U32 b) { return a * b; }},
    {BPF_DIV, 0, divide<U64>, divide<U32>},
    {BPF_DIV, 1, [](U64 a, U64 b) { return static_cast<U64>(divide<S64>(a, b)); },
     [](U32 a, U32 b) { return static_cast<U32>(divide<S32>(a, b)); }},
    {BPF_MOD, 0, modulo<U64>, modulo<U32>},
    {BPF_MOD, 1, [](U64 a, U64 b) { return static_cast<U64>(modulo<S64>(a, b)); },
     [](U32 a, U32 b) { return static_cast<U32>(modulo<S32>(a, b)); }},
    {BPF_OR, 0, [](U64 a, U64 b) { return a | b; }, [](U32 a, U32 b) { return a | b; }},
    {BPF_AND, 0, [](U64 a, U64 b) { return a & b; }, [](U32 a, U32 b) { return a & b; }},
    {BPF_XOR, 0, [](U64 a, U64 b) { return a ^ b; }, [](U32 a, U32 b) { return a ^ b; }},
    {BPF_LSH, 0, [](U64 a, U64 b) { return a << b % 64; },
     [](U32 a, U32 b) { return a << b % 32; }},
    {BPF_RSH, 0, [](U64 a, U64 b) { return a >> b % 64; },
     [](U32 a, U32 b) { return a >> b % 32; }},
    {BPF_ARSH, 0, [](U64 a, U64 b) { return static_cast<U64>(static_cast<S64>(a) >> b % 64); },
     [](U32 a, U32 b) { return static_cast<U32>(static_cast<S32>(a) >> b % 32); }},
    {BPF_MOV, 0, [](U64, U64 b) { return b; }, [](U32, U32 b) { return b; }},
};

U64 result_of(BpfProgram& program, std::vector<std::uint8_t> memory = {}) {
  const auto verdict = program.verify();
  EXPECT_EQ(verdict.reason, SEVMON_VERDICT_OK) << "at " << verdict.insn;
  BpfRun run{program, std::move(memory)};
  EXPECT_EQ(run.finish(), SEVMON_RUN_DONE);
  return run->reg[0];
}

TEST(BpfRun, ComputesWhatTheSpecificationSays) {
  for (const auto& op : kOperations)
    for (const U64 a : kValues)
      for (const U64 b : kValues) {
        const auto by_register = [&](unsigned klass) {
          BpfProgram program;
          program.load_imm64(0, a).load_imm64(3, b);
          program.add(klass | op.code | BPF_X, 0, 3, op.offset).exit();
          return result_of(program);
        };
        const auto by_immediate = [&](unsigned klass) {
          BpfProgram program;
          program.load_imm64(0, a)
              .add(klass | op.code, 0, 0, op.offset, static_cast<S32>(b))
              .exit();
          return result_of(program);
        };
        const auto narrow = [&](U64 x, U64 y) {
          return U64{op.narrow(static_cast<U32>(x), static_cast<U32>(y))};
        };
        const auto extended = static_cast<U64>(static_cast<S64>(static_cast<S32>(b)));
        SCOPED_TRACE(testing::Message() << std::hex << op.code << " " << a << ", " << b);
        ASSERT_EQ(by_register(BPF_ALU64), op.wide(a, b));
        ASSERT_EQ(by_register(BPF_ALU), narrow(a, b));
        ASSERT_EQ(by_immediate(BPF_ALU64), op.wide(a, extended));
        ASSERT_EQ(by_immediate(BPF_ALU), narrow(a, b));
      }
}

TEST(BpfRun, NegatesSwapsAndExtends) {
  const U64 value = 0x0102030485868788;
  const auto one = [&](unsigned code, unsigned src, int offset, int imm) {
    BpfProgram program;
    program.load_imm64(0, value).load_imm64(3, value).add(code, 0, src, offset, imm).exit();
    return result_of(program);
  };
  EXPECT_EQ(one(BPF_ALU64 | BPF_NEG, 0, 0, 0), -value);
  EXPECT_EQ(one(BPF_ALU | BPF_NEG, 0, 0, 0), U32(-0x85868788));
  EXPECT_EQ(one(BPF_ALU | BPF_END, 0, 0, 16), 0x8788U);
  EXPECT_EQ(one(BPF_ALU | BPF_END, 0, 0, 32), 0x85868788U);
  EXPECT_EQ(one(BPF_ALU | BPF_END, 0, 0, 64), value);
  for (const unsigned code : {BPF_ALU | BPF_END | BPF_X, BPF_ALU64 | BPF_END}) {
    EXPECT_EQ(one(code, 0, 0, 16), 0x8887U);
    EXPECT_EQ(one(code, 0, 0, 32), 0x88878685U);
    EXPECT_EQ(one(code, 0, 0, 64), 0x8887868504030201U);
  }
  EXPECT_EQ(one(BPF_ALU64 | BPF_MOV | BPF_X, 3, 8, 0), 0xffffffffffffff88U);
  EXPECT_EQ(one(BPF_ALU64 | BPF_MOV | BPF_X, 3, 16, 0), 0xffffffffffff8788U);
  EXPECT_EQ(one(BPF_ALU64 | BPF_MOV | BPF_X, 3, 32, 0), 0xffffffff85868788U);
  EXPECT_EQ(one(BPF_ALU | BPF_MOV | BPF_X, 3, 8, 0), 0xffffff88U);
  EXPECT_EQ(one(BPF_ALU | BPF_MOV | BPF_X, 3, 16, 0), 0xffff8788U);
}

struct Condition {
  unsigned code;
  std::function<bool(U64, U64)> wide;
  std::function<bool(S64, S64)> signed_;
};

TEST(BpfRun, JumpsAsTheSpecificationSays) {
  const std::vector<Condition> conditions = {
      {BPF_JEQ, [](U64 a, U64 b) { return a == b; }, {}},
      {BPF_JNE, [](U64 a, U64 b) { return a != b; }, {}},
      {BPF_JSET, [](U64 a, U64 b) { return (a & b) != 0; }, {}},
      {BPF_JGT, [](U64 a, U64 b) { return a > b; }, {}},
      {BPF_JGE, [](U64 a, U64 b) { return a >= b; }, {}},
      {BPF_JLT, [](U64 a, U64 b) { return a < b; }, {}},
      {BPF_JLE, [](U64 a, U64 b) { return a <= b; }, {}},
      {BPF_JSGT, {}, [](S64 a, S64 b) { return a > b; }},
      {BPF_JSGE, {}, [](S64 a, S64 b) { return a >= b; }},
      {BPF_JSLT, {}, [](S64 a, S64 b) { return a < b; }},
      {BPF_JSLE, {}, [](S64 a, S64 b) { return a <= b; }},
  };
  const auto taken = [](unsigned code, U64 a, U64 b, bool by_register) {
    BpfProgram program;
    program.mov(0, 1).load_imm64(3, a).load_imm64(4, b);
    program.add(by_register ? code | BPF_X : code, 3, by_register ? 4 : 0, 1,
                by_register ? 0 : static_cast<S32>(b));
    program.mov(0, 0).exit();
    return result_of(program) == 1;
  };
  for (const auto& condition : conditions)
    for (const U64 a : kValues)
      for (const U64 b : kValues) {
        const auto holds = [&](U64 x, U64 y) {
          return condition.wide ? condition.wide(x, y)
                                : condition.signed_(static_cast<S64>(x), static_cast<S64>(y));
        };
        const auto narrow = [&](U64 value) {
          return condition.wide ? U64{static_cast<U32>(value)}
                                : static_cast<U64>(static_cast<S64>(static_cast<S32>(value)));
        };
        const auto extended = static_cast<U64>(static_cast<S64>(static_cast<S32>(b)));
        SCOPED_TRACE(testing::Message() << std::hex << condition.code << " " << a << ", " << b);
        ASSERT_EQ(taken(BPF_JMP | condition.code, a, b, true), holds(a, b));
        ASSERT_EQ(taken(BPF_JMP | condition.code, a, b, false), holds(a, extended));
        ASSERT_EQ(taken(BPF_JMP32 | condition.code, a, b, true), holds(narrow(a), narrow(b)));
        ASSERT_EQ(taken(BPF_JMP32 | condition.code, a, b, false), holds(narrow(a), narrow(b)));
      }
}

TEST(BpfRun, LoadsAndStoresEachSize) {
  const std::vector<std::uint8_t> memory = {0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88};
  const auto loaded = [&](unsigned code) {
    BpfProgram program;
    program.add(BPF_LDX | code, 0, 1).exit();
    return result_of(program, memory);
  };
  EXPECT_EQ(loaded(BPF_MEM | BPF_B), 0x81U);
  EXPECT_EQ(loaded(BPF_MEM | BPF_H), 0x8281U);
  EXPECT_EQ(loaded(BPF_MEM | BPF_W), 0x84838281U);
  EXPECT_EQ(loaded(BPF_MEM | BPF_DW), 0x8887868584838281U);
  EXPECT_EQ(loaded(BPF_MEMSX | BPF_B), 0xffffffffffffff81U);
  EXPECT_EQ(loaded(BPF_MEMSX | BPF_H), 0xffffffffffff8281U);
  EXPECT_EQ(loaded(BPF_MEMSX | BPF_W), 0xffffffff84838281U);

  const auto stored = [&](unsigned klass, unsigned size) {
    BpfProgram program;
    program.mov(0, 0).load_imm64(3, 0x1122334455667788);
    program.add(klass | BPF_MEM | size, 1, klass == BPF_STX ? 3 : 0, 0, klass == BPF_ST ? -2 : 0);
    program.exit();
    BpfRun run{program, memory};
    EXPECT_EQ(run.finish(), SEVMON_RUN_DONE);
    U64 value;
    std::memcpy(&value, run.memory().data(), sizeof(value));
    return value;
  };
  EXPECT_EQ(stored(BPF_STX, BPF_B), 0x8887868584838288U);
  EXPECT_EQ(stored(BPF_STX, BPF_H), 0x8887868584837788U);
  EXPECT_EQ(stored(BPF_STX, BPF_W), 0x8887868555667788U);
  EXPECT_EQ(stored(BPF_STX, BPF_DW), 0x1122334455667788U);
  EXPECT_EQ(stored(BPF_ST, BPF_B), 0x88878685848382feU);
  EXPECT_EQ(stored(BPF_ST, BPF_H), 0x888786858483fffeU);
  EXPECT_EQ(stored(BPF_ST, BPF_W), 0x88878685fffffffeU);
  EXPECT_EQ(stored(BPF_ST, BPF_DW), 0xfffffffffffffffeU);
}

/// How a program ends that loads or stores `bytes` at `address`.
std::uint32_t access(U64 address, unsigned size, bool write, std::size_t memory = 16) {
  BpfProgram program;
  program.mov(0, 0).load_imm64(3, address);
  program.add(write ? BPF_STX | BPF_MEM | size : BPF_LDX | BPF_MEM | size, write ? 3 : 0,
              write ? 0 : 3);
  program.mov(0, 0).exit();
  BpfRun run{program, std::vector<std::uint8_t>(memory)};
  run->region[SEVMON_REGION_DATA] = {const_cast<std::uint8_t*>(run.memory().data()), 16, false};
  return run.finish();
}

TEST(BpfRun, AccessesOutsideOfItsRegionsAreFaults) {
  const std::pair<unsigned, unsigned> sizes[] = {{BPF_B, 1}, {BPF_H, 2}, {BPF_W, 4}, {BPF_DW, 8}};
  const U64 stack = SEVMON_BPF_ADDRESS(SEVMON_REGION_STACK);
  const U64 map = SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP);
  const U64 data = SEVMON_BPF_ADDRESS(SEVMON_REGION_DATA);
  for (const bool write : {false, true})
    for (const auto& [size, bytes] : sizes) {
      SCOPED_TRACE(bytes);
      EXPECT_EQ(access(kInput, size, write), SEVMON_RUN_DONE);
      EXPECT_EQ(access(kInput + 16 - bytes, size, write), SEVMON_RUN_DONE);
      EXPECT_EQ(access(kInput + 16 - bytes + 1, size, write), SEVMON_RUN_FAULT);
      EXPECT_EQ(access(kInput + 16, size, write), SEVMON_RUN_FAULT);
      EXPECT_EQ(access(kInput - 1, size, write), SEVMON_RUN_FAULT);
      EXPECT_EQ(access(stack, size, write), SEVMON_RUN_DONE);
      EXPECT_EQ(access(stack + 512 - bytes, size, write), SEVMON_RUN_DONE);
      EXPECT_EQ(access(stack + 512, size, write), SEVMON_RUN_FAULT)
          << "of a function that is not active";
      EXPECT_EQ(access(map, size, write), SEVMON_RUN_FAULT) << "no map is there";
      EXPECT_EQ(access(data, size, write), write ? SEVMON_RUN_FAULT : SEVMON_RUN_DONE);
      EXPECT_EQ(access(SEVMON_BPF_ADDRESS(SEVMON_REGIONS), size, write), SEVMON_RUN_FAULT);
      for (const U64 address :
           {U64{0}, U64{8}, U64{0xffffffffffffffff}, U64{0xffff82d040200000}, kInput + 0xffffffff})
        EXPECT_EQ(access(address, size, write), SEVMON_RUN_FAULT) << std::hex << address;
    }
  EXPECT_EQ(access(kInput, BPF_B, false, 0), SEVMON_RUN_FAULT) << "no memory";
}

TEST(BpfRun, AddressesDoNotWrapIntoARegion) {
  BpfProgram program;
  program.mov(0, 0).add(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, -8).exit();
  BpfRun run{program, std::vector<std::uint8_t>(16)};
  EXPECT_EQ(run.finish(), SEVMON_RUN_FAULT);
  EXPECT_EQ(sevmon_bpf_memory(&*run, kInput + 8, U64{0} - 4, false), nullptr);
  EXPECT_EQ(sevmon_bpf_memory(&*run, kInput + 8, 9, false), nullptr);
  EXPECT_NE(sevmon_bpf_memory(&*run, kInput + 8, 8, false), nullptr);
}

TEST(BpfRun, LocalCallsKeepRegistersAndHaveStacksOfTheirOwn) {
  BpfProgram program;
  program.mov(6, 60).mov(7, 70).mov(1, 5).mov(2, 0);
  program.add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 111);
  program.call_local(4);                               // f(5)
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 3, 10, -8);  // 111
  program.add(BPF_ALU64 | BPF_ADD | BPF_X, 0, 3);
  program.add(BPF_ALU64 | BPF_ADD | BPF_X, 0, 6).exit();  // + 60
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 6, 10, -8);     // f: its stack is zero
  program.add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 222);
  program.mov_reg(0, 1).add(BPF_ALU64 | BPF_ADD | BPF_X, 0, 6).exit();
  EXPECT_EQ(result_of(program), 5U + 111 + 60);
}

TEST(BpfRun, StackOfAFunctionThatIsLeftIsGoneAndZeroedForTheNext) {
  BpfProgram program;
  program.call_local(3).call_local(2).mov_reg(3, 0).exit();
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 10, -8);
  program.add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 7).exit();
  EXPECT_EQ(result_of(program), 0U);
}

TEST(BpfRun, StackOfAFunctionThatIsLeftIsOutOfReach) {
  BpfProgram program;
  program.call_local(4).load_imm64(3, SEVMON_BPF_ADDRESS(SEVMON_REGION_STACK) + 512);
  program.add(BPF_LDX | BPF_MEM | BPF_B, 0, 3).exit().mov(0, 0).exit();
  EXPECT_EQ(program.verify().reason, SEVMON_VERDICT_OK);
  BpfRun run{program};
  EXPECT_EQ(run.finish(), SEVMON_RUN_FAULT);
}

TEST(BpfRun, AFunctionThatSetsNoResultGivesZero) {
  auto program = BpfProgram{}.mov(0, 7).call_local(1).exit().exit();
  BpfRun run{program};
  EXPECT_EQ(run.finish(), SEVMON_RUN_DONE);
  EXPECT_EQ(run->reg[0], 0u);
}

TEST(BpfRun, LongJumpsGoBothWays) {
  auto program = BpfProgram{}.add(BPF_JMP32 | BPF_JA, 0, 0, 0, 2).mov(0, 5).exit();
  program.add(BPF_JMP32 | BPF_JA, 0, 0, 0, -3);
  BpfRun run{program};
  EXPECT_EQ(run.finish(), SEVMON_RUN_DONE);
  EXPECT_EQ(run->reg[0], 5u);
}

TEST(BpfRun, WithoutHelpersACallIsBad) {
  auto program = BpfProgram{}.mov(0, 0).call(1).exit();
  BpfRun run{program};
  run->helper = nullptr;
  EXPECT_EQ(run.finish(), SEVMON_RUN_BAD_INSN);
  EXPECT_EQ(run->pc, 1u) << "where it is";
}

TEST(BpfRun, EverySliceGetsOn) {
  auto program = BpfProgram{}.jump(-1);
  BpfRun run{program, {}, 10};
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(sevmon_bpf_continue(&*run, 0), SEVMON_RUN_RUNNING);
  EXPECT_EQ(sevmon_bpf_continue(&*run, 0), SEVMON_RUN_OVER_BUDGET);
}

TEST(BpfRun, CallsTooDeepEnd) {
  BpfProgram program;  // the verifier refuses this one
  program.call_local(-1).exit();
  EXPECT_EQ(program.verify().reason, SEVMON_VERDICT_DEPTH);
  BpfRun run{program};
  EXPECT_EQ(run.finish(), SEVMON_RUN_TOO_DEEP);
}

TEST(BpfRun, EndsAtItsBudgetWhateverTheSlices) {
  for (const std::uint32_t slice : {1U, 7U, 64U, 1'000'000U}) {
    BpfProgram program;
    program.mov(0, 0).add(BPF_ALU64 | BPF_ADD, 0, 0, 0, 1).jump(-2);
    BpfRun run{program, {}, 1001};
    EXPECT_EQ(run.finish(slice), SEVMON_RUN_OVER_BUDGET);
    EXPECT_EQ(run->reg[0], 500U);
    EXPECT_EQ(run->budget, 0U);
  }
}

TEST(BpfRun, ASliceIsNoMoreThanItSays) {
  BpfProgram program;
  program.mov(0, 0).add(BPF_ALU64 | BPF_ADD, 0, 0, 0, 1).jump(-2);
  BpfRun run{program, {}, 1000};
  EXPECT_EQ(sevmon_bpf_continue(&*run, 11), SEVMON_RUN_RUNNING);
  EXPECT_EQ(run->reg[0], 5U);
  EXPECT_EQ(run->budget, 989U);
}

TEST(BpfRun, HelpersCostWhatTheySay) {
  BpfProgram program;
  program.mov(1, 41).mov(2, 0).call(1).mov_reg(6, 0).exit();
  BpfRun run{program, {}, 1000};
  EXPECT_EQ(run.finish(1000), SEVMON_RUN_DONE);
  EXPECT_EQ(run->reg[0], 42U);
  EXPECT_EQ(run->budget, 1000U - 5 - 100);
  BpfRun sliced{program, {}, 1000};
  EXPECT_EQ(sliced.finish(1), SEVMON_RUN_DONE);
  EXPECT_EQ(sliced->budget, 1000U - 5 - 100) << "a small slice does not hide it";
  BpfRun poor{program, {}, 50};
  EXPECT_EQ(poor.finish(), SEVMON_RUN_OVER_BUDGET);
}

TEST(BpfRun, AnEndIsAnEnd) {
  BpfProgram program;
  program.mov(0, 3).exit();
  BpfRun run{program};
  EXPECT_EQ(run.finish(), SEVMON_RUN_DONE);
  const auto budget = run->budget;
  EXPECT_EQ(sevmon_bpf_continue(&*run, 100), SEVMON_RUN_DONE);
  EXPECT_EQ(run->budget, budget);
}

TEST(BpfRun, WhatTheVerifierWouldRefuseEndsTheRun) {
  const std::vector<BpfProgram> programs = {
      BpfProgram{}.mov(0, 0),                                       // past the end
      BpfProgram{}.jump(5).exit(),                                  // out of the program
      BpfProgram{}.jump(-5).exit(),                                 // before it
      BpfProgram{}.add(BPF_JMP32 | BPF_JA, 0, 0, 0, 1 << 30),       // far out of it
      BpfProgram{}.add(BPF_LD_IMM64, 0),                            // half of an immediate
      BpfProgram{}.add(0xff).exit(),                                // no such instruction
      BpfProgram{}.add(BPF_LDX | BPF_MEMSX | BPF_DW, 0, 1).exit(),  // nor this one
      BpfProgram{}.add(BPF_STX | 0xc0 | BPF_DW, 1, 0).exit(),       // atomic
      BpfProgram{}.add(BPF_JMP | BPF_CALL | BPF_X, 1).exit(),       // through a register
      BpfProgram{}.add(BPF_JMP | BPF_CALL, 0, 2, 0, 1).exit(),      // a helper by its type
      BpfProgram{}.call_local(1 << 30).exit(),
  };
  for (auto program : programs) {
    EXPECT_NE(program.verify().reason, SEVMON_VERDICT_OK);
    BpfRun run{program, std::vector<std::uint8_t>(16)};
    EXPECT_EQ(run.finish(), SEVMON_RUN_BAD_INSN);
  }
}

}  // namespace
}  // namespace sevmon::tests
