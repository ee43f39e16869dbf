// SPDX-License-Identifier: Apache-2.0
//
// scripts/bench --tcp: pages of a memory image through dom0-proxy, beside an echo of as many bytes
// and beside each stage alone.
//
//   bench-relay echo                     print a port, echo on it
//   bench-relay measure PORT PROXY_PID ECHO_PORT ECHO_PID IMAGE AGENT_KEY KEY ROUNDS PART [ROW]
//       PART: 1 in PART of the usual number of requests; ROW: no other, for a profiler
#include <sys/types.h>
#include <time.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/transport.hpp>

#include "bench/batch_echo.hpp"
#include "bench/rounds.hpp"
#include "channel/handshake.hpp"
#include "image/image_agent.hpp"

namespace {

using namespace sevmon;
using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr std::uint32_t kMessageBytes = sizeof(sevmon_envelope) + SEVMON_REQUEST_FRAME_BYTES;
constexpr std::array kDepths{1, 2, 4, 8, 16, 32, 64};
constexpr std::array kPages{1, 2, 4, 8, 15};
constexpr unsigned kBulkDepth = 16;

std::uint8_t class_of(unsigned pages) {
  return pages == 1   ? SEVMON_CLASS_1_PAGE
         : pages <= 4 ? SEVMON_CLASS_4_PAGES
                      : SEVMON_CLASS_15_PAGES;
}

std::uint32_t answer_bytes(unsigned pages) {
  return static_cast<std::uint32_t>(sizeof(sevmon_envelope) +
                                    SEVMON_RESPONSE_FRAME_BYTES(class_of(pages)));
}

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}
void check(const common::Result<void>& result) {
  if (!result) throw std::runtime_error{result.error().message()};
}

std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}
std::uint64_t wall_ns() {
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
  double within(double part) const { return bench::quantile(took_, part); }

 private:
  std::vector<std::uint64_t> sent_;
  std::vector<double> took_;  // microseconds
};

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

/// What was measured of one row, a value for each round.
struct Row {
  std::string id;
  unsigned pages, depth;
  std::string baseline;  // a row's id, or none
  std::function<void(Row&)> run;
  std::vector<double> wall_us{}, half_us{}, most_us{}, client_us{}, server_us{};  // per request
};

/// Run `work`, `count` requests, and note what each cost.
void time(Row& row, std::size_t count, const CpuOf* server,
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

/// The agent over the image, in this process, and a session with it.
class Alone {
 public:
  Alone(const std::string& image, const std::string& agent_key, const std::string& key,
        std::uint64_t frames)
      : frames_{frames}, answer_(SEVMON_MAX_FRAME_BYTES) {
    std::vector<std::byte> file(SEVMON_KEY_FILE_MAX_BYTES);
    std::FILE* const in = std::fopen(agent_key.c_str(), "rb");
    if (in == nullptr) throw std::runtime_error{"cannot read " + agent_key};
    file.resize(std::fread(file.data(), 1, file.size(), in));
    std::fclose(in);
    agent_ = take(proxy::ImageAgent::open(image, file, proxy::ImageFormat::kRaw));
    const auto ids = take(ids::Key::load(key));
    ids::Handshake handshake{ids, {1}, SEVMON_CLASS_15_PAGES, 5s, ids::Clock::now()};
    while (!handshake.result())
      if (const auto frame = handshake.poll(ids::Clock::now(), 1)) {
        ask(*frame);
        handshake.take({1, 0, {answer_.begin(), answer_.begin() + bytes_}}, ids::Clock::now());
      }
    session_ = take(*std::move(handshake.result())).session;
    // No page is touched for the first time later.
    for (const auto& request : make_requests(frames_ / 15 + 1)) ask(request.frame);
  }

  /// What the agent takes to open, read and seal, requests prepared beforehand.
  void seal(Row& row, std::size_t count) {
    const auto requests = make_requests(count);
    time(row, count, nullptr, [&](Stopwatch& watch) {
      for (std::size_t i = 0; i < count; ++i) {
        watch.sent(i);
        ask(requests[i].frame);
        watch.took(i);
      }
    });
  }
  /// What the IDS takes to make a response of an answer's frame that is there already.
  void open(Row& row, std::size_t count) {
    std::vector<std::vector<std::byte>> answers;
    const auto requests = make_requests(count);
    for (const auto& request : requests) {
      ask(request.frame);
      answers.emplace_back(answer_.begin(), answer_.begin() + bytes_);
    }
    time(row, count, nullptr, [&](Stopwatch& watch) {
      for (std::size_t i = 0; i < count; ++i) {
        watch.sent(i);
        if (!session_->open_in_place(take(common::decode_header(answers[i])), answers[i]))
          throw std::runtime_error{"an answer does not verify"};
        take(common::decode_response(ids::Session::body_in(answers[i]), requests[i].n,
                                     SEVMON_CLASS_15_PAGES, request_));
        watch.took(i);
      }
    });
  }

 private:
  void ask(std::span<const std::byte> frame) {
    const int answered = agent_->frame(frame, answer_);
    if (answered < 0) throw std::runtime_error{"the agent refuses"};
    bytes_ = answered;
  }
  std::vector<ids::Session::Sealed> make_requests(std::size_t count) {
    std::vector<ids::Session::Sealed> requests;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<sevmon_item> items;
      for (unsigned page = 0; page < 15; ++page)
        items.push_back({SEVMON_ITEM_READ_PHYSICAL, 0, SEVMON_PAGE_BYTES, 0,
                         next_++ % frames_ * SEVMON_PAGE_BYTES});
      sevmon_request_head head{};
      head.domid = SEVMON_DOMID_DOM0;
      request_ = take(common::make_request(head, items, SEVMON_CLASS_15_PAGES));
      requests.push_back(session_->seal(request_));
    }
    return requests;
  }

  const std::uint64_t frames_;
  std::uint64_t next_ = 0;
  std::unique_ptr<proxy::ImageAgent> agent_;
  std::unique_ptr<ids::Session> session_;
  sevmon_request_body request_{};  // all have the same layout
  std::vector<std::byte> answer_;
  int bytes_ = 0;
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
        alone_{words.at(4), words.at(5), key_, frames_} {
    for (const unsigned depth : kDepths) add_pair(1, depth, 4000);
    for (const unsigned pages : kPages)
      if (pages > 1) add_pair(pages, kBulkDepth, 1200);
    rows_.push_back({"alone_seal", 15, 1, "", [this](Row& row) { alone_.seal(row, some(500)); }});
    rows_.push_back({"alone_open", 15, 1, "", [this](Row& row) { alone_.open(row, some(500)); }});
  }

  void keep(const std::string& id) {
    std::erase_if(rows_, [&](const Row& row) { return row.id != id; });
    for (auto& row : rows_) row.baseline.clear();
  }

  void run(unsigned rounds) {
    Row all{"", 15, kBulkDepth, "", nullptr};  // the same for the proxy
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
      if (!row.baseline.empty()) one["rate_to_echo"] = bench::summary(rates(row, row.baseline));
      if (row.id == "relay_15_16" && rows_.size() > 1)
        for (const auto* stage : {"alone_seal", "alone_open", "echo_15_16"})
          one[std::string{"rate_to_"} + stage] = bench::summary(rates(row, stage));
      all.push_back(std::move(one));
    }
    return all;
  }

 private:
  std::size_t some(std::size_t count) const { return std::max<std::size_t>(count / part_, 4); }

  void add_pair(unsigned pages, unsigned depth, std::size_t count) {
    const auto name = "_" + std::to_string(pages) + "_" + std::to_string(depth);
    rows_.push_back(
        {"echo" + name, pages, depth, "", [this, count](Row& row) { echo(row, some(count)); }});
    rows_.push_back({"relay" + name, pages, depth, "echo" + name,
                     [this, count](Row& row) { relay(row, some(count)); }});
  }

  void echo(Row& row, std::size_t count) {
    bench::BatchEchoClient client{echo_port_};
    time(row, count, &echo_process_, [&](Stopwatch& watch) {
      client.exchange(
          count, row.depth, kMessageBytes, answer_bytes(row.pages),
          [&](std::size_t i) { watch.sent(i); }, [&](std::size_t i) { watch.took(i); });
    });
  }

  void relay(Row& row, std::size_t count) {
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

  std::vector<double> rates(const Row& row, const std::string& other) const {
    const auto theirs = std::ranges::find(rows_, other, &Row::id);
    std::vector<double> rates;
    for (std::size_t i = 0; i < row.wall_us.size(); ++i)
      rates.push_back(theirs->wall_us[i] / row.wall_us[i]);
    return rates;
  }

  const std::string port_;
  const CpuOf proxy_process_;
  const std::uint16_t echo_port_;
  const CpuOf echo_process_;
  const std::string key_;
  const std::size_t part_;
  const std::uint64_t frames_;
  std::uint64_t next_ = 0;
  Alone alone_;
  std::vector<Row> rows_;
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
