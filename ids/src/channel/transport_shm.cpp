// SPDX-License-Identifier: Apache-2.0
#include "channel/transport_shm.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include <sevmon/codec.hpp>
#include <sevmon/text.hpp>
#include <sevmon/transport.hpp>

#include "channel/crypto.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Deadline = FrameTransport::Deadline;

/// As over TCP: frames that the ring has no room for yet. Over it send() waits.
constexpr std::size_t kMaxQueuedBytes = 512 * 1024;
/// A claim that an agent did not take: it may have started just then, and wiped it.
constexpr milliseconds kFirstClaimPatience{100};

/// The time between two looks: an agent that is at work answers within the first of these, and
/// nobody's CPU is burnt for one that is not.
class Patience {
 public:
  void wait(Deadline deadline) {
    const auto now = Clock::now();
    if (now < spin_until_) {
      for (int i = 0; i < 32; ++i) _mm_pause();
      return;
    }
    std::this_thread::sleep_until(std::min<Clock::time_point>(deadline, now + sleep_));
    sleep_ = std::min(2 * sleep_, kMaxSleep);
  }

 private:
  static constexpr microseconds kSpin{50}, kMaxSleep{200};
  Clock::time_point spin_until_ = Clock::now() + kSpin;
  microseconds sleep_{10};
};

constexpr std::uint32_t record_bytes(std::size_t frame_bytes) {
  return static_cast<std::uint32_t>(SEVMON_SHM_RECORD_BYTES(frame_bytes));
}

bool is_within(std::uint32_t used, std::uint32_t ring_bytes) {
  return used <= ring_bytes && used % SEVMON_SHM_ALIGN == 0;
}

std::string name_of(const ShmLane& lane) {
  return "shm:" + escape(lane.path());
}

bool is_accepted(const ShmLane& lane) {
  return ShmLane::load(lane.agent().accepted) == lane.claim;
}

class ShmTransport : public FrameTransport {
 public:
  ShmTransport(std::shared_ptr<ShmLane> lane, std::uint32_t claim)
      : lane_{std::move(lane)}, description_{name_of(*lane_)}, claim_{claim} {}
  ~ShmTransport() override;

  Result<void> send(std::span<const std::byte> frame, std::uint32_t tag,
                    Deadline deadline) override;
  Result<Delivery> receive(Deadline deadline) override;
  std::string describe() const override { return description_; }

 private:
  void flush();
  Result<std::optional<Delivery>> next_delivery();
  Result<Delivery> take(std::uint32_t waiting);
  bool is_ours() const;
  void fail(const std::string& why);

  const std::shared_ptr<ShmLane> lane_;
  const std::string description_;
  const std::uint32_t claim_;
  // Never read back from the memory.
  std::uint32_t request_tail_ = 0, response_head_ = 0;
  std::deque<std::vector<std::byte>> queued_;  // records
  std::size_t queued_bytes_ = 0;
  std::optional<Error> fatal_;
};

ShmTransport::~ShmTransport() {
  // The agent need not look for more.
  if (lane_->claim == claim_) ShmLane::store(lane_->ids().claim, 0);
}

bool ShmTransport::is_ours() const {
  return lane_->claim == claim_ && is_accepted(*lane_);
}

/// What the agent cannot have written: unless it is no longer our claim that it serves.
void ShmTransport::fail(const std::string& why) {
  if (fatal_) return;
  if (is_ours())
    fatal_ = Error{ErrorCode::kMalformed, description_ + ": the agent's " + why};
  else if (lane_->is_truncated())
    fatal_ = Error{ErrorCode::kConnect, description_ + ": the file was cut"};
  else
    fatal_ = Error{ErrorCode::kConnect,
                   description_ + ": the agent gave up this lane, or its machine started again"};
}

// ---- Requests ----

/// Records to the ring, as many as have room now.
void ShmTransport::flush() {
  const auto head = ShmLane::load(lane_->agent().request_head);
  auto used = request_tail_ - head;
  if (!is_within(used, SEVMON_SHM_REQUEST_BYTES)) return fail("index of requests");
  while (!queued_.empty() && queued_.front().size() <= SEVMON_SHM_REQUEST_BYTES - used) {
    const auto& record = queued_.front();
    const auto bytes = static_cast<std::uint32_t>(record.size());
    lane_->copy_in(request_tail_, record);
    request_tail_ += bytes;
    used += bytes;
    queued_bytes_ -= bytes;
    queued_.pop_front();
  }
  if (lane_->claim == claim_) ShmLane::store(lane_->ids().request_tail, request_tail_);
}

Result<void> ShmTransport::send(std::span<const std::byte> frame, std::uint32_t tag,
                                Deadline deadline) {
  std::vector<std::byte> record(record_bytes(frame.size()));
  const auto envelope = common::encode_envelope(
      {.bytes = static_cast<std::uint32_t>(frame.size()), .tag = tag, .status = 0, .zero = 0});
  std::ranges::copy(envelope, record.begin());
  std::ranges::copy(frame, record.begin() + sizeof(sevmon_envelope));
  Patience patience;
  while (!fatal_) {
    if (!is_ours()) fail("claim");
    if (!fatal_ && !queued_.empty()) flush();
    if (fatal_ || queued_bytes_ + record.size() <= kMaxQueuedBytes) break;
    if (Clock::now() >= deadline)
      return Error{ErrorCode::kTimeout, description_ + ": the agent takes no more requests"};
    patience.wait(deadline);
  }
  if (fatal_) return *fatal_;
  queued_bytes_ += record.size();
  queued_.push_back(std::move(record));
  flush();
  return fatal_ ? Result<void>{*fatal_} : Result<void>{};
}

// ---- Answers ----

Result<Delivery> ShmTransport::receive(Deadline deadline) {
  Patience patience;
  while (true) {
    auto delivery = next_delivery();
    if (!delivery) return delivery.error();
    if (*delivery) return **std::move(delivery);
    if (Clock::now() >= deadline)
      return Error{ErrorCode::kTimeout, description_ + ": nothing from the agent"};
    patience.wait(deadline);
  }
}

Result<std::optional<Delivery>> ShmTransport::next_delivery() {
  if (fatal_) return *fatal_;
  if (!queued_.empty()) flush();
  const auto waiting = ShmLane::load(lane_->agent().response_tail) - response_head_;
  if (!is_within(waiting, SEVMON_SHM_RESPONSE_BYTES)) fail("index of answers");
  // Read after the index, which is therefore of the claim that is found here.
  if (!fatal_ && !is_ours()) fail("claim");
  if (fatal_) return *fatal_;
  if (waiting == 0) return std::optional<Delivery>{};
  auto taken = take(waiting);
  if (taken) return std::optional{*std::move(taken)};
  fail(taken.error().detail);
  return *fatal_;
}

/// The record that begins the `waiting` bytes: copied, and only then looked at.
Result<Delivery> ShmTransport::take(std::uint32_t waiting) {
  std::array<std::byte, sizeof(sevmon_envelope)> head;
  lane_->copy_out(response_head_, head);
  const auto envelope = common::decode_envelope(head, common::Direction::kToIds);
  if (!envelope) return envelope.error();
  const auto bytes = record_bytes(envelope->bytes);
  if (bytes > waiting) return Error{ErrorCode::kMalformed, "answer is not there whole"};
  Delivery delivery{envelope->tag, envelope->status, {}};
  delivery.frame.resize(bytes - head.size());
  lane_->copy_out(response_head_ + static_cast<std::uint32_t>(head.size()), delivery.frame);
  const auto padding = std::span{delivery.frame}.subspan(envelope->bytes);
  if (!std::ranges::all_of(padding, [](std::byte byte) { return byte == std::byte{0}; }))
    return Error{ErrorCode::kMalformed, "answer has bytes behind its frame"};
  delivery.frame.resize(envelope->bytes);
  response_head_ += bytes;
  ShmLane::store(lane_->ids().response_head, response_head_);
  return delivery;
}

// ---- Coming ----

/// Before the first byte is written: the file may be anybody's.
Result<void> check_agent(const ShmLane& lane) {
  if (lane.magic() != SEVMON_SHM_MAGIC)
    return Error{ErrorCode::kConnect, name_of(lane) + ": no agent has made lane " +
                                          std::to_string(lane.number()) + " of it its own"};
  const auto version = ShmLane::load(lane.agent().version);
  if (version != SEVMON_SHM_VERSION)
    return Error{ErrorCode::kUnsupported,
                 name_of(lane) + ": version " + std::to_string(version) + " of lanes"};
  return {};
}

/// The old claim goes first: an agent that looks in between must not take indices of 0 for its old
/// client's.
void write_claim(ShmLane& lane) {
  auto& line = lane.ids();
  const auto before = ShmLane::load(line.claim), accepted = ShmLane::load(lane.agent().accepted);
  std::uint32_t claim = 0;
  while (claim == 0 || claim == before || claim == accepted)
    claim = std::bit_cast<std::uint32_t>(random_array<sizeof(claim)>());
  ShmLane::store(line.claim, 0);
  ShmLane::store(line.request_tail, 0);
  ShmLane::store(line.response_head, 0);
  ShmLane::store(line.claim, claim);
  lane.claim = claim;
}

bool is_accepted_by(const ShmLane& lane, Deadline deadline) {
  Patience patience;
  while (!is_accepted(lane)) {
    if (Clock::now() >= deadline) return false;
    patience.wait(deadline);
  }
  return true;
}

Result<void> claim(ShmLane& lane, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (auto patience = kFirstClaimPatience;; patience *= 2) {
    if (auto there = check_agent(lane); !there) return there;
    write_claim(lane);
    if (is_accepted_by(lane, std::min<Deadline>(deadline, Clock::now() + patience))) return {};
    if (Clock::now() >= deadline) break;
  }
  ShmLane::store(lane.ids().claim, 0);
  return Error{ErrorCode::kTimeout, "nothing serves " + name_of(lane) +
                                        ": an agent did once, and did not greet lane " +
                                        std::to_string(lane.number()) + " within " +
                                        std::to_string(timeout.count()) + " ms"};
}

}  // namespace

Result<std::shared_ptr<ShmLane>> open_shm(const std::string& path) {
  return ShmLane::open(path);
}

Result<std::unique_ptr<FrameTransport>> connect_shm(std::shared_ptr<ShmLane> lane,
                                                    milliseconds timeout) {
  if (auto claimed = claim(*lane, timeout); !claimed) return claimed.error();
  const auto claim = lane->claim;
  return make_shm_transport(std::move(lane), claim);
}

std::unique_ptr<FrameTransport> make_shm_transport(std::shared_ptr<ShmLane> lane,
                                                   std::uint32_t claim) {
  lane->claim = claim;
  return std::make_unique<ShmTransport>(std::move(lane), claim);
}

}  // namespace sevmon::ids
