// SPDX-License-Identifier: Apache-2.0
//
// scripts/bench --lanes: one agent over a memory image, asked through its lanes and over TCP in
// turn.
//
//   bench-lanes PORT LANES KEY FRAMES ROUNDS
//       FRAMES: of the image, all read in turn. Print rows as bench-native does.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/transport.hpp>

#include "bench/rounds.hpp"

namespace {

using namespace sevmon;
using namespace std::chrono_literals;

constexpr std::size_t kSingles = 400;  // in a round
constexpr std::size_t kAfterSilence = 10;
constexpr std::size_t kBulkRequests = 120;
// Longer than either end takes to look as seldom as it ever does.
constexpr auto kSilence = 100ms;

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}

std::uint64_t wall_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{now}.count());
}

/// A way to the agent: a channel for single pages, and one for 15 at a time.
class Way {
 public:
  using Connect = std::function<std::unique_ptr<ids::FrameTransport>()>;

  Way(const Connect& connect, const std::string& key, std::uint64_t frames) : frames_{frames} {
    single_ = open(connect, key, SEVMON_CLASS_1_PAGE);
    bulk_ = open(connect, key, SEVMON_CLASS_15_PAGES);
  }

  /// Nanoseconds that each of `count` requests of one page takes, in order, each after `pause`.
  std::vector<double> singles(std::size_t count, std::chrono::milliseconds pause) {
    std::vector<double> times;
    for (std::size_t i = 0; i < count; ++i) {
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
      const std::vector<ids::Request> one{request(1)};
      const auto start = wall_ns();
      check(take(single_->exchange(one)));
      times.push_back(static_cast<double>(wall_ns() - start));
    }
    return times;
  }

  std::uint64_t bulk() {
    std::vector<ids::Request> all;
    for (std::size_t i = 0; i < kBulkRequests; ++i) all.push_back(request(15));
    const auto start = wall_ns();
    check(take(bulk_->exchange(all)));
    return wall_ns() - start;
  }

 private:
  static std::unique_ptr<ids::Channel> open(const Connect& connect, const std::string& key,
                                            std::uint8_t size_class) {
    ids::ChannelOptions options;
    options.size_class = size_class;
    options.answer_timeout = 60s;
    return take(ids::Channel::open(connect(), take(ids::Key::load(key)), options));
  }

  ids::Request request(std::size_t pages) {
    ids::Request request;
    for (std::size_t i = 0; i < pages; ++i)
      request.items.push_back({SEVMON_ITEM_READ_PHYSICAL, 0, SEVMON_PAGE_BYTES, 0,
                               next_++ % frames_ * SEVMON_PAGE_BYTES});
    return request;
  }

  static void check(const std::vector<ids::Response>& responses) {
    for (const auto& response : responses)
      for (const auto& item : response.items)
        if (item.status != SEVMON_STATUS_OK) throw std::runtime_error{"a page could not be read"};
  }

  const std::uint64_t frames_;
  std::uint64_t next_ = 0;
  std::unique_ptr<ids::Channel> single_, bulk_;
};

/// As rows whose names end in `name`; TCP's first, so that the others can be compared with them.
void add_rows(bench::Rounds& rounds, Way& way, const std::string& name, const std::string& title) {
  const auto baseline = [&](const std::string& row) {
    return name == "tcp" ? std::vector<std::string>{} : std::vector{row + "_tcp"};
  };
  const auto add_latency = [&](const std::string& row, const std::string& what, double q,
                               std::size_t count, std::chrono::milliseconds pause) {
    rounds.add({.id = row + "_" + name,
                .title = title + ": " + what,
                .unit = "page",
                .baselines = baseline(row),
                .run = [&way, q, count, pause] {
                  return static_cast<std::uint64_t>(bench::quantile(way.singles(count, pause), q));
                }});
  };
  add_latency("p50", "one page, half within", 0.5, kSingles, 0ms);
  add_latency("p99", "one page, 99 % within", 0.99, kSingles, 0ms);
  add_latency("first", "one page after silence", 0.5, kAfterSilence, kSilence);
  rounds.add({.id = "bulk_" + name,
              .title = title + ": 15 pages a request, 16 in flight",
              .unit = "page",
              .baselines = baseline("bulk"),
              .units = static_cast<double>(kBulkRequests * 15),
              .run = [&way] { return way.bulk(); }});
}

int run(const std::vector<std::string>& words) {
  const auto& key = words.at(2);
  const auto frames = std::stoull(words.at(3));
  Way tcp{[&] { return take(ids::connect_tcp("127.0.0.1", words.at(0), 60s)); }, key, frames};
  Way shm{[&] { return take(ids::connect_shm(take(ids::open_shm(words.at(1))), 60s)); }, key,
          frames};
  bench::Rounds rounds;
  add_rows(rounds, tcp, "tcp", "TCP");
  add_rows(rounds, shm, "shm", "shared memory");
  rounds.run(static_cast<unsigned>(std::stoul(words.at(4))));
  std::puts(nlohmann::ordered_json{{"rows", rounds.report()}}.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() != 5) {
    std::fputs("usage: bench-lanes PORT LANES KEY FRAMES ROUNDS\n", stderr);
    return 2;
  }
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-lanes: %s\n", error.what());
    return 1;
  }
}
