// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sevmon/program.hpp>

#include "bpf-run.h"

namespace sevmon::tests {

constexpr std::uint32_t kCheckedMapBytes = 24, kCheckedDataBytes = 16;

/// An image of these instructions, with a map and constants.
inline ids::ProgramImage image_of(std::span<const sevmon_bpf_insn> insns) {
  const sevmon_program_head head{.insns = static_cast<std::uint32_t>(insns.size()),
                                 .data_bytes = kCheckedDataBytes,
                                 .map_bytes = kCheckedMapBytes,
                                 .init_bytes = 0,
                                 .zero = {}};
  ids::ProgramImage image;
  image.bytes.resize(sizeof head + insns.size_bytes() + kCheckedDataBytes);
  std::memcpy(image.bytes.data(), &head, sizeof head);
  if (!insns.empty())
    std::memcpy(image.bytes.data() + sizeof head, insns.data(), insns.size_bytes());
  return image;
}

/// As program.h has them, over memory that can be read at some addresses.
inline std::uint32_t do_helper(sevmon_bpf_run* run, std::int32_t number) {
  std::uint64_t bytes = static_cast<std::uint32_t>(run->reg[2]);
  if (number == SEVMON_HELPER_TIME) {
    run->reg[0] = 0x123456789abcdef;
    return 1;
  }
  if (number == SEVMON_HELPER_TRANSLATE) bytes = sizeof(sevmon_translation);
  if (number == SEVMON_HELPER_VCPU_STATE) bytes = sizeof(sevmon_vcpu_state);
  if (number == SEVMON_HELPER_DIGEST) {
    bytes = SEVMON_DIGEST_BYTES;
    if (!sevmon_bpf_memory(run, run->reg[2], SEVMON_DIGEST_KEY_BYTES, false)) {
      run->state = SEVMON_RUN_FAULT;
      return 1;
    }
  }
  const bool is_append = number == SEVMON_HELPER_APPEND;
  auto* place = sevmon_bpf_memory(run, run->reg[1], bytes, !is_append);
  if (place == nullptr || bytes > SEVMON_HELPER_MAX_BYTES) {
    run->state = SEVMON_RUN_FAULT;
    return 1;
  }
  const bool fails = run->reg[3] % 3 == 0;
  if (!is_append) std::memset(place, fails ? 0 : static_cast<int>(run->reg[3] & 255), bytes);
  run->reg[0] = fails ? static_cast<std::uint64_t>(-SEVMON_STATUS_NOT_MAPPED) : 0;
  if (number == SEVMON_HELPER_READ_STRING && !fails) run->reg[0] = bytes > 0 ? bytes - 1 : 0;
  return 1;
}

/// What the check says of a program must hold when it runs. @return which it does not; or nothing.
inline std::string contradiction(const std::vector<sevmon_bpf_insn>& insns,
                                 const ids::ProgramCheck& check, std::uint32_t input_bytes,
                                 std::uint64_t budget) {
  bool is_clean = check.complete;
  for (const auto& finding : check.findings)
    if (finding.level == ids::ProgramFinding::Level::kError ||
        finding.reason.find("touches the input") != std::string::npos ||
        finding.reason.find(" are taken") != std::string::npos)
      is_clean = false;
  std::vector<std::uint8_t> input(input_bytes, 0x81), map(kCheckedMapBytes, 2),
      data(kCheckedDataBytes, 3);
  const auto run = std::make_unique<sevmon_bpf_run>();
  sevmon_bpf_start(run.get(), insns.data(), static_cast<std::uint32_t>(insns.size()), input.data(),
                   input_bytes, budget);
  run->helper = do_helper;
  run->region[SEVMON_REGION_MAP] = {map.data(), kCheckedMapBytes, true};
  run->region[SEVMON_REGION_DATA] = {data.data(), kCheckedDataBytes, false};
  do {
    if (run->pc < check.reached.size() && !check.reached[run->pc] && check.complete)
      return "instruction " + std::to_string(run->pc) + " ran, and was never to be reached";
  } while (sevmon_bpf_continue(run.get(), 1) == SEVMON_RUN_RUNNING);
  if (is_clean && run->state == SEVMON_RUN_FAULT)
    return "a fault at or before instruction " + std::to_string(run->pc) + ", where none was to be";
  return {};
}

}  // namespace sevmon::tests
