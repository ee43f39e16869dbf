// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sevmon::proxy {

/// A sealed answer where it already lies: handed on, never copied.
class AnswerFrame {
 public:
  AnswerFrame() = default;
  AnswerFrame(std::vector<std::byte> bytes) {  // NOLINT: a vector is one
    if (bytes.empty()) return;
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    bytes_ = *owner;
    owner_ = std::move(owner);
  }
  /// `bytes` stay as they are for as long as `owner` lives.
  AnswerFrame(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : bytes_{bytes}, owner_{std::move(owner)} {}

  std::span<const std::byte> bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

struct BackendAnswer {
  int error = 0;      // 0, or the hypercall's errno, positive
  AnswerFrame frame;  // empty with an error
};

/// What a relay needs from an agent. All calls come from the I/O thread.
class Backend {
 public:
  virtual ~Backend() = default;

  /// The answer to a frame, or the wait for it.
  struct Submission {
    std::optional<BackendAnswer> now;
    boost::asio::awaitable<BackendAnswer> later;  // if there is none yet
  };

  /// Hand in one frame (16..1020 bytes). A backend that needs no more than some microseconds
  /// answers at once: handing a frame to another thread and back costs more than that. Any number
  /// may be under way; they finish in any order. Cancelling the wait does not call the frame back.
  virtual Submission submit(std::span<const std::byte> frame) = 0;

  /// Let go of threads and sockets; what is under way fails.
  virtual void stop() = 0;

  /// "xen through /run/dom0-proxy/helper.sock", for the log.
  virtual std::string describe() const = 0;
};

/// submit(), and wait.
inline boost::asio::awaitable<BackendAnswer> answer_of(Backend& backend,
                                                       std::vector<std::byte> frame) {
  auto submission = backend.submit(frame);
  if (submission.now) co_return *std::move(submission.now);
  co_return co_await std::move(submission.later);
}

}  // namespace sevmon::proxy
