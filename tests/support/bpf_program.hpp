// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "bpf-run.h"
#include "bpf-verify.h"

namespace sevmon::tests {

/// A program, an instruction at a time. Registers are 0 to 10.
class BpfProgram {
 public:
  using Insn = sevmon_bpf_insn;

  BpfProgram& add(unsigned code, unsigned dst = 0, unsigned src = 0, int offset = 0,
                  std::int64_t imm = 0) {
    insns_.push_back({static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(dst | src << 4),
                      static_cast<std::int16_t>(offset), static_cast<std::int32_t>(imm)});
    return *this;
  }
  BpfProgram& mov(unsigned dst, std::int64_t imm) {
    return add(BPF_ALU64 | BPF_MOV, dst, 0, 0, imm);
  }
  BpfProgram& mov_reg(unsigned dst, unsigned src) {
    return add(BPF_ALU64 | BPF_MOV | BPF_X, dst, src);
  }
  BpfProgram& load_imm64(unsigned dst, std::uint64_t value) {
    add(BPF_LD_IMM64, dst, 0, 0, static_cast<std::int32_t>(value));
    return add(0, 0, 0, 0, static_cast<std::int32_t>(value >> 32));
  }
  BpfProgram& jump(int offset) { return add(BPF_JMP | BPF_JA, 0, 0, offset); }
  BpfProgram& call(std::int32_t helper) { return add(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
  BpfProgram& call_local(std::int32_t offset) {
    return add(BPF_JMP | BPF_CALL, 0, BPF_CALL_LOCAL, 0, offset);
  }
  BpfProgram& exit() { return add(BPF_JMP | BPF_EXIT); }

  std::vector<Insn>& insns() { return insns_; }
  std::uint32_t count() const { return static_cast<std::uint32_t>(insns_.size()); }

  /// Helpers 1 to 5 take that many arguments; there are no others.
  sevmon_bpf_verdict verify() const {
    const auto verifier = std::make_unique<sevmon_bpf_verifier>();
    return sevmon_bpf_verify(verifier.get(), insns_.data(), count(), to_five);
  }
  /// The same in steps of `looks`. Returns how many, too.
  std::pair<sevmon_bpf_verdict, std::uint64_t> verify_in_steps(std::uint32_t looks) const {
    const auto verifier = std::make_unique<sevmon_bpf_verifier>();
    sevmon_bpf_verify_start(verifier.get(), insns_.data(), count(), to_five);
    std::uint64_t steps = 1;
    while (!sevmon_bpf_verify_step(verifier.get(), looks)) ++steps;
    return {verifier->verdict, steps};
  }

 private:
  static bool to_five(std::int32_t number, unsigned* arguments) {
    *arguments = static_cast<unsigned>(number);
    return number >= 1 && number <= 5;
  }

  std::vector<Insn> insns_;
};

/// The most that the verifier can have to do: it comes to the body with all registers set, and then
/// again for each one that some way there does not set. Returns `result`.
inline BpfProgram slowest_to_verify(std::int32_t result = 0) {
  constexpr unsigned kRegs[] = {0, 3, 4, 5, 6, 7, 8, 9};  // r1 and r2 are set at the start
  constexpr int kWays = std::size(kRegs), kBody = 2 * kWays;
  // Behind the end there is a jump for each way: what is found last is followed first.
  constexpr int kTails = SEVMON_PROGRAM_MAX_INSNS - kWays;
  BpfProgram program;
  for (int way = 0; way < kWays; ++way) {
    program.add(BPF_JMP | BPF_JEQ, 1, 0, kTails + way - 2 * way - 1, 0);
    program.mov(kRegs[way], 0);
  }
  while (program.count() < kTails - 2) program.add(BPF_JMP | BPF_JEQ, 1, 0, 0, 0);
  program.mov(0, result).exit();
  for (int way = 0; way < kWays; ++way) program.jump(kBody - kTails - way - 1);
  return program;
}

/// A run of a program, verified or not, over memory that is its r1.
class BpfRun {
 public:
  explicit BpfRun(BpfProgram& program, std::vector<std::uint8_t> memory = {},
                  std::uint64_t budget = 10'000)
      : memory_{std::move(memory)} {
    sevmon_bpf_start(run_.get(), program.insns().data(), program.count(), memory_.data(),
                     static_cast<std::uint32_t>(memory_.size()), budget);
    run_->helper = [](sevmon_bpf_run* run, std::int32_t number) {
      run->reg[0] = run->reg[1] + static_cast<std::uint64_t>(number);
      return static_cast<std::uint32_t>(number * 100);
    };
  }

  /// To its end, in slices; returns how it ended.
  std::uint32_t finish(std::uint32_t slice = 64) {
    while (sevmon_bpf_continue(run_.get(), slice) == SEVMON_RUN_RUNNING) {
    }
    return run_->state;
  }
  sevmon_bpf_run& operator*() { return *run_; }
  sevmon_bpf_run* operator->() { return run_.get(); }
  const std::vector<std::uint8_t>& memory() const { return memory_; }

 private:
  std::unique_ptr<sevmon_bpf_run> run_ = std::make_unique<sevmon_bpf_run>();
  std::vector<std::uint8_t> memory_;
};

}  // namespace sevmon::tests
