// SPDX-License-Identifier: Apache-2.0
//
// Images of programs, and the requests that load and run them.
#pragma once

#include <optional>
#include <utility>

#include "program.h"
#include "support/bpf_program.hpp"
#include "support/fake_session.hpp"

namespace sevmon::tests {

/// What is sent of a program.
struct Image {
  Image(BpfProgram& program, Bytes data = {}, std::uint32_t map_bytes = 0, Bytes init = {}) {
    const sevmon_program_head head{.insns = program.count(),
                                   .data_bytes = static_cast<std::uint32_t>(data.size()),
                                   .map_bytes = map_bytes,
                                   .init_bytes = static_cast<std::uint32_t>(init.size()),
                                   .zero = {}};
    bytes = bytes_of(head);
    for (const auto& insn : program.insns()) {
      const auto encoded = bytes_of(insn);
      bytes.insert(bytes.end(), encoded.begin(), encoded.end());
    }
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.insert(bytes.end(), init.begin(), init.end());
  }

  sevmon_program_head& head() { return *reinterpret_cast<sevmon_program_head*>(bytes.data()); }
  std::array<std::uint8_t, 32> sha256() const {
    std::array<std::uint8_t, 32> digest{};
    SHA256(bytes.data(), bytes.size(), digest.data());
    return digest;
  }
  std::uint64_t name() const { return load<std::uint64_t>(sha256()); }

  Bytes bytes;
};

/// A request of one such item with its payload.
inline sevmon_request_body program_request(std::uint8_t type, ByteView payload = {}) {
  sevmon_request_body body{};
  body.head.domid = SEVMON_DOMID_DOM0;
  body.head.items = 1;
  body.items[0].type = type;
  body.items[0].bytes = static_cast<std::uint16_t>(payload.size());
  std::ranges::copy(payload.first(std::min(payload.size(), SEVMON_MAX_PAYLOAD_BYTES)),
                    reinterpret_cast<std::uint8_t*>(&body.items[1]));
  return body;
}

inline Bytes payload(ByteView head, ByteView rest = {}) {
  Bytes all{head.begin(), head.end()};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

/// How a run ended.
struct RunResult {
  unsigned status = 0;  // SEVMON_STATUS_* of the item
  sevmon_run_report report{};
  Bytes result;
};

/// What waited of standing programs.
struct CollectedResults {
  sevmon_collected head{};
  std::vector<std::pair<sevmon_result_head, Bytes>> results;
};

/// An IDS that loads and runs programs, on a CPU of its own.
class ProgramClient {
 public:
  explicit ProgramClient(FakeAgent& agent, const InitiatorOptions& options = {},
                         const TestKey& key = test_key())
      : agent_{&agent}, session_{shake_hands(agent, options, key)} {}

  ReferenceResponse ask(const sevmon_request_body& body) {
    const auto answer = to_its_end(agent_->frame(session_.request(n_++, body), *work_));
    require(answer.rc > 0, "no RESPONSE");
    const auto opened = session_.open(answer.frame);
    require(opened.has_value(), "RESPONSE does not verify");
    return ReferenceResponse{*opened};
  }
  ReferenceResponse ask(std::uint8_t type, ByteView payload) {
    return ask(program_request(type, payload));
  }
  unsigned status(std::uint8_t type, ByteView payload) {
    return ask(type, payload).results[0].status;
  }

  unsigned begin(const Image& image) {
    sevmon_program_begin begin{
        .sha256 = {}, .bytes = static_cast<std::uint32_t>(image.bytes.size()), .zero = 0};
    std::ranges::copy(image.sha256(), begin.sha256);
    return status(SEVMON_ITEM_PROGRAM_BEGIN, bytes_of(begin));
  }
  unsigned chunk(std::uint64_t name, std::uint32_t offset, ByteView bytes) {
    const sevmon_program_chunk chunk{.program = name, .offset = offset, .zero = 0};
    return status(SEVMON_ITEM_PROGRAM_CHUNK, payload(bytes_of(chunk), bytes));
  }
  /// All of them; the first status that is not OK.
  unsigned chunks(const Image& image) { return chunks_as(image.name(), image); }
  unsigned chunks_as(std::uint64_t name, const Image& image) {
    constexpr std::size_t kMost = SEVMON_MAX_PAYLOAD_BYTES - sizeof(sevmon_program_chunk);
    for (std::size_t at = 0; at < image.bytes.size(); at += kMost) {
      const auto got =
          chunk(name, static_cast<std::uint32_t>(at),
                ByteView{image.bytes}.subspan(at, std::min(kMost, image.bytes.size() - at)));
      if (got != SEVMON_STATUS_OK) return got;
    }
    return SEVMON_STATUS_OK;
  }
  std::pair<unsigned, sevmon_program_verdict> commit(const Image& image) {
    return verdict(to_its_end(agent_->frame(commit_frame(image), *work_)));
  }
  Bytes commit_frame(const Image& image) {
    const sevmon_program_name name{.program = image.name(), .zero = 0};
    return session_.request(n_++, program_request(SEVMON_ITEM_PROGRAM_COMMIT, bytes_of(name)));
  }
  /// Throws unless the answer verifies.
  std::pair<unsigned, sevmon_program_verdict> verdict(const FakeAgent::Answer& answer) const {
    require(answer.rc > 0, "no answer");
    const auto opened = session_.open(answer.frame);
    require(opened.has_value(), "the answer does not verify");
    const ReferenceResponse response{*opened};
    return {response.results[0].status, load<sevmon_program_verdict>(response.item(0))};
  }
  unsigned unload(const Image& image) {
    const sevmon_program_name name{.program = image.name(), .zero = 0};
    return status(SEVMON_ITEM_PROGRAM_UNLOAD, bytes_of(name));
  }
  /// Throws unless it can be run then.
  void load_all(const Image& image) {
    require(begin(image) == SEVMON_STATUS_OK, "BEGIN");
    require(chunks(image) == SEVMON_STATUS_OK, "CHUNK");
    require(commit(image).first == SEVMON_STATUS_OK, "COMMIT");
  }
  std::vector<sevmon_program_entry> list() {
    const auto response = ask(SEVMON_ITEM_PROGRAM_LIST, {});
    std::vector<sevmon_program_entry> entries;
    for (std::size_t i = 0; i < SEVMON_MAX_PROGRAMS; ++i)
      entries.push_back(
          load<sevmon_program_entry>(response.item(0), i * sizeof(sevmon_program_entry)));
    return entries;
  }

  Bytes run_frame(const sevmon_run_head& head, ByteView input = {}) {
    return session_.request(
        n_++, program_request(SEVMON_ITEM_PROGRAM_RUN, payload(bytes_of(head), input)));
  }
  Bytes run_frame(std::uint64_t name, ByteView input = {}, std::uint64_t budget = 1'000'000) {
    return run_frame({.program = name, .budget = budget, .flags = 0, .pause_us = 0}, input);
  }
  /// Throws unless the answer verifies.
  RunResult result(const FakeAgent::Answer& answer) {
    require(answer.rc > 0, "no answer");
    const auto opened = session_.open(answer.frame);
    require(opened.has_value(), "the answer does not verify");
    const ReferenceResponse response{*opened};
    RunResult got{.status = response.results[0].status, .report = {}, .result = {}};
    if (got.status != SEVMON_STATUS_OK) return got;
    got.report = load<sevmon_run_report>(response.item(0));
    const auto rest = response.item(0).subspan(sizeof(got.report));
    got.result.assign(rest.begin(), rest.end());
    return got;
  }
  bool opens(ByteView frame) const { return session_.open(frame).has_value(); }
  /// To its end.
  RunResult run(std::uint64_t name, ByteView input = {}, std::uint64_t budget = 1'000'000) {
    return run({.program = name, .budget = budget, .flags = 0, .pause_us = 0}, input);
  }
  RunResult run(const sevmon_run_head& head, ByteView input = {}) {
    return result(to_its_end(agent_->frame(run_frame(head, input), *work_)));
  }

  unsigned schedule(const sevmon_schedule_head& head, ByteView input = {}) {
    return status(SEVMON_ITEM_PROGRAM_SCHEDULE, payload(bytes_of(head), input));
  }
  unsigned unschedule(const Image& image) {
    const sevmon_program_name name{.program = image.name(), .zero = 0};
    return status(SEVMON_ITEM_PROGRAM_UNSCHEDULE, bytes_of(name));
  }
  /// Throws unless the answer is one.
  CollectedResults collect(std::uint64_t seen = 0) {
    const auto response =
        ask(SEVMON_ITEM_PROGRAM_COLLECT, bytes_of(sevmon_collect{.seen = seen, .zero = 0}));
    require(response.results[0].status == SEVMON_STATUS_OK, "COLLECT");
    CollectedResults got{.head = load<sevmon_collected>(response.item(0)), .results = {}};
    auto rest = response.item(0).subspan(sizeof(got.head));
    for (std::uint32_t i = 0; i < got.head.results; ++i) {
      const auto head = load<sevmon_result_head>(rest);
      const auto bytes = rest.subspan(sizeof(head), head.report.result_bytes);
      got.results.push_back({head, {bytes.begin(), bytes.end()}});
      rest = rest.subspan(sizeof(head) + (head.report.result_bytes + 7) / 8 * 8);
    }
    require(rest.empty(), "bytes behind the results");
    return got;
  }

 private:
  /// As Xen does it.
  FakeAgent::Answer to_its_end(FakeAgent::Answer answer) {
    while (answer.rc == -ERESTART) answer = agent_->go_on(sevmon_work_token(work_.get()), *work_);
    return answer;
  }

  FakeAgent* agent_;
  ReferenceSession session_;
  std::uint64_t n_ = 0;
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
};

}  // namespace sevmon::tests
