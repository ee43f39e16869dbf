// SPDX-License-Identifier: Apache-2.0
#include "image_backend.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/thread_pool.hpp>
#include <cstring>
#include <string>

#include "asio.hpp"
#include "image/image_agent.hpp"
#include "image/lane_server.hpp"

#include <sevmon/wire.h>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct KeyFile {
  KeyFile() = default;
  KeyFile(const KeyFile&) = default;
  KeyFile& operator=(const KeyFile&) = delete;
  ~KeyFile() { explicit_bzero(bytes.data(), bytes.size()); }
  std::array<std::byte, SEVMON_KEY_FILE_MAX_BYTES + 1> bytes{};
  std::size_t size = 0;
};

Result<KeyFile> read_key_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0) return Error{ErrorCode::kIo, path + ": " + std::strerror(errno)};
  struct stat status;
  const bool known = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  KeyFile file;
  const ssize_t got = known ? ::read(fd, file.bytes.data(), file.bytes.size()) : -1;
  ::close(fd);
  if (got < 0) return Error{ErrorCode::kIo, path + ": cannot be read"};
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return Error{ErrorCode::kKey, path + ": belongs to another user"};
  if (status.st_mode & 077)
    return Error{ErrorCode::kKey, path + ": others may read or write it (chmod 600)"};
  if (static_cast<std::size_t>(got) > SEVMON_KEY_FILE_MAX_BYTES)
    return Error{ErrorCode::kKey, path + ": too large for a key file"};
  file.size = static_cast<std::size_t>(got);
  return file;
}

// The memory of a call has room for the largest answer: it is kept for answers that fill it. Of
// others a copy waits to be sent, so that what waits occupies about what it is counted as.
constexpr std::size_t kMostCopied = SEVMON_MAX_FRAME_BYTES / 2;

class ImageBackend : public Backend {
 public:
  ImageBackend(std::unique_ptr<ImageAgent> agent, std::unique_ptr<LaneServer> lanes,
               std::size_t threads)
      : agent_{std::move(agent)}, lanes_{std::move(lanes)}, pool_{threads} {}
  ~ImageBackend() override {
    pool_.stop();
    pool_.join();
  }

  Submission submit(std::span<const std::byte> frame) override {
    auto call = agent_->start(frame);
    if (call.result != -ERESTART) return {.now = to_answer(call), .later = {}};
    return {.now = {}, .later = finish(std::move(call))};
  }

  // What is under way ends soon, and somebody waits for it: left undone, they would for ever.
  void stop() override {}
  std::string describe() const override {
    return agent_->describe() + (lanes_ ? ", " + lanes_->describe() : "");
  }

 private:
  asio::awaitable<BackendAnswer> finish(ImageAgent::Call call) {
    // Comes back to the waiter's executor by itself.
    co_return co_await asio::co_spawn(pool_, run(std::move(call)), asio::use_awaitable);
  }
  asio::awaitable<BackendAnswer> run(ImageAgent::Call call) {
    agent_->finish(call);
    co_return to_answer(call);
  }

  static BackendAnswer to_answer(const ImageAgent::Call& call) {
    if (call.result < 0) return {.error = -call.result, .frame = {}};
    const auto bytes = call.answer();
    if (bytes.size() > kMostCopied) return {.error = 0, .frame = {bytes, call.work}};
    return {.error = 0, .frame = std::vector<std::byte>{bytes.begin(), bytes.end()}};
  }

  const std::unique_ptr<ImageAgent> agent_;
  const std::unique_ptr<LaneServer> lanes_;  // or none
  asio::thread_pool pool_;
};

}  // namespace

Result<std::shared_ptr<Backend>> make_image_backend(const Settings& settings) {
  const auto format = parse_image_format(settings.image_format);
  if (!format)
    return Error{ErrorCode::kUsage, "image format '" + settings.image_format + "' is not known"};
  const auto key = read_key_file(settings.image_key_file);
  if (!key) return key.error();
  auto agent =
      ImageAgent::open(settings.image_file, std::span{key->bytes}.first(key->size), *format);
  if (!agent) return agent.error();
  std::unique_ptr<LaneServer> lanes;
  if (!settings.image_lanes.empty()) {
    auto started = LaneServer::start(**agent, settings.image_lanes);
    if (!started) return started.error();
    lanes = *std::move(started);
  }
  return std::shared_ptr<Backend>{
      std::make_shared<ImageBackend>(*std::move(agent), std::move(lanes), settings.image_threads)};
}

}  // namespace sevmon::proxy
