// SPDX-License-Identifier: Apache-2.0
//
// A lane of shared memory, and its client's end as a test needs it: docs/protocol.md, 7.1, apart
// from the IDS's code. It believes the agent, and can be made to say anything.
#pragma once

#include <sevmon/shm.h>

#include <array>
#include <memory>
#include <optional>

#include "support/bytes.hpp"

namespace sevmon::tests {

/// Zeroed, as a new file is.
class LaneMemory {
 public:
  std::uint8_t* data() { return memory_->bytes.data(); }
  sevmon_shm_agent& agent() { return *reinterpret_cast<sevmon_shm_agent*>(data()); }
  sevmon_shm_ids& ids() {
    return *reinterpret_cast<sevmon_shm_ids*>(data() + SEVMON_SHM_IDS_OFFSET);
  }
  /// A byte of a ring, wherever its index has got to.
  std::uint8_t& request(std::uint32_t index) {
    return data()[SEVMON_SHM_REQUEST_OFFSET + index % SEVMON_SHM_REQUEST_BYTES];
  }
  std::uint8_t& response(std::uint32_t index) {
    return data()[SEVMON_SHM_RESPONSE_OFFSET + index % SEVMON_SHM_RESPONSE_BYTES];
  }

 private:
  struct alignas(SEVMON_PAGE_BYTES) Memory {
    std::array<std::uint8_t, SEVMON_LANE_BYTES> bytes{};
  };
  std::unique_ptr<Memory> memory_ = std::make_unique<Memory>();
};

struct LaneAnswer {
  std::uint32_t tag = 0;
  std::int32_t notice = 0;
  Bytes frame;
};

class LaneClient {
 public:
  explicit LaneClient(LaneMemory& memory) : memory_{memory} {}

  void claim(std::uint32_t claim) {
    memory_.ids().claim = 0;
    memory_.ids().request_tail = tail_ = 0;
    memory_.ids().response_head = head_ = 0;
    memory_.ids().claim = claim;
  }
  bool is_accepted() {
    return memory_.ids().claim != 0 && memory_.agent().accepted == memory_.ids().claim;
  }

  static Bytes record(ByteView frame, std::uint32_t tag) {
    auto bytes = bytes_of(sevmon_envelope{
        .bytes = static_cast<std::uint32_t>(frame.size()), .tag = tag, .status = 0, .zero = 0});
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    bytes.resize((bytes.size() + 15) / 16 * 16);
    return bytes;
  }
  /// Any bytes, whether or not there is room.
  void put(ByteView bytes) {
    for (const auto byte : bytes) memory_.request(tail_++) = byte;
    memory_.ids().request_tail = tail_;
  }
  void send(ByteView frame, std::uint32_t tag) { put(record(frame, tag)); }
  std::uint32_t room() { return SEVMON_SHM_REQUEST_BYTES - (tail_ - memory_.agent().request_head); }

  std::optional<LaneAnswer> take() {
    if (memory_.agent().response_tail == head_) return std::nullopt;
    const auto envelope = load<sevmon_envelope>(read(sizeof(sevmon_envelope)));
    LaneAnswer answer{
        .tag = envelope.tag, .notice = envelope.status, .frame = read(envelope.bytes)};
    for (const auto byte : read((16 - envelope.bytes % 16) % 16))
      if (byte) throw std::runtime_error{"an answer's padding"};
    memory_.ids().response_head = head_;
    return answer;
  }

 private:
  Bytes read(std::size_t count) {
    Bytes bytes(count);
    for (auto& byte : bytes) byte = memory_.response(head_++);
    return bytes;
  }

  LaneMemory& memory_;
  std::uint32_t tail_ = 0, head_ = 0;
};

}  // namespace sevmon::tests
