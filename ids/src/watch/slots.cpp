// SPDX-License-Identifier: Apache-2.0
#include "watch/slots.hpp"

#include <algorithm>
#include <utility>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr unsigned kMaxTries = 3;

/// Asking again may help: the answer was lost on its way, or the connection was.
bool is_lost(ErrorCode code) {
  return code == ErrorCode::kTimeout || code == ErrorCode::kConnect ||
         code == ErrorCode::kRefused || code == ErrorCode::kForged;
}

}  // namespace

Result<std::vector<Response>> Slots::exchange(std::span<const Request> requests) {
  Batch batch{.requests = requests, .responses = {}, .error = {}};
  std::unique_lock lock{mutex_};
  if (closed_) return *closed_;
  if (batch.is_done()) return std::move(batch.responses);
  waiting_.push_back(&batch);
  changed_.wait(lock, [&] { return batch.is_done(); });
  std::erase(waiting_, &batch);
  if (batch.error) return *std::move(batch.error);
  return std::move(batch.responses);
}

common::IdBytes Slots::boot_nonce() const {
  const std::lock_guard lock{mutex_};
  return boot_nonce_;
}

std::optional<Request> Slots::next() {
  const std::lock_guard lock{mutex_};
  const auto found = std::ranges::find_if(waiting_, [](auto* batch) { return !batch->is_done(); });
  if (found == waiting_.end()) return std::nullopt;
  asked_ = *found;
  return asked_->requests[asked_->responses.size()];
}

void Slots::put(Result<Response> answer) {
  const std::lock_guard lock{mutex_};
  auto* batch = std::exchange(asked_, nullptr);
  if (batch == nullptr) return;  // fail() came in between
  if (answer) {
    batch->responses.push_back(*std::move(answer));
    batch->tries = 0;
  } else if (!is_lost(answer.error().code) || ++batch->tries >= kMaxTries) {
    batch->error = std::move(answer).error();
  }
  if (batch->is_done()) changed_.notify_all();
}

void Slots::fail(const Error& error) {
  const std::lock_guard lock{mutex_};
  closed_ = error;
  asked_ = nullptr;
  for (auto* batch : waiting_)
    if (!batch->is_done()) batch->error = error;
  changed_.notify_all();
}

void Slots::reset(const common::IdBytes& boot_nonce) {
  const std::lock_guard lock{mutex_};
  closed_.reset();
  boot_nonce_ = boot_nonce;
}

}  // namespace sevmon::ids
