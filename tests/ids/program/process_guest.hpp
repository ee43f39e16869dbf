// SPDX-License-Identifier: Apache-2.0
// Processes in a kernel that kernel_new.c or kernel_old.c describes, listed by the library's
// program in the agent's own interpreter, and by pages.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>

#include "list_guest.hpp"
#include "programs/processes.h"

namespace sevmon::tests {

inline ids::test::Shape shape_of(const std::string& kernel) {
  if (kernel == "new") return {};
  return {.state = "state", .state_bytes = 8, .start = "real_start_time", .slots = 16};
}

inline ids::test::FakeInfo info_of(const std::string& kernel, const FakeTarget& target) {
  return with_types_of(target, ids::test::make_info(shape_of(kernel)));
}

struct ProcessGuest {
  static constexpr std::uint64_t kSlide = 0x1a000000;

  explicit ProcessGuest(const std::string& kernel)
      : target{kernel}, processes{shape_of(kernel), info_of(kernel, target), kSlide} {
    for (const auto& [name, address] : processes.info.symbols_)
      target.symbols[name] = address + kSlide;
    image = image_of<ids::ProcessProgram>(kernel, target);
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
    auto done = run_over(processes.bytes, image, input, SEVMON_PROCESSES_BUDGET, answer_bytes);
    if (alter_result) alter_result(done.result);
    return done;
  }

  ids::ProcessOptions options(ids::ProcessOptions options = {}) {
    options.run_program = [this](std::span<const std::byte> input) { return run(input); };
    options.settle = std::chrono::milliseconds{0};
    return options;
  }
  ids::ProcessList by_program(const ids::ProcessOptions& more = {}) {
    auto attached = kernel();
    auto list = ids::list_processes(attached, options(more));
    EXPECT_TRUE(list) << list.error().message();
    return list ? *list : ids::ProcessList{};
  }
  ids::ProcessList by_pages(ids::ProcessOptions more = {}) {
    more.settle = std::chrono::milliseconds{0};
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
