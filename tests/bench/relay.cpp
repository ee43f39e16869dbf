// SPDX-License-Identifier: Apache-2.0
//
// scripts/bench --tcp: pages of a memory image through dom0-proxy, beside an echo of as many bytes
// and beside each stage alone.
//
//   bench-relay echo                     print a port, echo on it
//   bench-relay measure PORT PROXY_PID ECHO_PORT ECHO_PID IMAGE AGENT_KEY KEY ROUNDS PART [ROW]
//       PART: 1 in PART of the usual number of requests; ROW: no other, for a profiler
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/heap.hpp>
#include <sevmon/transport.hpp>

#include "bench/batch_echo.hpp"
#include "bench/relay_row.hpp"
#include "bench/relay_stages.hpp"

namespace {

using namespace sevmon;
using namespace std::chrono_literals;
using bench::check;
using bench::class_of;
using bench::CpuOf;
using bench::RelayRow;
using bench::Stopwatch;
using bench::take;
using bench::time;
using Json = nlohmann::ordered_json;

constexpr std::uint32_t kMessageBytes = sizeof(sevmon_envelope) + SEVMON_REQUEST_FRAME_BYTES;
constexpr std::array kDepths{1, 2, 4, 8, 16, 32, 64};
constexpr std::array kPages{1, 2, 4, 8, 15};
constexpr unsigned kBulkDepth = 16;

std::uint32_t answer_bytes(unsigned pages) {
  return static_cast<std::uint32_t>(sizeof(sevmon_envelope) +
                                    SEVMON_RESPONSE_FRAME_BYTES(class_of(pages)));
}

/// Rows that a row's rate is compared with: one, or what several would take one after the other.
struct Sum {
  std::string name;
  std::vector<std::string> rows;
};
const std::map<std::string, std::vector<Sum>> kSums{
    {"relay_1_1", {{"all_its_parts", {"echo_1_1", "agent_1", "request_1", "open_1"}}}},
    {"relay_15_16",
     {{"agent_15", {"agent_15"}},
      {"open_15", {"open_15"}},
      {"echo_15_16", {"echo_15_16"}},
      {"proxy_15", {"proxy_15"}}}}};

/// Requests of so many pages each, without end.
class PageStream : public ids::RequestStream {
 public:
  PageStream(std::size_t count, unsigned pages, std::uint64_t frames, std::uint64_t& next,
             Stopwatch& watch)
      : count_{count}, pages_{pages}, frames_{frames}, next_{next}, watch_{watch} {}

  Next next(ids::Request& request, bool) override {
    if (made_ == count_) return Next::kEnd;
    request = {};
    for (unsigned i = 0; i < pages_; ++i)
      request.items.push_back({SEVMON_ITEM_READ_PHYSICAL, 0, SEVMON_PAGE_BYTES, 0,
                               next_++ % frames_ * SEVMON_PAGE_BYTES});
    watch_.sent(made_++);
    return Next::kRequest;
  }
  common::Result<void> take(std::size_t index, ids::Response response) override {
    watch_.took(index);
    for (const auto& item : response.items)
      if (item.status != SEVMON_STATUS_OK)
        return common::Error{common::ErrorCode::kInternal, "a page could not be read"};
    return {};
  }

 private:
  const std::size_t count_;
  const unsigned pages_;
  const std::uint64_t frames_;
  std::uint64_t& next_;
  Stopwatch& watch_;
  std::size_t made_ = 0;
};

class Bench {
 public:
  explicit Bench(const std::vector<std::string>& words)
      : port_{words.at(0)},
        proxy_process_{std::stoi(words.at(1))},
        echo_port_{static_cast<std::uint16_t>(std::stoul(words.at(2)))},
        echo_process_{std::stoi(words.at(3))},
        key_{words.at(6)},
        part_{std::stoul(words.at(8))},
        frames_{std::filesystem::file_size(words.at(4)) / SEVMON_PAGE_BYTES},
        one_{words.at(4), words.at(5), key_, 1, frames_},
        bulk_{words.at(4), words.at(5), key_, 15, frames_} {
    for (const unsigned depth : kDepths) add_pair(1, depth, 4000);
    for (const unsigned pages : kPages)
      if (pages > 1) add_pair(pages, kBulkDepth, 1200);
    add_alone("agent_1", 1, 4000, [this](auto& row, auto count) { one_.answer(row, count); });
    add_alone("request_1", 1, 4000, [this](auto& row, auto count) { one_.request(row, count); });
    add_alone("open_1", 1, 4000, [this](auto& row, auto count) { one_.open(row, count); });
    add_alone("agent_15", 15, 500, [this](auto& row, auto count) { bulk_.answer(row, count); });
    add_alone("open_15", 15, 500, [this](auto& row, auto count) { bulk_.open(row, count); });
    add_alone("proxy_15", 15, 1200, [this](auto& row, auto count) {
      bench::ProxyAlone{port_, key_, 15, kBulkDepth, frames_, next_}.answer(row, proxy_process_,
                                                                            count);
    });
  }

  void keep(const std::string& id) {
    std::erase_if(rows_, [&](const RelayRow& row) { return row.id != id; });
    for (auto& row : rows_) row.baseline.clear();
  }

  void run(unsigned rounds) {
    RelayRow all{"", 15, kBulkDepth, "", nullptr};  // the same for the proxy
    relay(all, frames_ / 15 + 1);
    std::mt19937 generator{1};
    std::vector<std::size_t> order(rows_.size());
    std::iota(order.begin(), order.end(), 0);
    for (unsigned round = 0; round <= rounds; ++round) {
      std::ranges::shuffle(order, generator);
      for (const auto i : order) rows_[i].run(rows_[i]);
      if (round > 0) continue;  // the first warms up
      for (auto& row : rows_)
        for (auto* values :
             {&row.wall_us, &row.half_us, &row.most_us, &row.client_us, &row.server_us})
          values->clear();
    }
  }

  Json report() const {
    auto all = Json::array();
    for (const auto& row : rows_) {
      Json one{{"id", row.id},
               {"pages", row.pages},
               {"in_flight", row.depth},
               {"wall_us", bench::summary(row.wall_us)},
               {"half_within_us", bench::summary(row.half_us)},
               {"99_percent_within_us", bench::summary(row.most_us)},
               {"client_cpu_us", bench::summary(row.client_us)},
               {"server_cpu_us", bench::summary(row.server_us)}};
      if (!row.baseline.empty()) one["rate_to_echo"] = bench::summary(rates(row, {row.baseline}));
      if (const auto sums = kSums.find(row.id); sums != kSums.end() && rows_.size() > 1)
        for (const auto& sum : sums->second)
          one["rate_to_" + sum.name] = bench::summary(rates(row, sum.rows));
      all.push_back(std::move(one));
    }
    return all;
  }

 private:
  std::size_t some(std::size_t count) const { return std::max<std::size_t>(count / part_, 4); }

  void add_pair(unsigned pages, unsigned depth, std::size_t count) {
    const auto name = "_" + std::to_string(pages) + "_" + std::to_string(depth);
    rows_.push_back({"echo" + name, pages, depth, "",
                     [this, count](RelayRow& row) { echo(row, some(count)); }});
    rows_.push_back({"relay" + name, pages, depth, "echo" + name,
                     [this, count](RelayRow& row) { relay(row, some(count)); }});
  }

  void add_alone(const std::string& id, unsigned pages, std::size_t count,
                 const std::function<void(RelayRow&, std::size_t)>& run) {
    rows_.push_back(
        {id, pages, 1, "", [this, count, run](RelayRow& row) { run(row, some(count)); }});
  }

  void echo(RelayRow& row, std::size_t count) {
    bench::BatchEchoClient client{echo_port_};
    time(row, count, &echo_process_, [&](Stopwatch& watch) {
      client.exchange(
          count, row.depth, kMessageBytes, answer_bytes(row.pages),
          [&](std::size_t i) { watch.sent(i); }, [&](std::size_t i) { watch.took(i); });
    });
  }

  void relay(RelayRow& row, std::size_t count) {
    ids::ChannelOptions options;
    options.size_class = class_of(row.pages);
    options.pipeline_depth = row.depth;
    options.answer_timeout = 60s;
    options.connection_id.emplace().fill(static_cast<std::uint8_t>(row.pages));
    const auto channel = take(ids::Channel::open(take(ids::connect_tcp("127.0.0.1", port_, 60s)),
                                                 take(ids::Key::load(key_)), options));
    time(row, count, &proxy_process_, [&](Stopwatch& watch) {
      PageStream stream{count, row.pages, frames_, next_, watch};
      check(channel->stream(stream));
    });
  }

  /// The row's rate, of what it would be if a request took as long as all of these together.
  std::vector<double> rates(const RelayRow& row, const std::vector<std::string>& others) const {
    std::vector<double> together(row.wall_us.size());
    for (const auto& other : others)
      std::ranges::transform(together, std::ranges::find(rows_, other, &RelayRow::id)->wall_us,
                             together.begin(), std::plus{});
    std::ranges::transform(together, row.wall_us, together.begin(), std::divides{});
    return together;
  }

  const std::string port_;
  const CpuOf proxy_process_;
  const std::uint16_t echo_port_;
  const CpuOf echo_process_;
  const std::string key_;
  const std::size_t part_;
  const std::uint64_t frames_;
  std::uint64_t next_ = 0;
  bench::AgentAlone one_, bulk_;
  std::vector<RelayRow> rows_;
};

int run(const std::vector<std::string>& words) {
  if (words.at(0) == "echo") {
    bench::EchoServer server;
    std::printf("%u\n", server.port());
    std::fflush(stdout);
    server.run();
  }
  Bench bench{{words.begin() + 1, words.end()}};
  if (words.size() == 11) bench.keep(words[10]);
  bench.run(static_cast<unsigned>(std::stoul(words.at(8))));
  std::puts(bench.report().dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  common::keep_freed_memory(common::kIdsHeapBytes);  // as sevmon does
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string command = words.empty() ? "" : words[0];
  if (!(command == "echo" && words.size() == 1) &&
      !(command == "measure" && (words.size() == 10 || words.size() == 11))) {
    std::fputs(
        "usage: bench-relay echo\n"
        "       bench-relay measure PORT PROXY_PID ECHO_PORT ECHO_PID IMAGE AGENT_KEY KEY "
        "ROUNDS PART [ROW]\n",
        stderr);
    return 2;
  }
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-relay: %s\n", error.what());
    return 1;
  }
}
