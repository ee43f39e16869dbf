// SPDX-License-Identifier: Apache-2.0
#include "switched_channel.hpp"

#include <utility>

namespace sevmon::cli {

using common::Error;
using common::ErrorCode;
using common::Result;

void SwitchedChannel::use(ids::Channel& channel, TimePoint until) {
  channel_ = &channel;
  until_ = until;
}

Result<std::vector<ids::Response>> SwitchedChannel::exchange(
    std::span<const ids::Request> requests) {
  if (!until_) return channel_->exchange(requests);
  // One by one: many that are all answered late would take long.
  std::vector<ids::Response> responses;
  for (const auto& request : requests) {
    if (std::chrono::steady_clock::now() >= *until_)
      return Error{ErrorCode::kTimeout, "the watch is over, and this took too long"};
    auto response = channel_->exchange({&request, 1});
    if (!response) return response.error();
    responses.push_back(std::move(response->front()));
  }
  return responses;
}

}  // namespace sevmon::cli
