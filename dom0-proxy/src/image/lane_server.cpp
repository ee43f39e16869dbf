// SPDX-License-Identifier: Apache-2.0
#include "image/lane_server.hpp"

#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

constexpr unsigned kNewLanes = 4;
constexpr microseconds kSpin{100}, kFirstSleep{20};
// Between two looks: with a client, without any.
constexpr microseconds kClientSleep{250}, kLongestSleep{1000};

Error system_error(const std::string& path) {
  return {ErrorCode::kIo, path + ": " + std::strerror(errno)};
}

/// The second byte: clients lock each lane's first.
bool lock(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 1;
  lock.l_len = 1;
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

}  // namespace

Result<std::unique_ptr<LaneServer>> LaneServer::start(ImageAgent& agent, const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(path);
  std::unique_ptr<LaneServer> server{new LaneServer{agent, path, fd}};
  if (auto mapped = server->map(); !mapped) return mapped.error();
  server->thread_ = std::thread{[&server = *server] { server.run(); }};
  return server;
}

Result<void> LaneServer::map() {
  struct stat status;
  if (::fstat(fd_, &status)) return system_error(path_);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kUnsupported, path_ + ": no regular file"};
  if (!lock(fd_)) return Error{ErrorCode::kRefused, path_ + ": another process serves it"};
  if (status.st_size == 0) {
    status.st_size = kNewLanes * SEVMON_LANE_BYTES;
    if (::ftruncate(fd_, status.st_size)) return system_error(path_);
  }
  const auto lanes = static_cast<unsigned>(
      std::min<off_t>(status.st_size / SEVMON_LANE_BYTES, SEVMON_SHM_MAX_LANES));
  if (lanes == 0) return Error{ErrorCode::kTruncated, path_ + ": no room for a lane of 1 MiB"};
  const std::size_t bytes = std::size_t{lanes} * SEVMON_LANE_BYTES;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (memory == MAP_FAILED) return system_error(path_);
  memory_ = static_cast<std::uint8_t*>(memory);
  bytes_ = bytes;
  lanes_.resize(lanes);
  // Backwards: a client asks the first how many there are.
  for (unsigned i = lanes; i-- > 0;)
    sevmon_lane_init(&lanes_[i], memory_ + std::size_t{i} * SEVMON_LANE_BYTES, lanes);
  return {};
}

LaneServer::~LaneServer() {
  is_over_ = true;
  if (thread_.joinable()) thread_.join();
  for (auto& lane : lanes_) sevmon_lane_end(&lane);
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
  ::close(fd_);
}

std::string LaneServer::describe() const {
  return std::to_string(lanes_.size()) + " lanes in " + path_;
}

/// A turn for each lane. @return whether anything was done.
bool LaneServer::look() {
  bool was_due = false;
  for (auto& lane : lanes_) {
    if (!sevmon_lane_is_due(&lane)) continue;
    const auto state = agent_.poll(lane);
    was_due |=
        state == ImageAgent::LaneState::kAnswered || state == ImageAgent::LaneState::kRunning;
  }
  return was_due;
}

void LaneServer::say_poll(std::uint32_t poll_ns) {
  for (auto& lane : lanes_) sevmon_lane_set_poll(&lane, poll_ns);
}

void LaneServer::run() {
  ::prctl(PR_SET_TIMERSLACK, 1000);  // nanoseconds; to short sleeps Linux otherwise adds 50,000
  auto spin_until = Clock::now() + kSpin;
  microseconds sleep{0};
  while (!is_over_) {
    const bool was_due = look();
    if (was_due || Clock::now() < spin_until) {
      if (was_due) spin_until = Clock::now() + kSpin;
      if (was_due && sleep.count() != 0) say_poll(0);
      if (was_due) sleep = microseconds{0};
      for (int i = 0; i < 16; ++i) _mm_pause();
      continue;
    }
    const bool has_client = std::ranges::any_of(lanes_, &sevmon_lane::serves);
    const auto longer =
        std::clamp(2 * sleep, kFirstSleep, has_client ? kClientSleep : kLongestSleep);
    if (longer != sleep)
      say_poll(static_cast<std::uint32_t>(std::chrono::nanoseconds{longer}.count()));
    sleep = longer;
    std::this_thread::sleep_for(sleep);
  }
}

}  // namespace sevmon::proxy
