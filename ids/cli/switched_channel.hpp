// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>

namespace sevmon::cli {

/// A channel in whose place another one to the same agent can be put, while nobody uses it.
class SwitchedChannel : public ids::Channel {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit SwitchedChannel(ids::Channel& channel) : channel_{&channel} {}
  /// From now on `channel`; nothing is asked after `until`.
  void use(ids::Channel& channel, TimePoint until);

  common::Result<std::vector<ids::Response>> exchange(
      std::span<const ids::Request> requests) override;
  std::uint8_t size_class() const override { return channel_->size_class(); }
  ids::ChannelStats stats() const override { return channel_->stats(); }
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const override {
    return channel_->boot_nonce();
  }
  std::string describe() const override { return channel_->describe(); }

 private:
  ids::Channel* channel_;
  std::optional<TimePoint> until_;
};

}  // namespace sevmon::cli
