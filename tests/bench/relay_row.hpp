// SPDX-License-Identifier: Apache-2.0
//
// A row of scripts/bench --tcp, and how it is timed.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/result.hpp>

#include "bench/rounds.hpp"

namespace sevmon::bench {

inline std::uint8_t class_of(unsigned pages) {
  return pages == 1   ? SEVMON_CLASS_1_PAGE
         : pages <= 4 ? SEVMON_CLASS_4_PAGES
                      : SEVMON_CLASS_15_PAGES;
}

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}
inline void check(const common::Result<void>& result) {
  if (!result) throw std::runtime_error{result.error().message()};
}

inline std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}
inline std::uint64_t wall_ns() {
  return read_clock(CLOCK_MONOTONIC);
}

/// The CPU time that a process has used so far, all threads of it.
class CpuOf {
 public:
  explicit CpuOf(pid_t process) {
    if (clock_getcpuclockid(process, &clock_)) throw std::runtime_error{"no such process"};
  }
  std::uint64_t ns() const { return read_clock(clock_); }

 private:
  clockid_t clock_{};
};

/// When each request went and its answer came.
class Stopwatch {
 public:
  explicit Stopwatch(std::size_t count) : sent_(count), took_(count) {}
  void sent(std::size_t i) { sent_[i] = wall_ns(); }
  void took(std::size_t i) { took_[i] = static_cast<double>(wall_ns() - sent_[i]) / 1000; }
  double within(double part) const { return quantile(took_, part); }

 private:
  std::vector<std::uint64_t> sent_;
  std::vector<double> took_;  // microseconds
};

/// What was measured of one row, a value for each round.
struct RelayRow {
  std::string id;
  unsigned pages, depth;
  std::string baseline;  // a row's id, or none
  std::function<void(RelayRow&)> run;
  std::vector<double> wall_us{}, half_us{}, most_us{}, client_us{}, server_us{};  // per request
};

/// Run `work`, `count` requests, and note what each cost.
inline void time(RelayRow& row, std::size_t count, const CpuOf* server,
                 const std::function<void(Stopwatch&)>& work) {
  Stopwatch watch{count};
  const auto server_start = server ? server->ns() : 0, wall_start = wall_ns(),
             client_start = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  work(watch);
  const auto per_request = [&](std::uint64_t now, std::uint64_t start) {
    return static_cast<double>(now - start) / 1000 / static_cast<double>(count);
  };
  row.client_us.push_back(per_request(read_clock(CLOCK_PROCESS_CPUTIME_ID), client_start));
  row.wall_us.push_back(per_request(wall_ns(), wall_start));
  row.server_us.push_back(server ? per_request(server->ns(), server_start) : 0);
  row.half_us.push_back(watch.within(0.5));
  row.most_us.push_back(watch.within(0.99));
}

}  // namespace sevmon::bench
