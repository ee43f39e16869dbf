// SPDX-License-Identifier: Apache-2.0
#include "image/image_transport.hpp"

#include <sys/random.h>

#include <cstring>
#include <deque>

#include "envelope.hpp"
#include "image/image_agent.hpp"

#include <sevmon/wire.h>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

class ImageTransport : public ids::FrameTransport {
 public:
  ImageTransport(std::unique_ptr<ImageAgent> agent, std::string path)
      : agent_{std::move(agent)}, path_{std::move(path)}, answer_(SEVMON_MAX_FRAME_BYTES) {}

  Result<void> send(std::span<const std::byte> frame, std::uint32_t tag, Deadline) override {
    const int result = agent_->frame(frame, answer_);
    ids::Delivery delivery{.tag = tag, .notice = 0, .frame = {}};
    if (result < 0)
      delivery.notice = notice_for(-result);
    else
      delivery.frame.assign(answer_.begin(), answer_.begin() + result);
    deliveries_.push_back(std::move(delivery));
    return {};
  }

  // Every answer is there when send() returns: what is not there now will not come.
  Result<ids::Delivery> receive(Deadline) override {
    if (deliveries_.empty()) return Error{ErrorCode::kTimeout, "nothing was asked of " + path_};
    ids::Delivery delivery = std::move(deliveries_.front());
    deliveries_.pop_front();
    return delivery;
  }

  std::string describe() const override { return "image:" + path_; }

 private:
  const std::unique_ptr<ImageAgent> agent_;
  const std::string path_;
  std::vector<std::byte> answer_;
  std::deque<ids::Delivery> deliveries_;
};

Result<std::vector<std::byte>> draw_key_file() {
  struct {
    sevmon_key_head head;
    sevmon_key_entry entry;
  } file{};
  std::memcpy(file.head.magic, SEVMON_KEY_MAGIC, sizeof(file.head.magic));
  file.head.version = 1;
  file.head.count = 1;
  // Both are far below the 256 bytes that getrandom() gives in one piece.
  if (getrandom(file.head.agent_id, sizeof(file.head.agent_id), 0) != sizeof(file.head.agent_id) ||
      getrandom(&file.entry, sizeof(file.entry), 0) != sizeof(file.entry))
    return Error{ErrorCode::kIo, "getrandom failed"};
  const auto bytes = std::as_bytes(std::span{&file, 1});
  std::vector<std::byte> key_file{bytes.begin(), bytes.end()};
  explicit_bzero(&file, sizeof(file));
  return key_file;
}

}  // namespace

Result<ImageConnection> connect_image(const std::string& path, ImageFormat format,
                                      const ImageOpened& opened) {
  auto key_file = draw_key_file();
  if (!key_file) return key_file.error();
  auto agent = ImageAgent::open(path, *key_file, format, opened);
  if (!agent) {
    explicit_bzero(key_file->data(), key_file->size());
    return agent.error();
  }
  return ImageConnection{
      .transport = std::make_unique<ImageTransport>(*std::move(agent), path),
      .key_file = *std::move(key_file),
  };
}

}  // namespace sevmon::proxy
