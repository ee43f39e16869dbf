// SPDX-License-Identifier: Apache-2.0
//
// Work over a buffer of 64-bit words, as a program for the agent and as C++ that the compiler turns
// into the machine's instructions. Both must end with the same number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "support/bpf_program.hpp"

namespace sevmon::bench {

struct ProgramWork {
  std::string id, title;
  std::vector<std::uint64_t> words;  // copied before each run
  tests::BpfProgram program;         // r1: the words, r2: their bytes; all of them are its own
  std::uint64_t (*native)(std::span<std::uint64_t> words);
  bool has_loop = true;
};

inline std::vector<std::uint64_t> random_words(std::size_t count) {
  std::mt19937_64 generator{1};
  std::vector<std::uint64_t> words(count);
  std::ranges::generate(words, generator);
  return words;
}

/// A sum over 8,192 words in which each step waits for the one before.
inline ProgramWork checksum_work() {
  tests::BpfProgram program;
  program.mov(0, 0).add(BPF_ALU64 | BPF_RSH, 2, 0, 0, 3);
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 3, 1).add(BPF_ALU64 | BPF_XOR | BPF_X, 0, 3);
  program.add(BPF_ALU64 | BPF_MUL, 0, 0, 0, 435).add(BPF_ALU64 | BPF_ADD, 1, 0, 0, 8);
  program.add(BPF_ALU64 | BPF_SUB, 2, 0, 0, 1).add(BPF_JMP | BPF_JNE, 2, 0, -6, 0).exit();
  return {"checksum", "checksum", random_words(8192), program, [](std::span<std::uint64_t> words) {
            std::uint64_t sum = 0;
            for (const auto word : words) sum = (sum ^ word) * 435;
            return sum;
          }};
}

/// Insertion sort of 256 words; returns the one in the middle.
inline ProgramWork sort_work() {
  tests::BpfProgram program;
  program.mov_reg(6, 1).add(BPF_ALU64 | BPF_ADD | BPF_X, 2, 1);  // r2: the end
  program.mov_reg(3, 1).add(BPF_ALU64 | BPF_ADD, 3, 0, 0, 8);    // r3: the next to be put in
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 4, 3).mov_reg(5, 3);   // 4: r4 = *r3, r5 = r3
  program.add(BPF_JMP | BPF_JEQ | BPF_X, 5, 6, 5);               // 6: at the begin
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 5, -8);
  program.add(BPF_JMP | BPF_JLE | BPF_X, 0, 4, 3);
  program.add(BPF_STX | BPF_MEM | BPF_DW, 5, 0).add(BPF_ALU64 | BPF_SUB, 5, 0, 0, 8).jump(-6);
  program.add(BPF_STX | BPF_MEM | BPF_DW, 5, 4).add(BPF_ALU64 | BPF_ADD, 3, 0, 0, 8);
  program.add(BPF_JMP | BPF_JNE | BPF_X, 3, 2, -11);
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 6, 128 * 8).exit();
  return {"sort", "insertion sort", random_words(256), program, [](std::span<std::uint64_t> words) {
            for (std::size_t i = 1; i < words.size(); ++i) {
              const auto word = words[i];
              std::size_t at = i;
              for (; at > 0 && words[at - 1] > word; --at) words[at] = words[at - 1];
              words[at] = word;
            }
            return words[128];
          }};
}

/// As many steps through 8,192 words, each of which says where the next is: one cycle through all.
inline ProgramWork chase_work() {
  std::vector<std::uint64_t> order(8192), next(8192);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::shuffle(order, std::mt19937_64{1});
  for (std::size_t i = 0; i < order.size(); ++i) next[order[i]] = order[(i + 1) % order.size()];
  tests::BpfProgram program;
  program.mov(0, 0).mov_reg(3, 2).add(BPF_ALU64 | BPF_RSH, 3, 0, 0, 3);
  program.add(BPF_ALU64 | BPF_SUB, 3, 0, 0, 1);  // all but the last step
  program.add(BPF_ALU64 | BPF_LSH, 0, 0, 0, 3).add(BPF_ALU64 | BPF_ADD | BPF_X, 0, 1);
  program.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 0).add(BPF_ALU64 | BPF_SUB, 3, 0, 0, 1);
  program.add(BPF_JMP | BPF_JNE, 3, 0, -5, 0).exit();
  return {"chase", "pointer chase", next, program, [](std::span<std::uint64_t> words) {
            std::uint64_t at = 0;
            for (std::size_t i = 1; i < words.size(); ++i) at = words[at];
            return at;
          }};
}

// The same kinds of work without a jump, for interpreters whose checks take no loops.

inline ProgramWork straight_checksum_work() {
  constexpr std::int16_t kWords = 1024;
  tests::BpfProgram program;
  program.mov(0, 0);
  for (std::int16_t i = 0; i < kWords; ++i) {
    program.add(BPF_LDX | BPF_MEM | BPF_DW, 3, 1, i * 8).add(BPF_ALU64 | BPF_XOR | BPF_X, 0, 3);
    program.add(BPF_ALU64 | BPF_MUL, 0, 0, 0, 435);
  }
  auto work = checksum_work();
  return {"line_checksum", "checksum, unrolled", random_words(kWords),
          program.exit(),  work.native,          false};
}

inline ProgramWork straight_chase_work() {
  constexpr int kWords = 512, kSteps = 768;
  tests::BpfProgram program;
  program.mov(0, 0);
  for (int i = 0; i < kSteps; ++i) {
    program.add(BPF_ALU64 | BPF_AND, 0, 0, 0, kWords - 1).add(BPF_ALU64 | BPF_LSH, 0, 0, 0, 3);
    program.mov_reg(3, 1).add(BPF_ALU64 | BPF_ADD | BPF_X, 3, 0);
    program.add(BPF_LDX | BPF_MEM | BPF_DW, 0, 3);
  }
  return {"line_chase",
          "pointer chase, unrolled",
          random_words(kWords),
          program.exit(),
          [](std::span<std::uint64_t> words) {
            std::uint64_t at = 0;
            for (int i = 0; i < kSteps; ++i) at = words[at & (kWords - 1)];
            return at;
          },
          false};
}

}  // namespace sevmon::bench
