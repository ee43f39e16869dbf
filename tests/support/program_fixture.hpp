// SPDX-License-Identifier: Apache-2.0
//
// What the tests of programs, helpers and runs share: an agent with one IDS that loads and runs.
#pragma once

#include <gtest/gtest.h>

#include "support/program_client.hpp"

namespace sevmon::tests {

// Where things are in the monitored system, and in a program.
constexpr std::uint64_t kGva = 0xffffffff81000000, kAbsent = 0xffffffff82000000;
constexpr std::uint64_t kInput = SEVMON_BPF_ADDRESS(SEVMON_REGION_INPUT);
constexpr std::uint64_t kMap = SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP);
constexpr std::uint64_t kData = SEVMON_BPF_ADDRESS(SEVMON_REGION_DATA);
constexpr std::uint64_t kBuffer = kMap + 256;  // of the map, in most of these

/// What a helper returns for a status.
constexpr std::uint64_t failed(unsigned status) {
  return std::uint64_t{0} - status;
}

/// Returns a number.
inline BpfProgram returning(std::int64_t number) {
  BpfProgram program;
  program.mov(0, number).exit();
  return program;
}

inline BpfProgram endless() {
  BpfProgram program;
  program.jump(-1).mov(0, 0).exit();
  return program;
}

class ProgramFixture : public ::testing::Test {
 protected:
  /// Load it with 64 KiB of map and run it.
  RunResult run(BpfProgram& program, ByteView input = {}, std::uint64_t budget = 1'000'000) {
    const Image image{program, {}, SEVMON_PROGRAM_MAX_MAP_BYTES};
    client.load_all(image);
    return client.run(image.name(), input, budget);
  }
  /// r0 of a helper called with these, and what is in the map's buffer afterwards.
  RunResult call(std::int32_t helper, std::initializer_list<std::uint64_t> arguments,
                 std::uint32_t bytes = 0) {
    BpfProgram program;
    unsigned reg = 1;
    // What was in the buffer must not stay there.
    program.load_imm64(2, kBuffer).mov(0, 0x55);
    for (int i = 0; i < 8; ++i) program.add(BPF_STX | BPF_MEM | BPF_B, 2, 0, i);
    for (const auto argument : arguments) program.load_imm64(reg++, argument);
    program.call(helper).mov_reg(6, 0);
    if (bytes) program.load_imm64(1, kBuffer).mov(2, bytes).call(SEVMON_HELPER_APPEND);
    program.mov_reg(0, 6).exit();
    return run(program);
  }

  FakeHost host;
  FakeAgent agent{host};
  ProgramClient client{agent};
};

}  // namespace sevmon::tests
