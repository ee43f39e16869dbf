// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <memory>

#include "asio.hpp"

namespace sevmon::proxy {

/// How much may be under way at once: frames and their bytes, of one connection or of all. Who
/// comes first is served first, so a large taker cannot be starved. For one thread.
class Budget : public std::enable_shared_from_this<Budget> {
 public:
  Budget(std::size_t frames, std::size_t bytes) : frames_{frames}, bytes_{bytes} {}

  /// One frame's share; gives it back when it goes.
  class Share {
   public:
    Share() = default;
    Share(std::shared_ptr<Budget> budget, std::size_t bytes)
        : budget_{std::move(budget)}, bytes_{bytes} {}
    Share(Share&& other) noexcept = default;
    Share& operator=(Share&& other) noexcept;
    ~Share() { release(); }
    /// Keep no more than `bytes` of it.
    void shrink(std::size_t bytes);

   private:
    void release();
    std::shared_ptr<Budget> budget_;
    std::size_t bytes_ = 0;
  };

  /// Wait until one frame of `bytes` bytes fits. A frame larger than the whole budget gets through
  /// when nothing else is under way. Cancelled waits return an empty share.
  asio::awaitable<Share> take(std::size_t bytes);
  /// The same, if nobody need wait.
  std::optional<Share> try_take(std::size_t bytes);

  /// From now on.
  void set_frames(std::size_t frames);

  std::size_t frames_taken() const { return frames_taken_; }
  std::size_t bytes_taken() const { return bytes_taken_; }
  std::size_t waiting() const { return queue_.size(); }

 private:
  bool fits(std::size_t bytes) const;
  Share grant(std::size_t bytes);
  void wake_first();

  std::size_t frames_;
  const std::size_t bytes_;
  std::size_t frames_taken_ = 0;
  std::size_t bytes_taken_ = 0;
  std::list<Signal> queue_;
};

}  // namespace sevmon::proxy
