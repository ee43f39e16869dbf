// SPDX-License-Identifier: Apache-2.0
//
// The stages that a page passes on its way through dom0-proxy, each by itself.
#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <sevmon/codec.hpp>
#include <sevmon/transport.hpp>

#include "bench/relay_row.hpp"
#include "channel/handshake.hpp"
#include "image/image_agent.hpp"

namespace sevmon::bench {

/// A session's requests of so many pages each, all of the image's in their order.
class PageRequests {
 public:
  /// `next`: the frame to go on with.
  PageRequests(std::unique_ptr<ids::Session> session, unsigned pages, std::uint64_t frames,
               std::uint64_t& next)
      : session_{std::move(session)}, pages_{pages}, frames_{frames}, next_{next} {}

  ids::Session::Sealed seal() {
    std::vector<sevmon_item> items;
    for (unsigned page = 0; page < pages_; ++page)
      items.push_back({SEVMON_ITEM_READ_PHYSICAL, 0, SEVMON_PAGE_BYTES, 0,
                       next_++ % frames_ * SEVMON_PAGE_BYTES});
    sevmon_request_head head{};
    head.domid = SEVMON_DOMID_DOM0;
    request_ = take(common::make_request(head, items, class_of(pages_)));
    return session_->seal(request_);
  }
  std::vector<ids::Session::Sealed> seal(std::size_t count) {
    std::vector<ids::Session::Sealed> requests;
    for (std::size_t i = 0; i < count; ++i) requests.push_back(seal());
    return requests;
  }
  /// What a channel does with an answer, up to the items of a response.
  void open(std::uint64_t n, std::span<std::byte> answer) {
    if (!session_->open_in_place(take(common::decode_header(answer)), answer))
      throw std::runtime_error{"an answer does not verify"};
    // All requests have the same layout, and nothing else of one matters here.
    take(common::decode_response(ids::Session::body_in(answer), n, class_of(pages_), request_));
  }

 private:
  std::unique_ptr<ids::Session> session_;
  const unsigned pages_;
  const std::uint64_t frames_;
  std::uint64_t& next_;
  sevmon_request_body request_{};
};

/// `exchange(frame)` gives what came back for a frame.
template <typename Exchange>
std::unique_ptr<ids::Session> handshake(const std::string& key, std::uint8_t connection,
                                        unsigned pages, Exchange&& exchange) {
  const auto ids = take(ids::Key::load(key));
  ids::Handshake handshake{
      ids, {connection}, class_of(pages), std::chrono::seconds{5}, ids::Clock::now()};
  while (!handshake.result())
    if (const auto frame = handshake.poll(ids::Clock::now(), 1))
      handshake.take({1, 0, exchange(*frame)}, ids::Clock::now());
  return take(*std::move(handshake.result())).session;
}

/// The agent over the image, in this process, and the IDS's half of what it is asked.
class AgentAlone {
 public:
  AgentAlone(const std::string& image, const std::string& agent_key, const std::string& key,
             unsigned pages, std::uint64_t frames)
      : agent_{take(
            proxy::ImageAgent::open(image, read_file(agent_key), proxy::ImageFormat::kRaw))},
        requests_{handshake(key, static_cast<std::uint8_t>(pages), pages,
                            [this](const auto& frame) { return ask(frame); }),
                  pages, frames, next_} {
    // No page is touched for the first time later.
    for (const auto& request : requests_.seal(frames / pages + 1)) ask(request.frame);
  }

  /// What the agent takes to open a request, read, and seal.
  void answer(RelayRow& row, std::size_t count) {
    ids::Session::Sealed request;
    time_each(
        row, count, [&] { request = requests_.seal(); }, [&] { call_with(request.frame); });
  }
  /// What the IDS takes to make a frame of a request.
  void request(RelayRow& row, std::size_t count) {
    time_each(
        row, count, [] {}, [&] { requests_.seal(); });
  }
  /// What it takes to make a response of an answer that has just come.
  void open(RelayRow& row, std::size_t count) {
    ids::Session::Sealed request;
    ids::FrameBytes answer;
    const auto prepare = [&] {
      request = requests_.seal();
      answer = ask(request.frame);
    };
    time_each(row, count, prepare, [&] { requests_.open(request.n, answer); });
  }

 private:
  static std::vector<std::byte> read_file(const std::string& path) {
    std::vector<std::byte> file(SEVMON_KEY_FILE_MAX_BYTES);
    std::FILE* const in = std::fopen(path.c_str(), "rb");
    if (in == nullptr) throw std::runtime_error{"cannot read " + path};
    file.resize(std::fread(file.data(), 1, file.size(), in));
    std::fclose(in);
    return file;
  }
  /// `work`, as often, without what comes before each. Nothing here waits: its time is CPU time.
  template <typename Prepare, typename Work>
  static void time_each(RelayRow& row, std::size_t count, Prepare&& prepare, Work&& work) {
    std::vector<double> took;
    for (std::size_t i = 0; i < count; ++i) {
      prepare();
      const auto start = wall_ns();
      work();
      took.push_back(static_cast<double>(wall_ns() - start) / 1000);
    }
    const auto mean = std::accumulate(took.begin(), took.end(), 0.0) / static_cast<double>(count);
    row.wall_us.push_back(mean);
    row.client_us.push_back(mean);
    row.server_us.push_back(0);
    row.half_us.push_back(quantile(took, 0.5));
    row.most_us.push_back(quantile(took, 0.99));
  }
  proxy::ImageAgent::Call call_with(std::span<const std::byte> frame) {
    auto call = agent_->start(frame);
    agent_->finish(call);
    if (call.result < 0) throw std::runtime_error{"the agent refuses"};
    return call;
  }
  ids::FrameBytes ask(std::span<const std::byte> frame) {
    const auto call = call_with(frame);
    const auto answer = call.answer();
    return {answer.begin(), answer.end()};
  }

  std::uint64_t next_ = 0;
  std::unique_ptr<proxy::ImageAgent> agent_;
  PageRequests requests_;
};

/// dom0-proxy with the agent in it, asked by somebody who looks at no answer.
class ProxyAlone {
 public:
  ProxyAlone(const std::string& port, const std::string& key, unsigned pages, unsigned depth,
             std::uint64_t frames, std::uint64_t& next)
      : transport_{take(ids::connect_tcp("127.0.0.1", port, kPatience))},
        requests_{handshake(key, kConnection, pages,
                            [this](const auto& frame) {
                              send(frame);
                              return receive();
                            }),
                  pages, frames, next},
        depth_{depth} {}

  void answer(RelayRow& row, const CpuOf& proxy, std::size_t count) {
    const auto requests = requests_.seal(count);
    time(row, count, &proxy, [&](Stopwatch& watch) {
      std::size_t sent = 0;
      for (std::size_t done = 0; done < count; ++done) {
        for (; sent < count && sent < done + depth_; ++sent) {
          watch.sent(sent);
          send(requests[sent].frame);
        }
        receive();
        watch.took(done);
      }
    });
  }

 private:
  static constexpr std::chrono::seconds kPatience{60};
  static constexpr std::uint8_t kConnection = 0xa1;

  void send(std::span<const std::byte> frame) {
    check(transport_->send(frame, 1, ids::Clock::now() + kPatience));
  }
  ids::FrameBytes receive() {
    auto delivery = take(transport_->receive(ids::Clock::now() + kPatience));
    if (delivery.notice != 0) throw std::runtime_error{"the relay refuses"};
    return std::move(delivery.frame);
  }

  std::unique_ptr<ids::FrameTransport> transport_;
  PageRequests requests_;
  const unsigned depth_;
};

}  // namespace sevmon::bench
