// SPDX-License-Identifier: Apache-2.0
//
// A file of lanes without a name in any folder, and the agent's view of it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <sevmon/shm.h>
#include <sevmon/wire.h>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "support/bytes.hpp"

namespace sevmon::tests {

class ShmFile {
 public:
  explicit ShmFile(std::size_t bytes = SEVMON_LANE_BYTES)
      : fd_{memfd_create("lanes", MFD_CLOEXEC)}, bytes_{bytes} {
    if (fd_ < 0) throw std::runtime_error{"memfd_create"};
    cut(bytes);
    if (bytes == 0) return;
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) throw std::runtime_error{"mmap"};
    memory_ = static_cast<std::uint8_t*>(memory);
  }
  ~ShmFile() {
    if (memory_) munmap(memory_, bytes_);
    close(fd_);
  }
  ShmFile(const ShmFile&) = delete;
  ShmFile& operator=(const ShmFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  /// Whoever has pages beyond that mapped gets a signal when he looks.
  void cut(std::size_t bytes) {
    if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) throw std::runtime_error{"ftruncate"};
  }

  std::uint8_t* lane(unsigned number = 0) {
    return memory_ + std::size_t{number} * SEVMON_LANE_BYTES;
  }
  sevmon_shm_agent& agent(unsigned number = 0) {
    return *reinterpret_cast<sevmon_shm_agent*>(lane(number));
  }
  sevmon_shm_ids& ids(unsigned number = 0) {
    return *reinterpret_cast<sevmon_shm_ids*>(lane(number) + SEVMON_SHM_IDS_OFFSET);
  }

  /// Say what an agent says at its start, in every lane.
  void announce(unsigned lanes) {
    for (unsigned i = 0; i < lanes; ++i) {
      agent(i) = {};
      agent(i).magic = SEVMON_SHM_MAGIC;
      agent(i).version = SEVMON_SHM_VERSION;
      agent(i).lanes = lanes;
    }
  }

  /// Answer, in the first lane, as an agent may or may not: any bytes.
  void put(ByteView bytes) {
    auto tail = agent().response_tail;
    for (const auto byte : bytes)
      lane()[SEVMON_SHM_RESPONSE_OFFSET + tail++ % SEVMON_SHM_RESPONSE_BYTES] = byte;
    std::atomic_ref{agent().response_tail} = tail;
  }

 private:
  const int fd_;
  const std::size_t bytes_;
  std::uint8_t* memory_ = nullptr;
};

}  // namespace sevmon::tests
