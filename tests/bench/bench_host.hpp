// SPDX-License-Identifier: Apache-2.0
//
// A host for the agent core over one large piece of memory. tests/support/fake_host.hpp looks
// frames up in a map and counts what is held; here nothing may cost more than it does in Xen.
#pragma once

#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>

#include <sevmon/random.hpp>

#include "agent-state.h"
#include "support/openssl_sha256.hpp"

namespace sevmon::bench {

inline constexpr std::size_t kPageBytes = SEVMON_PAGE_BYTES;
inline constexpr std::size_t kBatchPages = 15;
inline constexpr std::size_t kLargePages = 512;  // of 4 KiB, in one of 2 MiB

/// Random bytes, and the page tables that map them: all of them from kBase on, once in pages of
/// 4 KiB and once in pages of 2 MiB.
class GuestMemory {
 public:
  static constexpr std::uint64_t kFirstFrame = 0x100000;  // at 4 GiB; a multiple of 2 MiB
  static constexpr std::uint64_t kBase = 0xffff888000000000;

  explicit GuestMemory(std::size_t batches)
      : batches_{batches},
        data_frames_{(batches * kBatchPages + kLargePages - 1) / kLargePages * kLargePages} {
    // One table for every 512 data frames, and three above it; for large pages three in all.
    frames_ = data_frames_ + data_frames_ / kLargePages + 8;
    void* const at = mmap(nullptr, frames_ * kPageBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc{};
    bytes_ = static_cast<std::uint8_t*>(at);
    // Xen sees memory through large pages too. A wish; not every kernel grants it.
    madvise(bytes_, frames_ * kPageBytes, MADV_HUGEPAGE);
    fill();
    root_4k_ = map_all(1);
    root_2m_ = map_all(2);
  }
  ~GuestMemory() { munmap(bytes_, frames_ * kPageBytes); }
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  std::size_t batches() const { return batches_; }
  std::size_t pages() const { return batches_ * kBatchPages; }
  std::uint64_t root_4k() const { return root_4k_; }
  std::uint64_t root_2m() const { return root_2m_; }
  const std::uint8_t* page(std::size_t index) const { return bytes_ + index * kPageBytes; }

  /// nullptr beyond the end.
  const std::uint8_t* frame(std::uint64_t frame) const {
    const auto index = frame - kFirstFrame;
    return index < frames_ ? bytes_ + index * kPageBytes : nullptr;
  }

 private:
  void fill() {
    std::mt19937_64 generator{1};
    auto* const words = reinterpret_cast<std::uint64_t*>(bytes_);
    for (std::size_t i = 0; i < data_frames_ * kPageBytes / 8; ++i) words[i] = generator();
  }

  std::uint64_t* table(std::uint64_t frame) {
    return reinterpret_cast<std::uint64_t*>(bytes_ + (frame - kFirstFrame) * kPageBytes);
  }
  std::uint64_t add_table() { return kFirstFrame + data_frames_ + tables_++; }

  /// Returns the root of new tables with leaves at `leaf_level`.
  std::uint64_t map_all(unsigned leaf_level) {
    const auto root = add_table();
    const std::size_t step = leaf_level == 2 ? kLargePages : 1;
    for (std::size_t i = 0; i < data_frames_; i += step) {
      const auto gva = kBase + i * kPageBytes;
      auto at = root;
      for (unsigned level = 4; level > leaf_level; --level) {
        auto& entry = table(at)[gva >> (12 + 9 * (level - 1)) & 511];
        if (!entry) entry = add_table() << 12 | 3;
        at = entry >> 12;
      }
      table(at)[gva >> (12 + 9 * (leaf_level - 1)) & 511] =
          (kFirstFrame + i) << 12 | 3 | (leaf_level == 2 ? 0x80 : 0);
    }
    return root;
  }

  std::size_t batches_, data_frames_, frames_ = 0, tables_ = 0;
  std::uint8_t* bytes_ = nullptr;
  std::uint64_t root_4k_ = 0, root_2m_ = 0;
};

/// The table of functions, over one GuestMemory at a time: the core passes no context.
class BenchHost {
 public:
  explicit BenchHost(const GuestMemory& memory) { memory_ = &memory; }
  ~BenchHost() { memory_ = nullptr; }
  BenchHost(const BenchHost&) = delete;
  BenchHost& operator=(const BenchHost&) = delete;

  const sevmon_host* table() const { return &table_; }
  /// Let time pass for the agent: tokens of its rate limit come back.
  void advance_ns(std::uint64_t ns) { skipped_ns_ += ns; }

 private:
  static unsigned target_get(std::uint16_t, sevmon_target* target) {
    *target = {};
    target->kind = SEVMON_TARGET_HVM;
    return SEVMON_ANSWER_OK;
  }
  static void target_put(sevmon_target*) {}
  static unsigned vcpu_root(const sevmon_target*, unsigned, std::uint64_t* frame,
                            unsigned* levels) {
    *frame = memory_->root_4k();
    *levels = 4;
    return SEVMON_ANSWER_OK;
  }
  static unsigned frame_map(const sevmon_target*, std::uint64_t frame, sevmon_frame* out) {
    const auto* bytes = memory_->frame(frame);
    if (!bytes) return SEVMON_STATUS_NO_FRAME;
    *out = {.bytes = bytes, .cookie = nullptr};
    return SEVMON_STATUS_OK;
  }
  static void frame_unmap(sevmon_frame* frame) { frame->bytes = nullptr; }
  static unsigned vcpu_state(const sevmon_target*, unsigned, sevmon_vcpu_state*) {
    return SEVMON_STATUS_UNSUPPORTED;
  }
  static unsigned trap_table(const sevmon_target*, unsigned, sevmon_trap*) {
    return SEVMON_STATUS_UNSUPPORTED;
  }
  static unsigned boot_record(const sevmon_target*, sevmon_boot_record*) {
    return SEVMON_STATUS_UNSUPPORTED;
  }
  static void status(const sevmon_target*, sevmon_status*) {}
  static std::uint64_t time_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) + skipped_ns_;
  }
  static int random(void* bytes, size_t count) {
    auto* const out = static_cast<std::uint8_t*>(bytes);
    if (count != sizeof(common::MessageRandom::Bytes)) return draw({out, count}) ? 0 : -EIO;
    // As dom0-proxy's image backend does.
    static common::MessageRandom message_random{draw};
    const auto drawn = message_random.draw();
    if (drawn) std::ranges::copy(*drawn, out);
    return drawn ? 0 : -EIO;
  }
  static bool draw(std::span<std::uint8_t> out) {
    return getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size());
  }

  static inline const GuestMemory* memory_ = nullptr;
  static inline std::uint64_t skipped_ns_ = 0;
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
      .pause = [](sevmon_target*, std::uint64_t) { return true; },
      .resume = [](sevmon_target*) {},
      .wake = nullptr,
      .time_ns = time_ns,
      .allocate = [](std::size_t bytes) { return std::calloc(1, bytes); },
      .release = std::free,
      .random = random,
      .sha256 = tests::sha256,
      .sha256_begin = tests::sha256_begin,
      .sha256_add = tests::sha256_add,
      .sha256_end = tests::sha256_end,
  };
};

}  // namespace sevmon::bench
