// SPDX-License-Identifier: Apache-2.0
// Target: ids::Handshake, the IDS's side of hello and handshake.
// Input: what a hostile relay does, one byte each for what and then what that takes:
//   0 deliver bytes (u16 length)           3 deliver the agent's answer, one byte of it changed
//   1 deliver a notice (i32)                 (u16 where, u8 by what; 0: as it is)
//   2 let time pass (u16 ms)               4 have the agent itself say another byte in its
//                                            acceptances (u8 where, u8 what), from here on
// Property: frames are whole; there is a session only where the agent's own, unchanged acceptance
// of this handshake was delivered last and says so; after the end nothing more is sent.
#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "channel/handshake.hpp"
#include "ids/channel/model_agent.hpp"
#include "support/fuzz_input.hpp"

using namespace sevmon;
using namespace sevmon::ids;
using tests::FuzzInput;
using tests::must;

namespace {

constexpr std::chrono::milliseconds kTimeout{500};
constexpr common::IdBytes kConnection{3, 1, 4};

class Relay {
 public:
  Relay() : handshake_{key(), kConnection, SEVMON_CLASS_1_PAGE, kTimeout, now_} {}

  void run(FuzzInput input) {
    for (unsigned steps = 0; !input.empty() && steps < 256; ++steps) {
      send();
      step(input);
      check();
    }
    // Left alone it ends by itself.
    for (unsigned i = 0; i < 64 && !handshake_.result(); ++i) {
      now_ = std::max(now_, handshake_.wake());
      send();
    }
    must(handshake_.result().has_value(), "a handshake that nobody answers ends");
  }

 private:
  static const Key& key() {
    static const Key loaded = *Key::parse(test::key_file());
    return loaded;
  }

  void send() {
    const bool was_over = handshake_.result().has_value();
    const auto frame = handshake_.poll(now_, ++tag_);
    if (!frame) return;
    must(!was_over, "nothing is sent after the end");
    must(frame->size() == SEVMON_HANDSHAKE_FRAME_BYTES, "frames are whole");
    must(common::decode_header(*frame).has_value(), "frames have a header");
    sent_tag_ = tag_;
    answer_ = agent_.answer(*frame);
  }

  void step(FuzzInput& input) {
    is_genuine_ = false;
    switch (input.number<std::uint8_t>() % 5) {
      case 0:
        return deliver(bytes(input.take(input.number<std::uint16_t>())));
      case 1: {
        const auto notice = input.number<std::int32_t>();
        handshake_.take({.tag = sent_tag_, .notice = notice, .frame = {}}, now_);
        return;
      }
      case 2:
        now_ += std::chrono::milliseconds{input.number<std::uint16_t>()};
        return;
      case 3:
        return answer(input.number<std::uint16_t>(), input.number<std::uint8_t>());
      case 4:
        return set_in_acceptance(input.number<std::uint8_t>(), input.number<std::uint8_t>());
    }
  }

  void answer(std::uint16_t where, std::uint8_t by) {
    if (!answer_) return;
    auto frame = *answer_;
    frame[where % frame.size()] ^= std::byte{by};
    is_genuine_ = by == 0;
    deliver(frame);
  }

  void set_in_acceptance(std::uint8_t where, std::uint8_t value) {
    acceptance_[where % sizeof(sevmon_accept)] = value;
    agent_.on_accept = [this](sevmon_accept& accept) {
      auto* const raw = reinterpret_cast<std::uint8_t*>(&accept);
      for (const auto& [at, byte] : acceptance_) raw[at] = byte;
      is_acceptable_ = accept.status == SEVMON_ACCEPT_OK && accept.session != 0;
    };
  }

  void deliver(FrameBytes frame) {
    handshake_.take({.tag = sent_tag_, .notice = 0, .frame = std::move(frame)}, now_);
  }

  static FrameBytes bytes(const tests::Bytes& raw) {
    FrameBytes out(raw.size());
    std::ranges::transform(raw, out.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
    return out;
  }

  void check() {
    const auto& result = handshake_.result();
    if (!result || was_checked_) return;
    was_checked_ = true;
    if (*result) must(is_genuine_ && is_acceptable_, "a session comes of the agent's acceptance");
  }

  TimePoint now_{};
  test::ModelAgent agent_;
  Handshake handshake_;
  std::optional<test::Bytes> answer_;  // to the frame sent last
  std::map<std::size_t, std::uint8_t> acceptance_;
  std::uint32_t tag_ = 0, sent_tag_ = 0;
  bool is_genuine_ = false, is_acceptable_ = true, was_checked_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Relay{}.run(FuzzInput{data, size});
  return 0;
}
