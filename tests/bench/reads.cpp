// SPDX-License-Identifier: Apache-2.0
//
// How long reads take over several paths (bench/paths.hpp), which take turns.
//
//   bench-reads latency KEY MEMORY ROUNDS READS SILENCE_MS PATH...
//       In each round and over each path READS times one page, each after so much silence. Without
//       any it is steady use: one more comes first, which ends the silence of the others' turns.
//   bench-reads bulk KEY MEMORY ROUNDS REQUESTS PAGES DEPTH PATH...
//       In each round and over each path that many requests at once.
//
// Prints {PATH: [[nanoseconds, ...] of each round]}. A first round warms up and is not counted;
// KEY and MEMORY as PathOptions has them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include <sevmon/heap.hpp>

#include "bench/paths.hpp"

namespace {

using namespace sevmon;
using Words = std::span<const std::string>;

struct Named {
  std::string name;
  std::unique_ptr<bench::Path> path;
};

/// Of an image all frames are read once over each: what the first touch of a mapped page takes is
/// the system's, three times a copy of it, and nobody's here.
std::vector<Named> make_paths(Words names, const bench::PathOptions& options) {
  std::vector<Named> paths;
  for (const auto& name : names) paths.push_back({name, bench::make_path(name, options)});
  if (options.memory.find_first_not_of("0123456789") == std::string::npos)
    for (const auto& each : paths) each.path->read(std::stoul(options.memory) / options.pages + 1);
  return paths;
}

std::uint64_t time_of_read(bench::Path& path, std::size_t requests) {
  const auto start = std::chrono::steady_clock::now();
  path.read(requests);
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  return static_cast<std::uint64_t>(took.count());
}

/// `sample` of each path in each round, the paths in another order each time.
nlohmann::ordered_json in_turns(
    const std::vector<Named>& paths, std::size_t rounds,
    const std::function<std::vector<std::uint64_t>(bench::Path&, bool counts)>& sample) {
  nlohmann::ordered_json report;
  for (const auto& [name, path] : paths) report[name] = nlohmann::ordered_json::array();
  std::vector<std::size_t> order(paths.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 generator{1};
  for (std::size_t round = 0; round <= rounds; ++round) {
    std::ranges::shuffle(order, generator);
    for (const auto i : order) {
      auto times = sample(*paths[i].path, round != 0);
      if (round != 0) report[paths[i].name].push_back(std::move(times));
    }
  }
  return report;
}

nlohmann::ordered_json latency(Words words) {
  const auto reads = std::stoul(words[3]);
  const std::chrono::milliseconds silence{std::stoul(words[4])};
  const auto paths =
      make_paths(words.subspan(5), {.key = words[0], .memory = words[1], .pages = 1, .depth = 1});
  return in_turns(paths, std::stoul(words[2]), [&](bench::Path& path, bool counts) {
    std::vector<std::uint64_t> times;
    if (silence.count() == 0) path.read(1);
    for (std::size_t i = 0; i < reads; ++i) {
      if (counts && silence.count() != 0) std::this_thread::sleep_for(silence);
      times.push_back(time_of_read(path, 1));
    }
    return times;
  });
}

nlohmann::ordered_json bulk(Words words) {
  const auto requests = std::stoul(words[3]);
  const auto paths =
      make_paths(words.subspan(6), {.key = words[0],
                                    .memory = words[1],
                                    .pages = std::stoul(words[4]),
                                    .depth = static_cast<unsigned>(std::stoul(words[5]))});
  return in_turns(paths, std::stoul(words[2]), [&](bench::Path& path, bool /*counts*/) {
    return std::vector{time_of_read(path, requests)};
  });
}

}  // namespace

int main(int argc, char** argv) {
  sevmon::common::keep_freed_memory(sevmon::common::kIdsHeapBytes);  // as sevmon does
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "latency" && words.size() > 5) {
      std::puts(latency(words).dump().c_str());
      return 0;
    }
    if (command == "bulk" && words.size() > 6) {
      std::puts(bulk(words).dump().c_str());
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-reads: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: bench-reads latency|bulk KEY MEMORY ROUNDS ... PATH...\n", stderr);
  return 2;
}
