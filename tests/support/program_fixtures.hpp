// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "support/program_client.hpp"

namespace sevmon::tests {

inline constexpr std::uint64_t kGva = 0xffffffff81000000;
inline constexpr std::uint64_t kMap = SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP);
inline constexpr std::uint64_t kMs = 1'000'000;

/// Appends `bytes` of its map and returns how often it was run: ++*(u64 *)map.
inline BpfProgram counting(std::int64_t bytes = 8) {
  BpfProgram program;
  program.load_imm64(6, kMap).add(BPF_LDX | BPF_MEM | BPF_DW, 7, 6);
  program.add(BPF_ALU64 | BPF_ADD, 7, 0, 0, 1).add(BPF_STX | BPF_MEM | BPF_DW, 6, 7);
  for (std::int64_t left = bytes; left > 0; left -= SEVMON_HELPER_MAX_BYTES)
    program.mov_reg(1, 6)
        .mov(2, std::min<std::int64_t>(left, SEVMON_HELPER_MAX_BYTES))
        .call(SEVMON_HELPER_APPEND);
  program.mov_reg(0, 7).exit();
  return program;
}

inline BpfProgram endless() {
  BpfProgram program;
  program.jump(-1).mov(0, 0).exit();
  return program;
}

/// *kGva, 8 bytes of it, to the result.
inline BpfProgram reading() {
  BpfProgram program;
  program.load_imm64(1, kMap).mov(2, 8).load_imm64(3, kGva).call(SEVMON_HELPER_READ).mov_reg(6, 0);
  program.load_imm64(1, kMap).mov(2, 8).call(SEVMON_HELPER_APPEND).mov_reg(0, 6).exit();
  return program;
}

class Programs : public ::testing::Test {
 protected:
  Image load(BpfProgram program, std::uint32_t map_bytes = 8, ProgramClient* by = nullptr) {
    Image image{program, {}, map_bytes};
    (by ? by : &client)->load_all(image);
    return image;
  }

  FakeHost host;
  FakeAgent agent{host};
  ProgramClient client{agent};
};

class Standing : public Programs {
 protected:
  sevmon_schedule_head every(const Image& image, std::uint32_t min_ms, std::uint32_t max_ms) const {
    return {.run = {.program = image.name(), .budget = 1'000'000, .flags = 0, .pause_us = 0},
            .min_ms = min_ms,
            .max_ms = max_ms};
  }
  void schedule(const Image& image, std::uint32_t min_ms = 100, std::uint32_t max_ms = 300) {
    host.wake_at = 0;  // an earlier time would stay: to no harm, but ticks are counted here
    ASSERT_EQ(client.schedule(every(image, min_ms, max_ms)), SEVMON_STATUS_OK);
  }
  void ticks(unsigned count) {
    for (unsigned i = 0; i < count; ++i) agent.tick(host);
  }
};

}  // namespace sevmon::tests
