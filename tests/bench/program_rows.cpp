// SPDX-License-Identifier: Apache-2.0
#include "bench/program_rows.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "bench/other_interpreter.hpp"
#include "bench/program_work.hpp"
#include "check.h"
#include "program.h"
#include "support/openssl_sha256.hpp"

namespace sevmon::bench {
namespace {

using tests::BpfProgram;

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error{what};
}

/// A work's buffer, its last number, and what it costs in the agent.
class WorkBench {
 public:
  WorkBench(ProgramWork work, const OtherInterpreter* other) : work_{std::move(work)} {
    const auto in_agent = interpret();
    const auto buffer = buffer_;
    require(in_agent.second == native().second, "the interpreter and C++ differ");
    require(buffer == buffer_, "the interpreter and C++ leave other words");
    if (other == nullptr || work_.has_loop) return;
    const auto& insns = work_.program.insns();
    other_ = other->load(insns.data(), work_.program.count(), work_.words.size() * 8);
    require(in_agent.second == in_other().second, "the two interpreters differ");
  }

  const ProgramWork& work() const { return work_; }
  /// Thousand instructions of the program.
  double kilo_insns() const { return static_cast<double>(kBudget - run_->budget) / 1000; }

  /// Nanoseconds, and the number.
  std::pair<std::uint64_t, std::uint64_t> interpret() {
    buffer_ = work_.words;
    sevmon_bpf_start(run_.get(), work_.program.insns().data(), work_.program.count(),
                     buffer_.data(), static_cast<std::uint32_t>(buffer_.size() * 8), kBudget);
    const auto ns = time_of([&] {
      while (sevmon_bpf_continue(run_.get(), SEVMON_RUN_SLICE) == SEVMON_RUN_RUNNING) {
      }
    });
    require(run_->state == SEVMON_RUN_DONE, "a program did not end by itself");
    return {ns, run_->reg[0]};
  }
  bool has_other() const { return other_ != nullptr; }
  std::pair<std::uint64_t, std::uint64_t> in_other() {
    buffer_ = work_.words;
    std::uint64_t number = 0;
    const auto ns = time_of([&] { number = other_(buffer_.data()); });
    return {ns, number};
  }
  std::pair<std::uint64_t, std::uint64_t> native() {
    buffer_ = work_.words;
    std::uint64_t number = 0;
    const auto ns = time_of([&] { number = work_.native(buffer_); });
    return {ns, number};
  }

 private:
  static constexpr std::uint64_t kBudget = SEVMON_RUN_MAX_BUDGET;
  ProgramWork work_;
  std::vector<std::uint64_t> buffer_;
  std::unique_ptr<sevmon_bpf_run> run_ = std::make_unique<sevmon_bpf_run>();
  OtherInterpreter::Program other_;
};

/// `per` in one run of `one`, which returns nanoseconds; `runs` of them in a round.
template <typename One>
Row program_row(std::string id, std::string title, std::string unit, double per, unsigned runs,
                One one) {
  Row row{.id = std::move(id), .title = std::move(title), .unit = std::move(unit)};
  row.units = per * runs;
  row.run = [=] {
    std::uint64_t ns = 0;
    for (unsigned i = 0; i < runs; ++i) ns += one();
    return ns;
  };
  return row;
}

void add_work(Rounds& rounds, ProgramWork work, unsigned runs, const OtherInterpreter* other) {
  const auto bench = std::make_shared<WorkBench>(std::move(work), other);
  const std::string id = bench->work().id;
  const auto add = [&](const std::string& name, const std::string& how, auto one,
                       std::vector<std::string> baselines) {
    auto row =
        program_row(name, bench->work().title + how, "thousand", bench->kilo_insns(), runs, one);
    row.baselines = std::move(baselines);
    rounds.add(std::move(row));
  };
  add(id + "_c_bpf", ", C", [bench] { return bench->native().first; }, {});
  std::vector<std::string> baselines{id + "_c_bpf"};
  if (bench->has_other()) {
    const auto name = id + "_other_bpf";
    add(
        name, ", DPDK's", [bench] { return bench->in_other().first; }, baselines);
    baselines.push_back(name);
  }
  add(
      id + "_bpf", ", agent's interpreter", [bench] { return bench->interpret().first; },
      baselines);
}

/// The check of the largest image with the instructions that are the slowest to verify.
class CommitBench {
 public:
  CommitBench() {
    auto program = tests::slowest_to_verify();
    const auto& insns = program.insns();
    sevmon_program_head head{};
    head.insns = program.count();
    head.data_bytes = SEVMON_PROGRAM_MAX_DATA_BYTES;
    head.map_bytes = SEVMON_PROGRAM_MAX_MAP_BYTES;
    head.init_bytes = static_cast<std::uint32_t>(SEVMON_PROGRAM_MAX_BYTES - sizeof(head) -
                                                 insns.size() * 8 - head.data_bytes);
    std::memcpy(program_->image, &head, sizeof(head));
    std::memcpy(program_->image + sizeof(head), insns.data(), insns.size() * 8);
    program_->bytes = SEVMON_PROGRAM_MAX_BYTES;
    tests::sha256(program_->sha256, program_->image, program_->bytes);
    host_.sha256_begin = tests::sha256_begin;
    host_.sha256_add = tests::sha256_add;
    host_.sha256_end = tests::sha256_end;
  }

  struct Times {
    std::uint64_t all_ns = 0, longest_ns = 0;
  };
  Times check() {
    Times times;
    sevmon_check_begin(check_.get(), &host_, program_.get());
    for (bool ended = false; !ended;) {
      const auto ns = time_of([&] { ended = sevmon_check_slice(check_.get()); });
      times.all_ns += ns;
      times.longest_ns = std::max(times.longest_ns, ns);
    }
    sevmon_check_leave(check_.get());
    require(program_->state == SEVMON_PROGRAM_READY, "the agent refuses the program");
    return times;
  }

 private:
  sevmon_host host_{};
  std::unique_ptr<sevmon_program> program_ = std::make_unique<sevmon_program>();
  std::unique_ptr<sevmon_check> check_ = std::make_unique<sevmon_check>();
};

void add_commit(Rounds& rounds, unsigned runs) {
  const auto verifier = std::make_shared<sevmon_bpf_verifier>();
  const auto program = std::make_shared<BpfProgram>(tests::slowest_to_verify());
  const auto no_helpers = [](std::int32_t, unsigned*) { return false; };
  const auto verify = [=] {
    return time_of([&] {
      const auto verdict =
          sevmon_bpf_verify(verifier.get(), program->insns().data(), program->count(), no_helpers);
      require(verdict.reason == SEVMON_VERDICT_OK, "the verifier refuses the program");
    });
  };
  const std::vector<std::uint8_t> image(SEVMON_PROGRAM_MAX_BYTES, 0xa5);
  const auto digest = [image] {
    return time_of([&] {
      std::uint8_t sha256[32];
      SHA256(image.data(), image.size(), sha256);
    });
  };
  rounds.add(
      program_row("verify_bpf", "verify 4,096 instructions, the slowest", "call", 1, runs, verify));
  rounds.add(program_row("sha256_bpf", "SHA-256 of 64 KiB (OpenSSL's)", "call", 1, runs, digest));

  const auto commit = std::make_shared<CommitBench>();
  rounds.add(program_row("commit_bpf", "COMMIT of both, all slices", "call", 1, runs,
                         [commit] { return commit->check().all_ns; }));
  auto slice = program_row("commit_slice_bpf", "COMMIT of both, the longest slice", "call", 1, runs,
                           [commit] { return commit->check().longest_ns; });
  slice.baselines = {"commit_bpf"};
  rounds.add(std::move(slice));
}

}  // namespace

void add_program_rows(Rounds& rounds, unsigned runs, const std::string& other) {
  std::unique_ptr<OtherInterpreter> interpreter;
  if (!other.empty()) interpreter = std::make_unique<OtherInterpreter>(other);
  for (auto* make :
       {checksum_work, sort_work, chase_work, straight_checksum_work, straight_chase_work})
    add_work(rounds, make(), runs, interpreter.get());
  add_commit(rounds, runs);
}

}  // namespace sevmon::bench
