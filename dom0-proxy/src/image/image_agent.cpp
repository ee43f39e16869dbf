// SPDX-License-Identifier: Apache-2.0
#include "image/image_agent.hpp"

#include <errno.h>

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

struct ImageAgent::Impl {
  Impl(MemoryImage opened, std::string its_path)
      : image{std::move(opened)}, path{std::move(its_path)} {}
  ~Impl() { sevmon_agent_end(&agent); }

  using Work = std::unique_ptr<sevmon_work>;
  Work take_work() {
    const std::lock_guard lock{mutex};
    if (spare.empty()) return std::make_unique<sevmon_work>();
    Work work = std::move(spare.back());
    spare.pop_back();
    return work;
  }
  void give_back(Work work) {
    const std::lock_guard lock{mutex};
    spare.push_back(std::move(work));
  }

  const MemoryImage image;
  const std::string path;
  sevmon_agent agent{};
  std::mutex mutex;
  std::vector<Work> spare;  // as many as there ever were calls at once
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
  if (in.size() < sizeof(sevmon_header) || in.size() > SEVMON_REQUEST_FRAME_BYTES ||
      out.size() < SEVMON_MAX_FRAME_BYTES)
    return -EINVAL;
  auto work = impl_->take_work();
  const ServingImage serving{impl_->image};
  int result = -EBUSY;
  for (int attempt = 0; result == -EBUSY && attempt <= kBusyRetries; ++attempt) {
    std::memcpy(sevmon_work_in(work.get()), in.data(), in.size());
    result = sevmon_agent_frame(&impl_->agent, work.get(), in.size());
  }
  while (result == -ERESTART)
    result = sevmon_agent_continue(&impl_->agent, work.get(), sevmon_work_token(work.get()));
  if (result >= 0)
    std::memcpy(out.data(), sevmon_work_out(work.get()), static_cast<std::size_t>(result));
  impl_->give_back(std::move(work));
  return result;
}

ImageAgent::LaneState ImageAgent::poll(sevmon_lane& lane) {
  auto work = impl_->take_work();
  const ServingImage serving{impl_->image};
  const auto state = sevmon_lane_poll(&impl_->agent, &lane, work.get());
  impl_->give_back(std::move(work));
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
