// SPDX-License-Identifier: Apache-2.0
//
// What the agent costs without Xen, as JSON for scripts/bench: a list of rows.
//
//   bench-native [--quick | --programs [INTERPRETER.so] | --pages | --profile ROW]
//
//   --programs      only the rows of program_rows.hpp, with another interpreter's
//   --pages         only those of 15 pages to a message
//   --profile ROW   run that row alone, for perf: its baselines are missing
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "agent.h"
#include "bench/page_rows.hpp"
#include "bench/program_rows.hpp"

namespace {

struct Size {
  std::size_t batches;  // of 15 pages
  unsigned calls, programs, rounds;
};

constexpr Size kWhole{.batches = 4370, .calls = 500, .programs = 20, .rounds = 15};  // 256 MiB
constexpr Size kQuick{.batches = 40, .calls = 5, .programs = 1, .rounds = 2};        // does it run?

void print(const sevmon::bench::Rounds& rounds, std::size_t pages, unsigned count) {
  const nlohmann::ordered_json report{
      {"pages", pages}, {"rounds", count}, {"rows", rounds.report()}};
  std::puts(report.dump(2).c_str());
}

int run_programs(const Size& size, const std::string& other) {
  using namespace sevmon::bench;
  Rounds rounds;
  add_program_rows(rounds, size.programs, other);
  rounds.run(size.rounds);
  print(rounds, 0, size.rounds);
  return 0;
}

int run(const Size& size, bool only_pages, std::string_view only) {
  using namespace sevmon::bench;
  const GuestMemory memory{size.batches};
  BenchHost host{memory};
  if (const char* failed = sevmon_agent_selftest(host.table())) {
    std::fprintf(stderr, "bench-native: the agent's self-test failed: %s\n", failed);
    return 1;
  }
  Rounds rounds;
  add_page_rows(rounds, memory, host, SEVMON_CLASS_15_PAGES);
  if (!only_pages) {
    add_page_rows(rounds, memory, host, SEVMON_CLASS_1_PAGE);
    add_frame_rows(rounds, host, size.calls);
    add_program_rows(rounds, size.programs, "");
  }
  if (!only.empty() && !rounds.keep(only)) {
    std::fprintf(stderr, "bench-native: there is no such row\n");
    return 2;
  }
  rounds.run(size.rounds);
  print(rounds, memory.pages(), size.rounds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  const bool quick = argc == 2 && option == "--quick";
  const bool profile = argc == 3 && option == "--profile";
  const bool programs = (argc == 2 || argc == 3) && option == "--programs";
  const bool pages = argc == 2 && option == "--pages";
  if (argc != 1 && !quick && !programs && !pages && !profile) {
    std::fputs(
        "usage: bench-native [--quick | --programs [INTERPRETER.so] | --pages | --profile ROW]\n",
        stderr);
    return 2;
  }
  try {
    if (programs) return run_programs(kWhole, argc == 3 ? argv[2] : "");
    return run(quick ? kQuick : kWhole, pages, profile ? argv[2] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-native: %s\n", error.what());
    return 1;
  }
}
