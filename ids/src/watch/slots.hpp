// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>

namespace sevmon::ids {

/// Requests of other threads, each waiting for a slot of the watch; to them it is a channel.
class Slots : public Channel {
 public:
  explicit Slots(std::uint8_t size_class) : size_class_{size_class} {}

  // ---- The analyses' end ----

  common::Result<std::vector<Response>> exchange(std::span<const Request> requests) override;
  std::uint8_t size_class() const override { return size_class_; }
  ChannelStats stats() const override { return {}; }
  common::IdBytes boot_nonce() const override;
  std::string describe() const override { return "watch"; }

  // ---- The watch's end ----

  /// What is to be asked next; nothing: nobody asks.
  std::optional<Request> next();
  /// The answer to what next() gave.
  void put(common::Result<Response> answer);
  /// Fail all that waits, and what is asked later unless reset() comes first.
  void fail(const common::Error& error);
  void reset(const common::IdBytes& boot_nonce);

 private:
  struct Batch {
    std::span<const Request> requests;
    std::vector<Response> responses;
    std::optional<common::Error> error;
    unsigned tries = 0;  // of the next request
    bool is_done() const { return error || responses.size() == requests.size(); }
  };

  const std::uint8_t size_class_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<Batch*> waiting_;
  Batch* asked_ = nullptr;  // whose request is under way
  std::optional<common::Error> closed_;
  common::IdBytes boot_nonce_{};
};

}  // namespace sevmon::ids
