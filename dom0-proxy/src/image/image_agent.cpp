// SPDX-License-Identifier: Apache-2.0
#include "image/image_agent.hpp"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "image/image_host.hpp"

extern "C" {
#include "agent-state.h"
#include "lane.h"
}

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// The agent says busy also when another thread holds a session's lock for a moment, and has then
// not looked at the frame.
constexpr int kBusyRetries = 4;

Result<void> check_machine() {
  if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("pclmul") ||
      !__builtin_cpu_supports("sse4.1"))
    return Error{ErrorCode::kUnsupported, "this CPU lacks AES-NI, PCLMULQDQ or SSE4.1"};
  static const char* const failed = sevmon_agent_selftest(&image_host());
  if (failed) return Error{ErrorCode::kInternal, std::string{"self-test failed: "} + failed};
  return {};
}

}  // namespace

/// As many as there ever were calls at once. Each goes back when its answer has been sent, which
/// may be after the agent is gone.
struct ImageAgent::SpareWork {
  std::mutex mutex;
  std::vector<std::unique_ptr<sevmon_work>> works;

  static std::shared_ptr<sevmon_work> take(const std::shared_ptr<SpareWork>& from) {
    const auto give_back = [from](sevmon_work* work) {
      std::unique_ptr<sevmon_work> mine{work};
      const std::lock_guard lock{from->mutex};
      from->works.push_back(std::move(mine));
    };
    const std::lock_guard lock{from->mutex};
    if (from->works.empty()) return {new sevmon_work{}, give_back};
    std::shared_ptr<sevmon_work> work{from->works.back().release(), give_back};
    from->works.pop_back();
    return work;
  }
};

struct ImageAgent::Impl {
  Impl(MemoryImage opened, std::string its_path)
      : image{std::move(opened)}, path{std::move(its_path)} {}
  ~Impl() { sevmon_agent_end(&agent); }

  const MemoryImage image;
  const std::string path;
  sevmon_agent agent{};
  const std::shared_ptr<SpareWork> spare = std::make_shared<SpareWork>();
};

ImageAgent::ImageAgent(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
ImageAgent::~ImageAgent() = default;

Result<std::unique_ptr<ImageAgent>> ImageAgent::open(const std::string& path,
                                                     std::span<const std::byte> key_file,
                                                     ImageFormat format,
                                                     const ImageOpened& opened) {
  if (auto able = check_machine(); !able) return able.error();
  auto image = MemoryImage::open(path, format, opened);
  if (!image) return image.error();
  auto impl = std::make_unique<Impl>(*std::move(image), path);
  const int error =
      sevmon_agent_start(&impl->agent, &image_host(), key_file.data(), key_file.size());
  if (error == -EINVAL) return Error{ErrorCode::kKey, "no agent's key file"};
  if (error) return Error{ErrorCode::kInternal, std::string{"agent: "} + std::strerror(-error)};
  return std::unique_ptr<ImageAgent>{new ImageAgent{std::move(impl)}};
}

int ImageAgent::frame(std::span<const std::byte> in, std::span<std::byte> out) {
  if (out.size() < SEVMON_MAX_FRAME_BYTES) return -EINVAL;
  auto call = start(in);
  finish(call);
  if (const auto answer = call.answer(); !answer.empty())
    std::memcpy(out.data(), answer.data(), answer.size());
  return call.result;
}

std::span<const std::byte> ImageAgent::Call::answer() const {
  if (result <= 0) return {};  // there may be no work at all
  return std::as_bytes(std::span{sevmon_work_out(work.get()), static_cast<std::size_t>(result)});
}

ImageAgent::Call ImageAgent::start(std::span<const std::byte> in) {
  if (in.size() < sizeof(sevmon_header) || in.size() > SEVMON_REQUEST_FRAME_BYTES)
    return {.result = -EINVAL};
  Call call{.result = -EBUSY, .work = SpareWork::take(impl_->spare)};
  const ServingImage serving{impl_->image};
  for (int attempt = 0; call.result == -EBUSY && attempt <= kBusyRetries; ++attempt) {
    std::memcpy(sevmon_work_in(call.work.get()), in.data(), in.size());
    call.result = sevmon_agent_frame(&impl_->agent, call.work.get(), in.size());
  }
  return call;
}

void ImageAgent::finish(Call& call) {
  const ServingImage serving{impl_->image};
  while (call.result == -ERESTART)
    call.result =
        sevmon_agent_continue(&impl_->agent, call.work.get(), sevmon_work_token(call.work.get()));
}

ImageAgent::LaneState ImageAgent::poll(sevmon_lane& lane) {
  const auto work = SpareWork::take(impl_->spare);
  const ServingImage serving{impl_->image};
  const auto state = sevmon_lane_poll(&impl_->agent, &lane, work.get());
  switch (state) {
    case SEVMON_LANE_ANSWERED:
      return LaneState::kAnswered;
    case SEVMON_LANE_RUNNING:
      return LaneState::kRunning;
    case SEVMON_LANE_BLOCKED:
      return LaneState::kBlocked;
    default:
      return LaneState::kNothing;
  }
}

std::string ImageAgent::describe() const {
  const ImageLayout& layout = impl_->image.layout();
  return std::string{layout.format} + " image " + impl_->path + ", " +
         std::to_string(layout.vcpus.size()) + " vCPUs";
}

}  // namespace sevmon::proxy
