// SPDX-License-Identifier: Apache-2.0
//
// Target: the IDS's end of a lane, over memory that the fuzzer owns between two calls. The input is
// a list of steps: bytes anywhere in the lane, indices, records, frames to send, looks for a
// delivery.
// Properties: each call ends, without a byte written but in its line and the requests' ring; a
// delivery is a whole record that lay there, with a frame of a possible size or a notice; indices
// move by whole records; after the first error of the connection there is nothing but that error.
#include <chrono>

#include "channel/transport_shm.hpp"
#include "support/fuzz_input.hpp"
#include "support/shm_file.hpp"

namespace sevmon::ids {
namespace {

using tests::Bytes;
using tests::must;

constexpr std::uint32_t kClaim = 0x5eed;

// One for all inputs: a mebibyte is slow to map and to clear.
tests::ShmFile& file() {
  static tests::ShmFile one;
  return one;
}
std::shared_ptr<ShmLane> lane() {
  static const std::shared_ptr<ShmLane> one = *ShmLane::open(file().path());
  return one;
}

class Steps {
 public:
  explicit Steps(tests::FuzzInput input) : input_{input} {
    const auto ours = lane();
    std::fill_n(file().lane(), SEVMON_SHM_CONTROL_BYTES, std::uint8_t{0});
    file().announce(1);
    file().agent().accepted = kClaim;
    transport_ = make_shm_transport(ours, kClaim);
  }

  void run() {
    for (unsigned step = 0; step < 100 && !input_.empty(); ++step) {
      switch (input_.take(1)[0] % 8) {
        case 0:
          write(input_.number<std::uint32_t>() % SEVMON_LANE_BYTES);
          break;
        case 1:
          write(input_.number<std::uint8_t>());  // the lines
          break;
        case 2:
          file().agent().response_tail += input_.number<std::uint32_t>();
          break;
        case 3:
          file().agent().request_head += input_.number<std::uint32_t>();
          break;
        case 4:
          put(input_.number<std::uint16_t>(), input_.number<std::uint8_t>());
          break;
        case 5:
          file().agent().request_head = file().ids().request_tail;
          break;
        case 6:
          send(16 + input_.number<std::uint16_t>() % 1005);
          break;
        case 7:
          receive();
          break;
      }
    }
  }

 private:
  void write(std::size_t at) {
    for (const auto byte : input_.take(input_.number<std::uint8_t>() % 80))
      file().lane()[at++ % SEVMON_LANE_BYTES] = byte;
  }

  void put(std::uint32_t bytes, std::uint8_t fill) {
    const sevmon_envelope envelope{.bytes = bytes, .tag = fill, .status = 0, .zero = 0};
    auto record = tests::bytes_of(envelope);
    record.resize(16 + bytes, fill);
    record.resize((record.size() + 15) / 16 * 16);
    file().put(record);
  }

  void send(std::size_t bytes) {
    const Bytes frame(bytes, 0x61);
    const Bytes before{file().lane(), file().lane() + SEVMON_SHM_IDS_OFFSET};
    const auto sent = transport_->send(std::as_bytes(std::span{frame}), 7, now());
    must(std::equal(before.begin(), before.end(), file().lane()), "only its own line");
    after(sent ? nullptr : &sent.error());
    if (sent && !error_) must(file().ids().request_tail % 16 == 0, "whole records");
  }

  void receive() {
    const auto tail = file().agent().response_tail;
    const auto got = transport_->receive(now());
    after(got ? nullptr : &got.error());
    if (!got) return;
    const auto bytes = static_cast<std::uint32_t>(got->frame.size());
    must(got->notice == 0 ? bytes >= 16 && bytes <= SEVMON_MAX_FRAME_BYTES : bytes == 0,
         "a frame or a notice");
    must(got->notice >= 0 && got->notice <= SEVMON_NOTICE_INTERNAL, "one of those there are");
    const auto record = (16 + bytes + 15) / 16 * 16;
    must(record <= tail - head_ && tail - head_ <= SEVMON_SHM_RESPONSE_BYTES, "it was there whole");
    for (std::uint32_t i = 0; i < bytes; ++i)
      must(std::to_integer<std::uint8_t>(got->frame[i]) ==
               file().lane()[SEVMON_SHM_RESPONSE_OFFSET +
                             (head_ + 16 + i) % SEVMON_SHM_RESPONSE_BYTES],
           "what lay there");
    head_ += record;
    must(file().ids().response_head == head_, "its room is given back");
  }

  void after(const common::Error* error) {
    if (error_) must(error && error->code == *error_, "it stays so");
    if (error && error->code != common::ErrorCode::kTimeout) {
      must(error->code == common::ErrorCode::kConnect ||
               error->code == common::ErrorCode::kMalformed ||
               error->code == common::ErrorCode::kTooLarge,
           "an error of the connection");
      error_ = error->code;
    }
  }

  static FrameTransport::Deadline now() { return std::chrono::steady_clock::now(); }

  tests::FuzzInput input_;
  std::unique_ptr<FrameTransport> transport_;
  std::optional<common::ErrorCode> error_;
  std::uint32_t head_ = 0;
};

}  // namespace
}  // namespace sevmon::ids

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sevmon::ids::Steps{{data, size}}.run();
  return 0;
}
