// SPDX-License-Identifier: Apache-2.0
//
// A figure is only worth something beside another that was taken at the same time: machines are
// shared, clocks change, caches are somebody else's. So all rows take turns, in another order in
// each round, and ratios are formed within a round.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace sevmon::bench {

/// The time that this thread had a CPU for: another process's share does not count.
inline std::uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// Nanoseconds that `work` takes.
template <typename Work>
std::uint64_t time_of(Work&& work) {
  const auto start = cpu_ns();
  std::forward<Work>(work)();
  return cpu_ns() - start;
}

struct Row {
  std::string id;     // for baselines and for --json
  std::string title;  // for people
  std::string unit;   // "page", "call"
  std::vector<std::string> baselines{};
  double units = 1;                      // in one run
  std::function<std::uint64_t()> run{};  // returns nanoseconds, without its preparations
};

inline double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

inline nlohmann::ordered_json summary(const std::vector<double>& values) {
  return {{"median", quantile(values, 0.5)},
          {"p10", quantile(values, 0.1)},
          {"p90", quantile(values, 0.9)}};
}

class Rounds {
 public:
  void add(Row row) { rows_.push_back(std::move(row)); }

  /// Drop all rows but this one. Returns false if there is none of that name.
  bool keep(std::string_view id) {
    std::erase_if(rows_, [id](const Row& row) { return row.id != id; });
    for (auto& row : rows_) row.baselines.clear();
    return !rows_.empty();
  }

  /// Run every row once per round. The first round warms up and is not counted.
  void run(unsigned rounds) {
    samples_.assign(rows_.size(), {});
    std::vector<std::size_t> order(rows_.size());
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 generator{1};
    for (unsigned round = 0; round <= rounds; ++round) {
      std::ranges::shuffle(order, generator);
      for (const auto i : order) {
        const double us = static_cast<double>(rows_[i].run()) / 1000 / rows_[i].units;
        if (round) samples_[i].push_back(us);
      }
    }
  }

  nlohmann::ordered_json report() const {
    auto all = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      nlohmann::ordered_json ratios = nlohmann::ordered_json::object();
      for (const auto& id : rows_[i].baselines) ratios[id] = summary(ratios_to(i, id));
      all.push_back({{"id", rows_[i].id},
                     {"title", rows_[i].title},
                     {"unit", "us/" + rows_[i].unit},
                     {"value", summary(samples_[i])},
                     {"ratios", ratios}});
    }
    return all;
  }

 private:
  /// Round by round.
  std::vector<double> ratios_to(std::size_t row, const std::string& id) const {
    const auto other = std::ranges::find(rows_, id, &Row::id);
    const auto& theirs = samples_.at(static_cast<std::size_t>(other - rows_.begin()));
    std::vector<double> ratios;
    for (std::size_t round = 0; round < theirs.size(); ++round)
      ratios.push_back(samples_[row][round] / theirs[round]);
    return ratios;
  }

  std::vector<Row> rows_;
  std::vector<std::vector<double>> samples_;  // microseconds per unit; one per round
};

}  // namespace sevmon::bench
