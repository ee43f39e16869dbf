// SPDX-License-Identifier: Apache-2.0
#include "channel/shm_lane.hpp"

#include <emmintrin.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sevmon/text.hpp>

#include "channel/page_guard.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Error system_error(ErrorCode code, const std::string& path) {
  return {code, "shm:" + escape(path) + ": " + std::strerror(errno)};
}

off_t offset_of(unsigned number) {
  return static_cast<off_t>(number) * SEVMON_LANE_BYTES;
}

void* map(int fd, unsigned number, std::size_t bytes) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset_of(number));
}

/// The one or two pieces of a ring that `bytes` from `index` on lie in.
struct Pieces {
  Pieces(std::uint32_t index, std::size_t bytes, std::uint32_t ring_bytes)
      : at{index & (ring_bytes - 1)}, first{std::min<std::size_t>(bytes, ring_bytes - at)} {}
  std::uint32_t at;
  std::size_t first;
};

}  // namespace

Result<std::shared_ptr<ShmLane>> ShmLane::open(const std::string& path) {
  // O_NONBLOCK: a FIFO shall be refused, not waited for.
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return system_error(ErrorCode::kIo, path);
  std::shared_ptr<ShmLane> lane{new ShmLane{path, fd}};
  if (auto taken = lane->take(); !taken) return taken.error();
  return lane;
}

Result<void> ShmLane::take() {
  struct stat status;
  if (fstat(fd_, &status) != 0) return system_error(ErrorCode::kIo, path_);
  const auto name = "shm:" + escape(path_);
  if (!S_ISREG(status.st_mode))
    return Error{ErrorCode::kUnsupported,
                 name + ": neither a file nor a device's resource2, which Linux shows as one"};
  if (status.st_size < SEVMON_LANE_BYTES)
    return Error{ErrorCode::kTruncated, name + ": " + std::to_string(status.st_size) +
                                            " bytes, and a lane has " +
                                            std::to_string(SEVMON_LANE_BYTES)};
  const auto there = static_cast<unsigned>(
      std::min<off_t>(status.st_size / SEVMON_LANE_BYTES, SEVMON_SHM_MAX_LANES));
  const auto lanes = lanes_served(there);
  for (number_ = 0; number_ < lanes; ++number_) {
    const auto locked = lock(number_);
    if (!locked) return locked.error();
    if (!*locked) continue;
    void* const memory = map(fd_, number_, SEVMON_LANE_BYTES);
    if (memory == MAP_FAILED) return system_error(ErrorCode::kIo, path_);
    memory_ = static_cast<std::byte*>(memory);
    // Waits are of some microseconds, to which Linux otherwise adds fifty.
    prctl(PR_SET_TIMERSLACK, 1000);
    guard_ = guard_pages(memory_, SEVMON_LANE_BYTES);
    if (!guard_) return Error{ErrorCode::kInternal, name + ": too many lanes in this process"};
    return {};
  }
  return Error{ErrorCode::kConnect, name + ": other clients have all of its lanes (" +
                                        std::to_string(lanes) + "); try again when one has ended"};
}

/// One byte, by an open file's lock: it goes with the file, however its owner ends.
Result<bool> ShmLane::lock(unsigned number) const {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset_of(number);
  lock.l_len = 1;
  if (fcntl(fd_, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return system_error(ErrorCode::kIo, path_);
}

/// As the first lane says, if it says anything: fewer than there is room for.
unsigned ShmLane::lanes_served(unsigned lanes) const {
  void* const page = map(fd_, 0, SEVMON_SHM_CONTROL_BYTES);
  if (page == MAP_FAILED) return lanes;
  const auto guard = guard_pages(page, SEVMON_SHM_CONTROL_BYTES);
  sevmon_shm_agent line{};
  if (guard) std::memcpy(&line, page, sizeof(line));
  if (guard) unguard_pages(*guard);
  munmap(page, SEVMON_SHM_CONTROL_BYTES);
  const bool is_said = line.magic == SEVMON_SHM_MAGIC && line.lanes > 0;
  return is_said ? std::min(lanes, line.lanes) : lanes;
}

ShmLane::~ShmLane() {
  if (guard_) unguard_pages(*guard_);
  if (memory_ != nullptr) munmap(memory_, SEVMON_LANE_BYTES);
  close(fd_);
}

std::uint32_t ShmLane::load(std::uint32_t& number) {
  const auto value = std::atomic_ref{number}.load(std::memory_order_acquire);
  _mm_mfence();
  return value;
}

void ShmLane::store(std::uint32_t& number, std::uint32_t value) {
  _mm_mfence();
  std::atomic_ref{number}.store(value, std::memory_order_release);
}

std::uint64_t ShmLane::magic() const {
  const auto magic = std::atomic_ref{agent().magic}.load(std::memory_order_acquire);
  _mm_mfence();
  return magic;
}

sevmon_shm_agent& ShmLane::agent() const {
  return *reinterpret_cast<sevmon_shm_agent*>(memory_ + SEVMON_SHM_AGENT_OFFSET);
}

sevmon_shm_ids& ShmLane::ids() const {
  return *reinterpret_cast<sevmon_shm_ids*>(memory_ + SEVMON_SHM_IDS_OFFSET);
}

void ShmLane::copy_out(std::uint32_t index, std::span<std::byte> to) const {
  if (to.empty()) return;  // a notice's frame is nowhere, which memcpy() forbids
  const std::byte* const ring = memory_ + SEVMON_SHM_RESPONSE_OFFSET;
  const Pieces pieces{index, to.size(), SEVMON_SHM_RESPONSE_BYTES};
  std::memcpy(to.data(), ring + pieces.at, pieces.first);
  std::memcpy(to.data() + pieces.first, ring, to.size() - pieces.first);
  // Or the compiler could use the shared bytes a second time in place of this copy.
  __asm__ volatile("" : : "r"(to.data()) : "memory");
}

void ShmLane::copy_in(std::uint32_t index, std::span<const std::byte> from) {
  std::byte* const ring = memory_ + SEVMON_SHM_REQUEST_OFFSET;
  const Pieces pieces{index, from.size(), SEVMON_SHM_REQUEST_BYTES};
  std::memcpy(ring + pieces.at, from.data(), pieces.first);
  std::memcpy(ring, from.data() + pieces.first, from.size() - pieces.first);
}

bool ShmLane::is_truncated() const {
  struct stat status;
  return fstat(fd_, &status) == 0 && status.st_size < offset_of(number_ + 1);
}

}  // namespace sevmon::ids
