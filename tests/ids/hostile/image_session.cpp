// SPDX-License-Identifier: Apache-2.0
#include "image_session.hpp"

#include <errno.h>

#include <cstring>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "image/image_host.hpp"

extern "C" {
#include "agent-state.h"
}

namespace sevmon::test {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

thread_local AlteredImage* shown = nullptr;

unsigned int map_altered(const sevmon_target* target, std::uint64_t frame, sevmon_frame* out) {
  const auto status = proxy::image_host().frame_map(target, frame, out);
  if (status != SEVMON_STATUS_OK) return status;
  const std::uint8_t* const instead = shown->look(frame);
  if (instead == nullptr) return status;
  proxy::image_host().frame_unmap(out);
  out->cookie = nullptr;
  out->bytes = instead;
  return status;
}

const sevmon_host& altered_host() {
  static const sevmon_host host = [] {
    sevmon_host made = proxy::image_host();
    made.frame_map = map_altered;
    return made;
  }();
  return host;
}

struct KeyFile {
  sevmon_key_head head{};
  sevmon_key_entry entry{};
};

class Agent final : public ids::FrameTransport {
 public:
  Agent(AlteredImage& image, const KeyFile& key) : image_{image} {
    started_ = sevmon_agent_start(&agent_, &altered_host(), &key, sizeof(key)) == 0;
  }
  ~Agent() override { sevmon_agent_end(&agent_); }
  bool started() const { return started_; }

  Result<void> send(std::span<const std::byte> frame, std::uint32_t tag, Deadline) override {
    shown = &image_;
    const proxy::ServingImage serving{image_.image()};
    std::memcpy(sevmon_work_in(work_.get()), frame.data(), frame.size());
    int result = sevmon_agent_frame(&agent_, work_.get(), frame.size());
    while (result == -ERESTART)  // a program's next slice
      result = sevmon_agent_continue(&agent_, work_.get(), sevmon_work_token(work_.get()));
    if (result < 0) return Error{ErrorCode::kInternal, std::strerror(-result)};
    const auto* out = reinterpret_cast<const std::byte*>(sevmon_work_out(work_.get()));
    answers_.push_back({.tag = tag, .notice = 0, .frame = {out, out + result}});
    return {};
  }
  Result<ids::Delivery> receive(Deadline) override {
    if (answers_.empty()) return Error{ErrorCode::kTimeout, "nothing was asked"};
    auto answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }
  std::string describe() const override { return "altered image"; }

 private:
  AlteredImage& image_;
  sevmon_agent agent_{};
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
  std::deque<ids::Delivery> answers_;
  bool started_ = false;
};

}  // namespace

Result<Inputs> open_inputs(const std::string& image, const std::string& profile) {
  auto opened = proxy::MemoryImage::open(image, proxy::ImageFormat::kAuto);
  if (!opened) return opened.error();
  auto loaded = ids::Profile::load(profile);
  if (!loaded) return loaded.error();
  return Inputs{AlteredImage{*std::move(opened)}, *std::move(loaded)};
}

Result<std::unique_ptr<ids::Channel>> open_session(AlteredImage& image) {
  static const char* const failed = sevmon_agent_selftest(&altered_host());
  if (failed != nullptr) return Error{ErrorCode::kInternal, failed};
  KeyFile file;
  std::memcpy(file.head.magic, SEVMON_KEY_MAGIC, sizeof(file.head.magic));
  file.head.version = 1;
  file.head.count = 1;
  std::memset(file.head.agent_id, 0xa9, sizeof(file.head.agent_id));
  std::memset(&file.entry, 0x5e, sizeof(file.entry));
  auto agent = std::make_unique<Agent>(image, file);
  if (!agent->started()) return Error{ErrorCode::kInternal, "the agent does not start"};
  auto key = ids::Key::parse(std::as_bytes(std::span{&file, 1}));
  if (!key) return key.error();
  return ids::Channel::open(std::move(agent), std::move(*key));
}

}  // namespace sevmon::test
