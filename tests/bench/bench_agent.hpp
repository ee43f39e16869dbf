// SPDX-License-Identifier: Apache-2.0
//
// An agent as a hypercall would have it: the frame is copied in, the answer copied out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bench/bench_host.hpp"
#include "support/initiator.hpp"

namespace sevmon::bench {

using tests::Bytes;
using tests::ByteView;
using tests::require;

inline constexpr tests::Id kIdsId{0x10, 1};
inline constexpr tests::Key kPsk{0x50, 1};

class BenchAgent {
 public:
  explicit BenchAgent(BenchHost& host)
      : host_{host},
        agent_{std::make_unique<sevmon_agent>()},
        work_{std::make_unique<sevmon_work>()},
        out_(SEVMON_MAX_FRAME_BYTES) {
    sevmon_key_head head{};
    std::memcpy(head.magic, SEVMON_KEY_MAGIC, sizeof(head.magic));
    head.version = 1;
    head.count = 1;
    head.agent_id[0] = 0xa9;
    const auto file = tests::reference::join({tests::bytes_of(head), kIdsId, kPsk});
    require(sevmon_agent_start(agent_.get(), host.table(), file.data(), file.size()) == 0,
            "the agent does not start");
  }

  ~BenchAgent() { sevmon_agent_end(agent_.get()); }
  BenchAgent(const BenchAgent&) = delete;
  BenchAgent& operator=(const BenchAgent&) = delete;

  /// One hypercall. The answer, if it is one, is in answer().
  int call(const std::uint8_t* frame, std::size_t bytes) {
    std::memcpy(sevmon_work_in(work_.get()), frame, bytes);
    const int rc = sevmon_agent_frame(agent_.get(), work_.get(), bytes);
    if (rc > 0) std::memcpy(out_.data(), sevmon_work_out(work_.get()), static_cast<size_t>(rc));
    return rc;
  }
  int call(ByteView frame) { return call(frame.data(), frame.size()); }
  ByteView answer() const { return out_; }

  /// HELLO and the initiator's part; the agent's is left to the caller.
  tests::Initiator make_initiator(std::uint8_t size_class = SEVMON_CLASS_15_PAGES) {
    host_.advance_ns(1'000'000'000 / SEVMON_HANDSHAKE_RATE);
    require(call(tests::hello_frame(kIdsId)) == SEVMON_HANDSHAKE_FRAME_BYTES, "no CHALLENGE");
    return {kIdsId,
            kPsk,
            answer().first(SEVMON_HANDSHAKE_FRAME_BYTES),
            {.connection_id = {size_class, 1}, .size_class = size_class}};
  }

  tests::ReferenceSession open_session(std::uint8_t size_class) {
    auto initiator = make_initiator(size_class);
    require(call(initiator.frame()) == SEVMON_HANDSHAKE_FRAME_BYTES, "no ACCEPT");
    return initiator.finish(answer().first(SEVMON_HANDSHAKE_FRAME_BYTES));
  }

 private:
  BenchHost& host_;
  std::unique_ptr<sevmon_agent> agent_;
  std::unique_ptr<sevmon_work> work_;
  Bytes out_;
};

}  // namespace sevmon::bench
