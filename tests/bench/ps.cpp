// SPDX-License-Identifier: Apache-2.0
//
// How long process lists take, by program, by our vectored pages and page by page.
//
//   bench-ps image PROFILE COUNT FILE
//       Write a raw image with that many processes: for a dom0-proxy to serve.
//   bench-ps list PROFILE COUNT PORT KEY DELAY_US ROUNDS SLOW_ROUNDS
//       List them through that proxy, with DELAY_US added to each round trip, page by page only in
//       SLOW_ROUNDS of the rounds; print JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <sevmon/channel.hpp>
#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/transport.hpp>

#include "bench/delay_relay.hpp"
#include "bench/process_image.hpp"

namespace {

using namespace sevmon;
using common::Gva;
using Clock = std::chrono::steady_clock;

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}

constexpr ids::Root kRoot{
    .kind = ids::Root::Kind::kFrame, .vcpu = 0, .frame = {bench::kImageRoot}, .levels = 4};

/// As whoever follows pointers over a wire does it: one page to a round trip, when it is needed;
/// kept until the list is made.
class PageByPage final : public ids::Memory {
 public:
  explicit PageByPage(ids::Channel& channel) : channel_{channel} {}

  common::Result<void> fetch(std::span<const ids::Range> /*ranges*/) override { return {}; }
  common::Result<std::vector<std::byte>> read(ids::Range range) override {
    std::vector<std::byte> bytes;
    for (std::uint32_t i = 0; i < range.bytes; ++i) {
      const auto at = range.address.value + i;
      const auto& page = load(at >> 12);
      if (page.empty()) return common::Error{common::ErrorCode::kNotMapped, "not mapped"};
      bytes.push_back(page[at & 4095]);
    }
    return bytes;
  }
  common::Result<std::uint64_t> read_uint(Gva address, std::uint32_t bytes) override {
    const auto raw = read({address, bytes});
    if (!raw) return raw.error();
    std::uint64_t value = 0;
    std::memcpy(&value, raw->data(), bytes);
    return value;
  }
  common::Result<std::string> read_string(Gva /*address*/, std::uint32_t /*max*/) override {
    return common::Error{common::ErrorCode::kUnsupported, "nobody asks"};
  }

 private:
  const std::vector<std::byte>& load(std::uint64_t page) {
    const auto found = pages_.find(page);
    if (found != pages_.end()) return found->second;
    ids::Request request;
    request.root = kRoot;
    request.items.push_back({SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0, page << 12});
    const auto answers = take(channel_.exchange(std::span{&request, 1}));
    auto& bytes = pages_[page];
    const auto& item = answers[0].items.at(0);
    if (item.status == SEVMON_STATUS_OK) bytes.assign(item.bytes.begin(), item.bytes.end());
    return bytes;
  }

  ids::Channel& channel_;
  std::map<std::uint64_t, std::vector<std::byte>> pages_;
};

/// Pid and name of each task of the ring, and nothing else: what the paper's list has. How many.
std::size_t walk_ring(const ids::Profile& profile, ids::Memory& memory) {
  const auto offset = [&](const char* name) {
    return take(profile.member("task_struct", name)).offset_bytes;
  };
  const auto tasks = offset("tasks"), pid = offset("pid"), comm = offset("comm");
  const Gva head = take(profile.symbol("init_task"));
  std::size_t count = 0;
  for (Gva at = head;; ++count) {
    at = Gva{take(memory.read_uint(at + tasks, 8))} - tasks;
    if (at == head) return count;
    if (take(memory.read_uint(at + pid, 4)) == 0 || take(memory.read({at + comm, 16})).empty())
      throw std::runtime_error{"no process"};
  }
}

/// One channel through a relay of its own.
struct Way {
  Way(std::uint16_t port, const std::string& key, std::chrono::microseconds delay,
      std::uint8_t size_class)
      : relay{port, delay} {
    const ids::ChannelOptions options{.size_class = size_class,
                                      .answer_timeout = std::chrono::seconds{60}};
    channel = take(ids::Channel::open(
        take(ids::connect_tcp("127.0.0.1", std::to_string(relay.port()), std::chrono::seconds{60})),
        take(ids::Key::load(key)), options));
  }
  bench::DelayRelay relay;
  std::unique_ptr<ids::Channel> channel;
};

struct Row {
  std::string id;
  ids::Channel* channel;
  std::function<void()> prepare;
  std::function<std::size_t()> run;  // how many processes it found
  std::vector<double> ms{};
  std::uint64_t round_trips = 0;
};

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::size_t size_of(common::Result<ids::ProcessList> list) {
  const auto made = take(std::move(list));
  if (made.consistency != ids::Consistency::kConsistent) throw std::runtime_error{"not consistent"};
  return made.processes.size();
}

int list(const std::vector<std::string>& words) {
  const auto profile = take(ids::Profile::load(words.at(0)));
  const auto count = std::stoul(words.at(1));
  const auto port = static_cast<std::uint16_t>(std::stoul(words.at(2)));
  const std::chrono::microseconds delay{std::stoul(words.at(4))};
  const auto rounds = std::stoul(words.at(5)), slow_rounds = std::stoul(words.at(6));
  Way large{port, words.at(3), delay, SEVMON_CLASS_15_PAGES};
  Way small{port, words.at(3), delay, SEVMON_CLASS_1_PAGE};
  ids::Channel& channel = *large.channel;

  // As after Kernel::attach(): what a list reads first came with what verified the kernel.
  std::unique_ptr<ids::Memory> first;
  const auto prepare = [&](std::unique_ptr<ids::Memory> memory) {
    const auto ranges = ids::first_process_ranges(profile);
    if (auto fetched = memory->fetch(ranges); !fetched)
      throw std::runtime_error{fetched.error().message()};
    // The clock is not in such an image; that is known then, too.
    for (const auto& range : ranges) std::ignore = memory->read(range);
    first = std::move(memory);
  };
  const auto make_large = [&] { return ids::open_epoch(channel, {}, kRoot); };
  const auto make_small = [&] { return std::make_unique<PageByPage>(*small.channel); };
  ids::Kernel kernel{profile, kRoot, 0, [&] { return std::move(first); }};
  const auto start = Clock::now();
  auto program = take(ids::ProcessProgram::link(ids::program_target(profile)));
  const auto link_ms = ms_since(start);
  const auto image = std::as_bytes(std::span{program.image().bytes});
  ids::Programs programs{channel};
  std::ignore = programs.unload(program.image().name);
  const auto loading = Clock::now();
  if (auto loaded = programs.load(image); !loaded)
    throw std::runtime_error{loaded.error().message()};
  const auto load_ms = ms_since(loading);

  ids::ProcessOptions by_program;
  by_program.run_program = [&](std::span<const std::byte> input) {
    ids::ProgramRunOptions run;
    run.domain = {};
    run.root = kRoot;
    return program.run(channel, input, run);
  };
  std::vector<Row> rows{{"program", &channel, [&] { prepare(make_large()); },
                         [&] { return size_of(ids::list_processes(kernel, by_program)); }},
                        {"pages", &channel, [&] { prepare(make_large()); },
                         [&] { return size_of(ids::list_processes(kernel, {})); }},
                        {"ring", small.channel.get(), [&] { prepare(make_small()); },
                         [&] { return walk_ring(profile, *first); }},
                        {"page_by_page", small.channel.get(), [&] { prepare(make_small()); },
                         [&] { return size_of(ids::list_processes(kernel, {})); }},
                        {"round_trip", &channel, [] {},
                         [&] {
                           take(ids::read_facts(channel, {}));
                           return count;
                         }}};
  for (std::size_t round = 0; round < rounds; ++round)
    for (auto& row : rows) {
      if (row.channel == small.channel.get() && round >= slow_rounds) continue;
      row.prepare();
      const auto before = row.channel->stats().round_trips;
      const auto begun = Clock::now();
      if (row.run() != count) throw std::runtime_error{row.id + ": not all processes"};
      row.ms.push_back(ms_since(begun));
      row.round_trips = row.channel->stats().round_trips - before;
    }
  nlohmann::ordered_json out{{"link_ms", link_ms}, {"load_ms", load_ms}};
  for (const auto& row : rows) out[row.id] = {{"ms", row.ms}, {"round_trips", row.round_trips}};
  std::puts(out.dump().c_str());
  large.channel.reset();
  small.channel.reset();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "image" && words.size() == 3) {
      bench::ProcessImage{take(ids::Profile::load(words[0])), std::stoi(words[1])}.save(words[2]);
      return 0;
    }
    if (command == "list" && words.size() == 7) return list(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-ps: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: bench-ps image|list ...\n", stderr);
  return 2;
}
