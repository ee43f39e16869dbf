// SPDX-License-Identifier: Apache-2.0
//
// scripts/leak's IDS: asks what it is told to, in that order, and says what it asked.
//
//   leak-client plain PORT KEY ROOT_FRAME < SCHEDULE
//       One request after the other. A line is PAGES ADDRESS (hexadecimal): so many pages from
//       there on. Prints for each how many of them were there.
//   leak-client watch PORT KEY PROFILE INTERVAL_MS SLOTS < SCHEDULE
//       The same as `sevmon watch`, with an analysis in its slots: a line is none, os-version, ps,
//       translation, or PAGES ADDRESS, over and over again for at least SLOTS slots. Prints for
//       each request "LINE KIND": the schedule's line, from 0, or -1, and h for a heartbeat, a for
//       what an analysis asked.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/os_version.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/translation.hpp>
#include <sevmon/transport.hpp>
#include <sevmon/watch.hpp>

namespace {

using namespace sevmon;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{60};

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}

common::Result<std::unique_ptr<ids::Channel>> open(const std::string& port, const std::string& key,
                                                   const ids::ChannelOptions& options) {
  auto transport = ids::connect_tcp("127.0.0.1", port, kPatience);
  if (!transport) return transport.error();
  return ids::Channel::open(std::move(*transport), take(ids::Key::load(key)), options);
}

/// A line PAGES ADDRESS.
ids::Request parse_read(const std::string& line, const ids::Root& root) {
  std::istringstream words{line};
  std::size_t pages = 0;
  std::uint64_t address = 0;
  if (!(words >> pages >> std::hex >> address)) throw std::runtime_error{"a line: " + line};
  ids::Request request{{}, root, {}};
  for (std::size_t i = 0; i < pages; ++i)
    request.items.push_back(
        {SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0, address + i * SEVMON_PAGE_BYTES});
  return request;
}

std::vector<std::string> read_schedule() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  return lines;
}

void plain(const std::vector<std::string>& words) {
  const ids::Root root{ids::Root::Kind::kFrame, 0, {std::stoull(words.at(2), nullptr, 16)}, 4};
  const auto channel = take(open(words.at(0), words.at(1), {.answer_timeout = kPatience}));
  for (const auto& line : read_schedule()) {
    const auto request = parse_read(line, root);
    const auto responses = take(channel->exchange(std::span{&request, 1}));
    std::printf("%td\n", std::ranges::count(responses.at(0).items, SEVMON_STATUS_OK,
                                            &ids::ItemResult::status));
  }
}

// ---- Within a watch ----

/// What both ends of the watch say of its requests.
class Record {
 public:
  bool is_asked(const ids::Request& request) {
    const std::lock_guard lock{mutex_};
    return std::ranges::any_of(asked_, [&](const auto& asked) {
      return asked.items.size() == request.items.size() &&
             std::memcmp(asked.items.data(), request.items.data(),
                         asked.items.size() * sizeof(sevmon_item)) == 0;
    });
  }
  void set_asked(std::span<const ids::Request> requests) {
    const std::lock_guard lock{mutex_};
    asked_.assign(requests.begin(), requests.end());
  }
  void add(bool is_asked) {
    std::printf("%d %c\n", line.load(), is_asked ? 'a' : 'h');
    ++slots;
    slots.notify_all();
  }

  std::atomic<int> line = -1;
  std::atomic<std::uint64_t> slots = 0;

 private:
  std::mutex mutex_;
  std::vector<ids::Request> asked_;
};

/// One end or the other; else as the channel beneath.
class RecordedChannel : public ids::Channel {
 public:
  RecordedChannel(ids::Channel& channel, Record& record) : channel_{channel}, record_{record} {}
  std::uint8_t size_class() const override { return channel_.size_class(); }
  ids::ChannelStats stats() const override { return channel_.stats(); }
  common::IdBytes boot_nonce() const override { return channel_.boot_nonce(); }
  std::string describe() const override { return channel_.describe(); }

 protected:
  ids::Channel& channel_;
  Record& record_;
};

class AnalysisEnd : public RecordedChannel {
 public:
  using RecordedChannel::RecordedChannel;
  common::Result<std::vector<ids::Response>> exchange(
      std::span<const ids::Request> requests) override {
    record_.set_asked(requests);
    auto responses = channel_.exchange(requests);
    record_.set_asked({});
    return responses;
  }
};

class WireEnd : public RecordedChannel {
 public:
  WireEnd(std::unique_ptr<ids::Channel> channel, Record& record)
      : RecordedChannel{*channel, record}, owned_{std::move(channel)} {}
  common::Result<std::vector<ids::Response>> exchange(
      std::span<const ids::Request> requests) override {
    const bool is_asked = record_.is_asked(requests.front());
    auto responses = channel_.exchange(requests);
    record_.add(is_asked);
    return responses;
  }

 private:
  std::unique_ptr<ids::Channel> owned_;
};

class Clock : public ids::WatchClock {
 public:
  TimePoint now() override { return std::chrono::steady_clock::now(); }
  bool wait_until(TimePoint time) override {
    std::this_thread::sleep_until(time);
    return !is_over;
  }
  std::atomic<bool> is_over = false;
};

void analyse(const std::string& line, ids::Channel& channel, ids::Kernel& kernel) {
  if (line == "os-version") {
    take(ids::read_os_version(kernel));
  } else if (line == "ps") {
    take(ids::list_processes(kernel));
  } else if (line == "translation") {
    take(ids::check_translation(channel, {}, kernel));
  } else {
    const auto request = parse_read(line, kernel.root());
    take(channel.exchange(std::span{&request, 1}));
  }
}

/// Attaches when there is something to analyse: a watch alone never asks for a kernel.
void follow(const std::vector<std::string>& schedule, std::uint64_t slots, ids::Channel& channel,
            const ids::KernelInfo* info, Record& record) {
  std::optional<ids::Kernel> kernel;
  if (std::ranges::any_of(schedule, [](const auto& line) { return line != "none"; }))
    kernel = take(ids::Kernel::attach(channel, std::span{&info, 1}));
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    const auto end = record.slots + slots;
    record.line = static_cast<int>(i);
    while (record.slots < end)
      if (schedule[i] == "none")
        record.slots.wait(record.slots);
      else
        analyse(schedule[i], channel, *kernel);
  }
  record.line = -1;
}

void watch(const std::vector<std::string>& words) {
  const auto profile = take(ids::Profile::load(words.at(2)));
  ids::WatchOptions options;
  options.interval = milliseconds{std::stoul(words.at(3))};
  options.deadline = kPatience;
  options.silence = 3 * kPatience;
  Record record;
  Clock clock;
  const auto connect = [&](const auto& id) -> common::Result<std::unique_ptr<ids::Channel>> {
    auto channel = open(words.at(0), words.at(1),
                        {.size_class = options.size_class,
                         .answer_timeout = options.deadline,
                         .connection_id = id,
                         .says_goodbye = false});
    if (!channel) return channel.error();
    return std::unique_ptr<ids::Channel>{new WireEnd{std::move(*channel), record}};
  };
  ids::Watch watch{options, connect, clock, [](const auto&) {}};
  AnalysisEnd analyses{watch.channel(), record};
  std::exception_ptr failure;
  std::thread follower{[&] {
    try {
      follow(read_schedule(), std::stoul(words.at(4)), analyses, &profile, record);
    } catch (...) {
      failure = std::current_exception();
    }
    clock.is_over = true;
  }};
  const auto totals = watch.run();
  follower.join();
  if (failure) std::rethrow_exception(failure);
  if (totals.connections != 1 || totals.unanswered != 0)
    throw std::runtime_error{"the watch lost answers or its connection"};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  try {
    if (mode == "plain" && words.size() == 3) return plain(words), 0;
    if (mode == "watch" && words.size() == 5) return watch(words), 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "leak-client: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: leak-client plain|watch ...\n", stderr);
  return 2;
}
