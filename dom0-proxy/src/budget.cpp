// SPDX-License-Identifier: Apache-2.0
#include "budget.hpp"

#include <algorithm>

namespace sevmon::proxy {

Budget::Share& Budget::Share::operator=(Share&& other) noexcept {
  if (this != &other) {
    release();
    budget_ = std::move(other.budget_);
    bytes_ = other.bytes_;
  }
  return *this;
}

void Budget::Share::shrink(std::size_t bytes) {
  if (!budget_ || bytes >= bytes_) return;
  budget_->bytes_taken_ -= bytes_ - bytes;
  bytes_ = bytes;
  budget_->wake_first();
}

void Budget::Share::release() {
  if (!budget_) return;
  budget_->bytes_taken_ -= bytes_;
  --budget_->frames_taken_;
  budget_->wake_first();
  budget_ = nullptr;
}

std::optional<Budget::Share> Budget::try_take(std::size_t bytes) {
  if (!queue_.empty() || !fits(bytes)) return std::nullopt;
  return grant(bytes);
}

asio::awaitable<Budget::Share> Budget::take(std::size_t bytes) {
  if (auto share = try_take(bytes)) co_return *std::move(share);
  const auto executor = co_await asio::this_coro::executor;
  // Leaves the queue also when the coroutine is destroyed in the middle of its wait.
  struct Place {
    Budget& budget;
    std::list<Signal>::iterator at;
    ~Place() {
      budget.queue_.erase(at);
      budget.wake_first();
    }
  };
  const Place place{*this, queue_.emplace(queue_.end(), executor)};
  while (place.at != queue_.begin() || !fits(bytes)) {
    co_await place.at->wait();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return Share{};
  }
  co_return grant(bytes);
}

Budget::Share Budget::grant(std::size_t bytes) {
  ++frames_taken_;
  bytes_taken_ += bytes;
  return {shared_from_this(), bytes};
}

void Budget::set_frames(std::size_t frames) {
  frames_ = frames;
  wake_first();
}

bool Budget::fits(std::size_t bytes) const {
  if (frames_taken_ == 0) return true;
  return frames_taken_ < frames_ && bytes_taken_ + bytes <= bytes_;
}

void Budget::wake_first() {
  if (!queue_.empty()) queue_.front().notify();
}

}  // namespace sevmon::proxy
