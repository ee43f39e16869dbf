// SPDX-License-Identifier: Apache-2.0
#include <sevmon/channel.hpp>

#include <mutex>
#include <string>
#include <utility>

#include "channel/connection.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// A process that ends should not wait on a relay that does not answer.
constexpr std::chrono::milliseconds kCloseTimeout{250};

Result<sevmon_request_body> encode(const Request& request, std::uint8_t size_class) {
  sevmon_request_head head{};
  head.domid = request.domain.value;
  if (request.root.kind == Root::Kind::kVcpu) {
    head.root_kind = SEVMON_ROOT_VCPU;
    head.vcpu = request.root.vcpu;
  } else {
    head.root_kind = SEVMON_ROOT_FRAME;
    head.levels = request.root.levels;
    head.root_frame = request.root.frame.value;
  }
  return common::make_request(head, request.items, size_class, request.payload);
}

/// A caller's stream, encoded.
class StreamWork : public Connection::Work {
 public:
  StreamWork(RequestStream& stream, std::uint8_t size_class)
      : stream_{stream}, size_class_{size_class} {}

  Result<std::optional<sevmon_request_body>> next(bool may_wait) override {
    Request request;
    switch (stream_.next(request, may_wait)) {
      case RequestStream::Next::kRequest:
        break;
      case RequestStream::Next::kLater:
        if (may_wait) return Error{ErrorCode::kInternal, "a stream that waits for nothing"};
        return {std::nullopt};
      case RequestStream::Next::kEnd:
        is_over_ = true;
        return {std::nullopt};
    }
    auto body = encode(request, size_class_);
    if (!body) return body.error();
    return {*body};
  }
  bool is_over() const override { return is_over_; }
  Result<void> put(std::size_t index, Response response) override {
    return stream_.take(index, std::move(response));
  }

 private:
  RequestStream& stream_;
  const std::uint8_t size_class_;
  bool is_over_ = false;
};

class AgentChannel : public Channel {
 public:
  AgentChannel(std::unique_ptr<FrameTransport> transport, Key key, const ChannelOptions& options)
      : size_class_{options.size_class},
        description_{transport->describe()},
        connection_{std::move(transport), std::move(key), options} {}

  ~AgentChannel() override {
    try {
      connection_.close(kCloseTimeout);
    } catch (const std::exception&) {
      // Nobody is left to tell; the agent forgets the session by itself.
    }
  }

  Result<void> establish() { return settle(connection_.establish()); }

  Result<std::vector<Response>> exchange(std::span<const Request> requests) override {
    std::vector<sevmon_request_body> bodies;
    bodies.reserve(requests.size());
    for (const auto& request : requests) {
      const auto body = encode(request, size_class_);
      if (!body) return body.error();
      bodies.push_back(*body);
    }
    if (bodies.empty()) return std::vector<Response>{};
    const std::lock_guard lock{mutex_};
    try {
      return settle(connection_.run(bodies));
    } catch (const CryptoFailure& failure) {
      return Error{ErrorCode::kInternal, failure.what()};
    }
  }

  Result<void> stream(RequestStream& requests) override {
    StreamWork work{requests, size_class_};
    const std::lock_guard lock{mutex_};
    try {
      return settle(connection_.run(work));
    } catch (const CryptoFailure& failure) {
      return Error{ErrorCode::kInternal, failure.what()};
    }
  }

  std::uint8_t size_class() const override { return size_class_; }
  std::string describe() const override { return description_; }

  ChannelStats stats() const override {
    const std::lock_guard lock{facts_mutex_};
    return stats_;
  }
  common::IdBytes boot_nonce() const override {
    const std::lock_guard lock{facts_mutex_};
    return boot_nonce_;
  }

 private:
  /// Publish what the connection has become, and add to an error where it happened.
  template <typename T>
  Result<T> settle(Result<T> result) {
    {
      const std::lock_guard lock{facts_mutex_};
      stats_ = connection_.stats();
      boot_nonce_ = connection_.boot_nonce();
    }
    if (!result) return Error{result.error().code, description_ + ": " + result.error().detail};
    return result;
  }

  const std::uint8_t size_class_;
  const std::string description_;
  std::mutex mutex_;  // one exchange at a time
  Connection connection_;
  mutable std::mutex facts_mutex_;  // so that stats() never waits for an exchange
  ChannelStats stats_;
  common::IdBytes boot_nonce_{};
};

}  // namespace

Result<void> Channel::stream(RequestStream& requests) {
  Request request;
  for (std::size_t index = 0;; ++index) {
    const auto next = requests.next(request, true);
    if (next == RequestStream::Next::kEnd) return {};
    if (next == RequestStream::Next::kLater)
      return Error{ErrorCode::kInternal, "a stream that waits for nothing"};
    auto responses = exchange(std::span{&request, 1});
    if (!responses) return responses.error();
    if (auto ok = requests.take(index, std::move(responses->front())); !ok) return ok;
  }
}

Result<std::unique_ptr<Channel>> Channel::open(std::unique_ptr<FrameTransport> transport, Key key,
                                               ChannelOptions options) {
  if (options.size_class >= SEVMON_CLASSES)
    return Error{ErrorCode::kUsage, "size class " + std::to_string(options.size_class)};
  if (options.pipeline_depth < 1 || options.pipeline_depth > SEVMON_WINDOW_BITS / 4)
    return Error{ErrorCode::kUsage, "pipeline of " + std::to_string(options.pipeline_depth)};
  if (options.answer_timeout.count() < 1)
    return Error{ErrorCode::kUsage, "an answer timeout below 1 ms"};
  try {
    auto channel = std::make_unique<AgentChannel>(std::move(transport), std::move(key), options);
    if (auto ok = channel->establish(); !ok) return ok.error();
    return std::unique_ptr<Channel>{std::move(channel)};
  } catch (const CryptoFailure& failure) {
    return Error{ErrorCode::kInternal, failure.what()};
  }
}

std::string describe_status(std::uint16_t status, std::uint8_t level) {
  const auto at_level = " at level " + std::to_string(level);
  switch (status) {
    case SEVMON_STATUS_OK:
      return "ok";
    case SEVMON_STATUS_NOT_MAPPED:
      return "not mapped" + at_level;
    case SEVMON_STATUS_NOT_CANONICAL:
      return "not canonical";
    case SEVMON_STATUS_XEN:
      return "in the range that Xen keeps for itself";
    case SEVMON_STATUS_NO_FRAME:
      return "no frame of the target's" + (level == 0 ? std::string{} : at_level);
    case SEVMON_STATUS_BAD_TABLE:
      return "reserved bits in the page table" + at_level;
    case SEVMON_STATUS_BAD_ITEM:
      return "bad item";
    case SEVMON_STATUS_NO_SPACE:
      return "no space in the answer";
    case SEVMON_STATUS_UNSUPPORTED:
      return "not supported by this agent or for this target";
    case SEVMON_STATUS_NO_VCPU:
      return "no such vCPU";
    case SEVMON_STATUS_NO_PROGRAM:
      return "no program of that name is loaded";
    case SEVMON_STATUS_BUSY:
      return "busy with another run of this IDS";
    case SEVMON_STATUS_REFUSED:
      return "refused";
  }
  return "status " + std::to_string(status);
}

}  // namespace sevmon::ids
