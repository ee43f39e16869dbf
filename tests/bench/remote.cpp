// SPDX-License-Identifier: Apache-2.0
//
// scripts/bench's part outside Dom0.
//
//   bench-remote session PORT KEY
//       Shake hands and confirm; print the session's number. It lives for 180 s.
//   bench-remote pages PORT ECHO_PORT KEY PROFILE FRAMES ROUNDS
//       Read the kernel's pages with libsevmon through the relay, in turn with an echo of as many
//       frames and bytes; print rows as bench-native does.
//   bench-remote echo ECHO_PORT FRAMES ROUND_TRIPS
//       Print the nanoseconds that as many frames take in as many waves, after two small ones: what
//       the network alone takes for one run of sevmon.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/heap.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/transport.hpp>

#include "bench/echo_client.hpp"
#include "bench/rounds.hpp"
#include "support/initiator.hpp"

namespace {

using namespace sevmon;
using bench::EchoClient;
using bench::Socket;
using tests::require;

constexpr std::size_t kPagesPerFrame = SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES);
constexpr std::uint32_t kEnvelope = sizeof(sevmon_envelope);
constexpr std::uint32_t kRequestBytes = kEnvelope + SEVMON_REQUEST_FRAME_BYTES;
constexpr std::uint32_t kAnswerBytes = kEnvelope + SEVMON_MAX_FRAME_BYTES;
constexpr std::uint32_t kHandshakeBytes = kEnvelope + SEVMON_HANDSHAKE_FRAME_BYTES;

std::uint16_t port_of(const std::string& text) {
  return static_cast<std::uint16_t>(std::stoul(text));
}

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}

std::uint64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

tests::Bytes relay(Socket& socket, tests::ByteView frame) {
  sevmon_envelope envelope{static_cast<std::uint32_t>(frame.size()), 1, 0, 0};
  socket.write(tests::bytes_of(envelope));
  socket.write(frame);
  tests::Bytes head(sizeof(envelope));
  socket.read(head);
  envelope = tests::load<sevmon_envelope>(head);
  require(envelope.status == 0 && envelope.bytes <= SEVMON_MAX_FRAME_BYTES, "a notice");
  tests::Bytes answer(envelope.bytes);
  socket.read(answer);
  return answer;
}

int session(const std::vector<std::string>& words) {
  const auto key = take(ids::Key::load(words.at(1)));
  tests::Key psk;
  std::ranges::copy(key.psk(), psk.begin());
  Socket socket{port_of(words.at(0))};
  tests::Initiator initiator{key.ids_id(), psk, relay(socket, tests::hello_frame(key.ids_id()))};
  const auto accepted = initiator.finish(relay(socket, initiator.frame()));
  // Unconfirmed it would be gone in 10 s.
  require(accepted.open(relay(socket, accepted.request(0, tests::request_body({})))).has_value(),
          "the answer does not verify");
  std::printf("%u\n", accepted.number());
  return 0;
}

/// Requests for the kernel's own pages, 15 each, over and over again.
std::vector<ids::Request> requests(const std::string& profile_path, std::size_t frames) {
  const auto profile = take(ids::Profile::load(profile_path));
  const auto first = take(profile.symbol("_text")).value;
  // Up to here every page is there for good: no initialisation code.
  const auto pages = (take(profile.symbol("_etext")).value - first) / SEVMON_PAGE_BYTES;
  std::vector<ids::Request> all(frames);
  std::size_t page = 0;
  for (auto& request : all)
    for (std::size_t i = 0; i < kPagesPerFrame; ++i, ++page)
      request.items.push_back({SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0,
                               first + page % pages * SEVMON_PAGE_BYTES});
  return all;
}

void read_all(ids::Channel& channel, const std::vector<ids::Request>& all) {
  for (const auto& response : take(channel.exchange(all)))
    require(std::ranges::all_of(response.items,
                                [](const auto& item) { return item.status == SEVMON_STATUS_OK; }),
            "a page could not be read");
}

int pages(const std::vector<std::string>& words) {
  const auto frames = std::stoul(words.at(4));
  const auto all = requests(words.at(3), frames);
  const ids::ChannelOptions options{.answer_timeout = std::chrono::seconds{60}};
  const auto channel = take(
      ids::Channel::open(take(ids::connect_tcp("127.0.0.1", words.at(0), std::chrono::seconds{60})),
                         take(ids::Key::load(words.at(2))), options));
  EchoClient echo{port_of(words.at(1))};

  bench::Rounds rounds;
  rounds.add({.id = "tcp_pages",
              .title = "pages to the IDS over TCP",
              .unit = "page",
              .baselines = {"tcp_echo"},
              .units = static_cast<double>(frames * kPagesPerFrame),
              .run = [&] {
                const auto start = wall_ns();
                read_all(*channel, all);
                return wall_ns() - start;
              }});
  rounds.add({.id = "tcp_echo",
              .title = "TCP echo of as many frames and bytes",
              .unit = "page",
              .units = static_cast<double>(frames * kPagesPerFrame),
              .run = [&] {
                const auto start = wall_ns();
                echo.exchange(frames, options.pipeline_depth, kRequestBytes, kAnswerBytes);
                return wall_ns() - start;
              }});
  rounds.run(static_cast<unsigned>(std::stoul(words.at(5))));
  std::puts(nlohmann::ordered_json{{"rows", rounds.report()}}.dump().c_str());
  return 0;
}

int echo(const std::vector<std::string>& words) {
  const auto frames = std::stoul(words.at(1)), waves = std::stoul(words.at(2));
  const auto start = wall_ns();
  EchoClient client{port_of(words.at(0))};
  client.exchange(2, 1, kHandshakeBytes, kHandshakeBytes);
  for (std::size_t wave = 0; wave < waves; ++wave) {
    const auto share = frames * (wave + 1) / waves - frames * wave / waves;
    client.exchange(share, share, kRequestBytes, kAnswerBytes);
  }
  std::printf("%llu\n", static_cast<unsigned long long>(wall_ns() - start));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  common::keep_freed_memory(common::kIdsHeapBytes);  // as sevmon does
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "session" && words.size() == 2) return session(words);
    if (command == "pages" && words.size() == 6) return pages(words);
    if (command == "echo" && words.size() == 3) return echo(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-remote: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: bench-remote session|pages|latency|bulk|echo ...\n", stderr);
  return 2;
}
