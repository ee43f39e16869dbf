// SPDX-License-Identifier: Apache-2.0
//
// A host for the agent core over memory that a test builds in code. It counts what the core holds
// and fails the test when anything is still held at the end.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "agent-state.h"
#include "support/bytes.hpp"
#include "support/openssl_sha256.hpp"

namespace sevmon::tests {

inline constexpr std::uint64_t kPresent = 1, kWrite = 2, kUser = 4, kLarge = 1 << 7,
                               kGlobal = 1 << 8, kNoExecute = 1ULL << 63;

/// Memory of a guest, with page tables of four or five levels, made as a test asks for them.
class FakeGuest {
 public:
  struct alignas(4096) Page {
    std::array<std::uint8_t, 4096> bytes{};
    std::uint64_t& entry(unsigned index) {
      return reinterpret_cast<std::uint64_t*>(bytes.data())[index];
    }
  };

  explicit FakeGuest(unsigned levels = 4) : levels_{levels}, root_{add_frame()} {}

  std::uint64_t root() const { return root_; }
  unsigned levels() const { return levels_; }

  /// A new zeroed frame. Frame numbers are neither contiguous nor zero.
  std::uint64_t add_frame() {
    next_frame_ += 3;
    frames_[next_frame_] = std::make_unique<Page>();
    return next_frame_;
  }
  /// A frame at a number of the test's choice.
  std::uint64_t add_frame(std::uint64_t frame) {
    frames_[frame] = std::make_unique<Page>();
    return frame;
  }
  /// Balloon it out: whatever points to it points to nothing.
  FakeGuest& remove_frame(std::uint64_t frame) {
    frames_.erase(frame);
    return *this;
  }
  bool has_frame(std::uint64_t frame) const { return frames_.contains(frame); }
  Page& page(std::uint64_t frame) { return *frames_.at(frame); }
  const Page* find(std::uint64_t frame) const {
    const auto at = frames_.find(frame);
    return at == frames_.end() ? nullptr : at->second.get();
  }

  /// The entry of `gva` at `level` (1 is the page's); makes the tables above it.
  std::uint64_t& entry(std::uint64_t gva, unsigned level) {
    std::uint64_t table = root_;
    for (unsigned at = levels_;; --at) {
      auto& entry = page(table).entry(gva >> (12 + 9 * (at - 1)) & 511);
      if (at == level) return entry;
      if (!(entry & kPresent)) entry = add_frame() << 12 | kPresent | kWrite | kUser;
      table = entry >> 12 & 0xffffffffffULL;
    }
  }

  /// Point `gva` at a frame; `level` 2 and 3 make large pages.
  FakeGuest& map_frame(std::uint64_t gva, std::uint64_t frame, unsigned level = 1,
                       std::uint64_t flags = kWrite) {
    entry(gva, level) = frame << 12 | kPresent | flags | (level > 1 ? kLarge : 0);
    return *this;
  }

  /// Bytes at `gva`, in new pages where there are none.
  FakeGuest& map(std::uint64_t gva, ByteView bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      auto& leaf = entry(gva + done, 1);
      if (!(leaf & kPresent)) leaf = add_frame() << 12 | kPresent | kWrite;
      const std::size_t offset = (gva + done) & 4095;
      const std::size_t count = std::min<std::size_t>(bytes.size() - done, 4096 - offset);
      std::copy_n(
          bytes.begin() + static_cast<std::ptrdiff_t>(done), count,
          page(leaf >> 12 & 0xffffffffffULL).bytes.begin() + static_cast<std::ptrdiff_t>(offset));
      done += count;
    }
    return *this;
  }
  FakeGuest& map(std::uint64_t gva, std::string_view text) { return map(gva, from_text(text)); }

 private:
  unsigned levels_;
  std::uint64_t next_frame_ = 0x1000;
  std::map<std::uint64_t, std::unique_ptr<Page>> frames_;
  std::uint64_t root_;
};

/// One at a time: the core's table of functions carries no context.
class FakeHost {
 public:
  explicit FakeHost(unsigned levels = 4) : guest{levels} {
    if (active_) throw std::logic_error{"a FakeHost is active already"};
    active_ = this;
  }
  ~FakeHost() {
    EXPECT_EQ(targets_held, 0) << "the core did not put a target";
    EXPECT_EQ(frames_held, 0) << "the core did not unmap a frame";
    EXPECT_FALSE(paused) << "the core did not resume the target";
    active_ = nullptr;
  }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  const sevmon_host* table() const { return has_timer ? &table_ : &timeless_; }
  void advance_ns(std::uint64_t ns) { now_ns += ns; }
  void advance_seconds(double seconds) { now_ns += static_cast<std::uint64_t>(seconds * 1e9); }

  FakeGuest guest;
  std::atomic<std::uint64_t> now_ns{1'000'000'000'000};
  std::uint64_t tick_ns = 0;  // by which each look at the clock moves it on
  bool has_domain = true;
  std::uint16_t domid = 0;
  std::uint8_t kind = SEVMON_TARGET_PV;
  std::uint64_t forbidden_start = 0, forbidden_end = 0, c_bit_mask = 0;
  unsigned vcpus = 1;
  unsigned root_status = SEVMON_ANSWER_OK;
  bool has_trap_tables = true;
  std::atomic<bool> random_fails{false};
  /// Handed out before the generator's bytes, for known answers.
  Bytes scripted_random;
  /// Called before a frame is mapped: the moment at which guest memory may change.
  std::function<void(std::uint64_t frame)> on_map;

  /// Whether pausing works; how long it takes; what it was told.
  bool can_pause = true, has_timer = true;
  std::uint64_t pause_takes_ns = 0;
  std::atomic<unsigned> pauses{0};
  std::atomic<bool> paused{false};
  /// The time that wake() was told last, as it is kept until a tick; 0: none.
  std::atomic<std::uint64_t> wake_at{0};

  std::atomic<int> targets_held{0}, frames_held{0};
  std::atomic<unsigned> roots_read{0}, frames_mapped{0};

 private:
  static FakeHost& self() { return *active_; }

  static unsigned target_get(std::uint16_t domid, sevmon_target* target) {
    if (!self().has_domain || (domid != SEVMON_DOMID_DOM0 && domid != self().domid))
      return SEVMON_ANSWER_NO_DOMAIN;
    ++self().targets_held;
    *target = {.domain = active_,
               .domid = self().domid,
               .kind = self().kind,
               .forbidden_start = self().forbidden_start,
               .forbidden_end = self().forbidden_end,
               .c_bit_mask = self().c_bit_mask};
    return SEVMON_ANSWER_OK;
  }
  static void target_put(sevmon_target*) { --self().targets_held; }

  static unsigned vcpu_root(const sevmon_target*, unsigned vcpu, std::uint64_t* frame,
                            unsigned* levels) {
    ++self().roots_read;
    if (vcpu >= self().vcpus) return SEVMON_ANSWER_NO_ROOT;
    *frame = self().guest.root();
    *levels = self().guest.levels();
    return self().root_status;
  }

  static unsigned frame_map(const sevmon_target*, std::uint64_t frame, sevmon_frame* out) {
    if (self().on_map) self().on_map(frame);
    const auto* page = self().guest.find(frame);
    if (!page) return SEVMON_STATUS_NO_FRAME;
    ++self().frames_held;
    ++self().frames_mapped;
    *out = {.bytes = page->bytes.data(), .cookie = nullptr};
    return SEVMON_STATUS_OK;
  }
  static void frame_unmap(sevmon_frame* frame) {
    frame->bytes = nullptr;
    --self().frames_held;
  }

  static unsigned vcpu_state(const sevmon_target*, unsigned vcpu, sevmon_vcpu_state* state) {
    if (vcpu >= self().vcpus) return SEVMON_STATUS_NO_VCPU;
    state->vcpu = vcpu;
    state->flags = SEVMON_VCPU_ONLINE | SEVMON_VCPU_PV;
    state->kernel_root = self().guest.root();
    return SEVMON_STATUS_OK;
  }
  static unsigned trap_table(const sevmon_target*, unsigned vcpu, sevmon_trap traps[256]) {
    // Half-written, then refused: the core must not let the half out.
    for (unsigned i = 0; i < 256; ++i) traps[i] = {0xffff800000000000 + i, 8, 0, 0, 0};
    if (!self().has_trap_tables) return SEVMON_STATUS_UNSUPPORTED;
    return vcpu >= self().vcpus ? SEVMON_STATUS_NO_VCPU : SEVMON_STATUS_OK;
  }
  static unsigned boot_record(const sevmon_target*, sevmon_boot_record* record) {
    record->kernel.bytes = 1234;
    record->origin = SEVMON_ORIGIN_PV;
    return SEVMON_STATUS_OK;
  }
  static void status(const sevmon_target*, sevmon_status* status) {
    status->host = SEVMON_HOST_TEST;
    status->key_source = SEVMON_KEY_FILE;
    status->target_vcpus = self().vcpus;
    status->c_bit_mask = self().c_bit_mask;
    std::memcpy(status->host_version, "fake", 4);
  }

  static bool pause(sevmon_target*, std::uint64_t until_ns) {
    if (self().paused) return false;
    self().now_ns += self().pause_takes_ns;
    if (!self().can_pause || self().now_ns >= until_ns) return false;
    ++self().pauses;
    self().paused = true;
    return true;
  }
  static void resume(sevmon_target*) { self().paused = false; }
  static void wake(std::uint64_t at_ns) {
    if (!self().wake_at || at_ns < self().wake_at) self().wake_at = at_ns;
  }

  static std::uint64_t time_ns() { return self().now_ns += self().tick_ns; }

  static int random(void* bytes, size_t count) {
    if (self().random_fails) return -EIO;
    const std::lock_guard lock{self().random_mutex_};
    auto* out = static_cast<std::uint8_t*>(bytes);
    for (size_t i = 0; i < count; ++i) {
      if (self().script_at_ < self().scripted_random.size())
        out[i] = self().scripted_random[self().script_at_++];
      else
        out[i] = static_cast<std::uint8_t>(self().generator_());
    }
    return 0;
  }

  static inline FakeHost* active_ = nullptr;
  static inline const sevmon_host table_ = {
      .target_get = target_get,
      .target_put = target_put,
      .vcpu_root = vcpu_root,
      .frame_map = frame_map,
      .frame_unmap = frame_unmap,
      .vcpu_state = vcpu_state,
      .trap_table = trap_table,
      .boot_record = boot_record,
      .status = status,
      .pause = pause,
      .resume = resume,
      .wake = wake,
      .time_ns = time_ns,
      .allocate = [](std::size_t bytes) { return std::calloc(1, bytes); },
      .release = std::free,
      .random = random,
      .sha256 = sha256,
      .sha256_begin = sha256_begin,
      .sha256_add = sha256_add,
      .sha256_end = sha256_end,
  };
  static inline const sevmon_host timeless_ = [] {
    auto table = table_;
    table.wake = nullptr;
    return table;
  }();

  std::mutex random_mutex_;
  std::size_t script_at_ = 0;
  std::mt19937_64 generator_{20240229};  // not a secret: tests repeat
};

struct TestKey {
  Id ids_id;
  Key psk;
};

inline constexpr Id kAgentId{0xa9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// The n-th of the ids and keys that tests use.
inline TestKey test_key(std::uint8_t n = 0) {
  TestKey key{};
  key.ids_id.fill(static_cast<std::uint8_t>(0x10 + n));
  key.psk.fill(static_cast<std::uint8_t>(0x50 + n));
  return key;
}

inline Bytes key_file(const std::vector<TestKey>& keys, const Id& agent_id = kAgentId) {
  sevmon_key_head head{};
  std::memcpy(head.magic, SEVMON_KEY_MAGIC, sizeof(head.magic));
  head.version = 1;
  head.count = static_cast<std::uint16_t>(keys.size());
  std::ranges::copy(agent_id, head.agent_id);
  auto file = bytes_of(head);
  for (const auto& key : keys) {
    file.insert(file.end(), key.ids_id.begin(), key.ids_id.end());
    file.insert(file.end(), key.psk.begin(), key.psk.end());
  }
  return file;
}

/// An agent over a FakeHost, and a CPU's work memory.
class FakeAgent {
 public:
  struct Answer {
    int rc = 0;  // the answer's size, or -errno
    Bytes frame;
  };

  explicit FakeAgent(const FakeHost& host, const std::vector<TestKey>& keys = {test_key()})
      : agent_{std::make_unique<sevmon_agent>()}, work_{std::make_unique<sevmon_work>()} {
    const auto file = key_file(keys);
    if (sevmon_agent_start(agent_.get(), host.table(), file.data(), file.size()))
      throw std::runtime_error{"the agent does not start"};
  }
  ~FakeAgent() { sevmon_agent_end(agent_.get()); }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  /// Hand in one frame as a hypercall would. Any size up to the buffer's, and over it by its size.
  Answer frame(ByteView in) { return frame(in, *work_); }

  /// The same from another CPU.
  Answer frame(ByteView in, sevmon_work& work) {
    std::copy_n(in.begin(), std::min<std::size_t>(in.size(), SEVMON_REQUEST_FRAME_BYTES),
                sevmon_work_in(&work));
    return taken(sevmon_agent_frame(agent_.get(), &work, in.size()), work);
  }

  /// Go on with the run that a token names.
  Answer go_on(std::uint32_t token) { return go_on(token, *work_); }
  Answer go_on(std::uint32_t token, sevmon_work& work) {
    return taken(sevmon_agent_continue(agent_.get(), &work, token), work);
  }

  /// Time has come: to the host's clock what wake() was told, and a tick.
  void tick(FakeHost& host) {
    const std::uint64_t at = host.wake_at.exchange(0);
    if (host.now_ns < at) host.now_ns = at;
    sevmon_agent_tick(agent_.get());
  }

  std::uint64_t count(unsigned counter) const { return agent_->counter[counter]; }
  sevmon_agent& state() { return *agent_; }
  sevmon_work& work() { return *work_; }

 private:
  static Answer taken(int rc, const sevmon_work& work) {
    Answer answer{.rc = rc, .frame = {}};
    if (rc > 0) answer.frame.assign(sevmon_work_out(&work), sevmon_work_out(&work) + rc);
    return answer;
  }

  std::unique_ptr<sevmon_agent> agent_;
  std::unique_ptr<sevmon_work> work_;
};

}  // namespace sevmon::tests
