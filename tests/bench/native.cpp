// SPDX-License-Identifier: Apache-2.0
//
// What the agent costs without Xen, as JSON for scripts/bench: a list of rows.
//
//   bench-native [--quick]
#include <cstdio>
#include <exception>
#include <string_view>

#include "agent.h"
#include "bench/page_rows.hpp"

namespace {

struct Size {
  std::size_t batches;  // of 15 pages
  unsigned calls, rounds;
};

constexpr Size kWhole{.batches = 4370, .calls = 500, .rounds = 15};  // 256 MiB
constexpr Size kQuick{.batches = 40, .calls = 5, .rounds = 2};       // does it run?

int run(const Size& size) {
  using namespace sevmon::bench;
  const GuestMemory memory{size.batches};
  BenchHost host{memory};
  if (const char* failed = sevmon_agent_selftest(host.table())) {
    std::fprintf(stderr, "bench-native: the agent's self-test failed: %s\n", failed);
    return 1;
  }
  Rounds rounds;
  add_page_rows(rounds, memory, host);
  add_frame_rows(rounds, host, size.calls);
  rounds.run(size.rounds);
  const nlohmann::json report{
      {"pages", memory.pages()}, {"rounds", size.rounds}, {"rows", rounds.report()}};
  std::puts(report.dump(2).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string_view{argv[1]} == "--quick";
  if (argc != (quick ? 2 : 1)) {
    std::fputs("usage: bench-native [--quick]\n", stderr);
    return 2;
  }
  try {
    return run(quick ? kQuick : kWhole);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-native: %s\n", error.what());
    return 1;
  }
}
