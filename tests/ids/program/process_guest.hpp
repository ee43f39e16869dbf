// SPDX-License-Identifier: Apache-2.0
// Processes in a kernel that kernel_new.c or kernel_old.c describes, listed by the library's
// program in the agent's own interpreter, and by pages.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>

#include "ids/linux/fake_kernel.hpp"
#include "profile/btf.hpp"
#include "program_support.hpp"
#include "programs/processes.h"

namespace sevmon::tests {

/// What an answer of the largest size class has for a program's result.
constexpr std::size_t kAnswerBytes =
    SEVMON_PAGE_BYTES * SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) - sizeof(sevmon_run_report);

inline ids::test::Shape shape_of(const std::string& kernel) {
  if (kernel == "new") return {};
  return {.state = "state", .state_bytes = 8, .start = "real_start_time", .slots = 16};
}

/// Where the compiler put things.
inline ids::test::FakeInfo info_of(const std::string& kernel, const FakeTarget& target) {
  auto info = ids::test::make_info(shape_of(kernel));
  const auto btf = ids::Btf::parse(target.btf);
  EXPECT_TRUE(btf) << btf.error().message();
  for (auto& [names, member] : info.members_) {
    const auto found = btf->member(names.first, names.second);
    EXPECT_TRUE(found) << found.error().message();
    if (found) member = *found;
  }
  for (auto& [type, bytes] : info.sizes_) bytes = *btf->size_of(type);
  return info;
}

struct ProcessGuest {
  static constexpr std::uint64_t kSlide = 0x1a000000;

  explicit ProcessGuest(const std::string& kernel)
      : target{kernel}, processes{shape_of(kernel), info_of(kernel, target), kSlide} {
    for (const auto& [name, address] : processes.info.symbols_)
      target.symbols[name] = address + kSlide;
    // Linked once for each kernel: that takes longer than most tests.
    static std::map<std::string, ids::ProgramImage> images;
    if (!images.contains(kernel)) {
      const auto program = ids::ProcessProgram::link(target.target());
      EXPECT_TRUE(program) << program.error().message();
      if (program) images[kernel] = program->image();
    }
    image = images[kernel];
  }

  void add_usual() {
    processes.add({.pid = 1, .comm = "systemd", .start_ns = 40'000'000});
    processes.add({.pid = 2, .comm = "kthreadd", .flags = 0x00208040});
    processes.add({.pid = 3, .parent = 2, .comm = "rcu_gp", .state = 0x402, .flags = 0x00208040});
    processes.add({.pid = 700, .parent = 1, .comm = "sshd", .uid = 33});
    processes.add({.pid = 5000, .parent = 700, .comm = "a name of 16 byt", .uid = 1000});
  }

  ids::Kernel kernel() {
    return ids::Kernel{processes.info, ids::Root{}, kSlide, [this] {
                         ++epochs;
                         return std::make_unique<ids::test::FakeMemory>(processes.bytes, waves);
                       }};
  }

  ids::ProgramRun run(std::span<const std::byte> input) {
    ++runs;
    if (before_run) before_run(runs);
    std::vector<std::uint8_t> bytes(input.size());
    std::memcpy(bytes.data(), input.data(), input.size());
    ImageRun run{image, std::move(bytes)};
    run.capacity = answer_bytes;
    run.look = [this](std::uint64_t address) -> std::optional<std::uint8_t> {
      const auto* byte = processes.bytes.find(address);
      if (byte == nullptr) return std::nullopt;
      return std::to_integer<std::uint8_t>(*byte);
    };
    ids::ProgramRun done;
    done.report.state = run.run(SEVMON_PROCESSES_BUDGET);
    done.report.cost = run.cost;
    const auto result = std::as_bytes(std::span{run.result});
    done.result.assign(result.begin(), result.end());
    if (alter_result) alter_result(done.result);
    return done;
  }

  ids::ProcessOptions options(ids::ProcessOptions options = {}) {
    options.run_program = [this](std::span<const std::byte> input) { return run(input); };
    return options;
  }
  ids::ProcessList by_program(const ids::ProcessOptions& more = {}) {
    auto attached = kernel();
    auto list = ids::list_processes(attached, options(more));
    EXPECT_TRUE(list) << list.error().message();
    return list ? *list : ids::ProcessList{};
  }
  ids::ProcessList by_pages(const ids::ProcessOptions& more = {}) {
    auto attached = kernel();
    auto list = ids::list_processes(attached, more);
    EXPECT_TRUE(list) << list.error().message();
    return list ? *list : ids::ProcessList{};
  }
  ids::ProcessList by_both(const ids::ProcessOptions& more = {}) {
    auto attached = kernel();
    auto list = ids::compare_processes(attached, options(more));
    EXPECT_TRUE(list) << list.error().message();
    return list ? *list : ids::ProcessList{};
  }

  FakeTarget target;
  ids::test::FakeProcesses processes;
  ids::ProgramImage image;
  std::size_t answer_bytes = kAnswerBytes;
  unsigned waves = 0, epochs = 0, runs = 0;
  std::function<void(unsigned)> before_run;
  std::function<void(std::vector<std::byte>&)> alter_result;
};

}  // namespace sevmon::tests
