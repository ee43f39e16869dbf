// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/result.hpp>
#include <sevmon/transport.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// One IDS's key, out of a key file with exactly one entry. Locked in memory where the system
/// allows it, wiped on destruction, movable, not copyable.
class Key {
 public:
  /// @return kIo; kKey when the file is not such a file or others may read it (mode & 077).
  static common::Result<Key> load(const std::string& path);
  /// Parse `bytes` (as load() without the file). @return kKey.
  static common::Result<Key> parse(std::span<const std::byte> bytes);

  Key(Key&&) noexcept;
  Key& operator=(Key&&) noexcept;
  ~Key();

  const std::array<std::uint8_t, SEVMON_ID_BYTES>& agent_id() const;
  const std::array<std::uint8_t, SEVMON_ID_BYTES>& ids_id() const;
  std::span<const std::uint8_t, SEVMON_PSK_BYTES> psk() const;

 private:
  Key();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Make a fresh key for a new IDS: writes `ids_path` (one entry, mode 0600, must not exist) and
/// adds the entry to `agent_path` (created when missing, replaced atomically).
/// @return kIo; kKey when `agent_path` is no key file or full (SEVMON_MAX_KEYS).
common::Result<void> generate_key(const std::string& ids_path, const std::string& agent_path);

/// Take the entry of `ids_id` out of `agent_path`, which is replaced atomically: an agent that
/// starts with it knows this IDS no more.
/// @return kIo; kKey when `agent_path` is no key file or has no other entry; kNotFound, naming the
///         ids that it has.
common::Result<void> revoke_key(const std::array<std::uint8_t, SEVMON_ID_BYTES>& ids_id,
                                const std::string& agent_path);

/// Which page table the virtual items of a request walk.
struct Root {
  enum class Kind : std::uint8_t { kVcpu, kFrame } kind = Kind::kVcpu;
  std::uint16_t vcpu = 0;   // with kVcpu
  common::Frame frame{};    // with kFrame
  std::uint8_t levels = 4;  // with kFrame: 4 or 5
  auto operator<=>(const Root&) const = default;
};

/// At most SEVMON_MAX_ITEMS items whose results fit the channel's size class; or one of a program,
/// with its payload.
struct Request {
  common::DomId domain{};
  Root root{};
  std::vector<sevmon_item> items;
  std::vector<std::byte> payload{};
};

struct ItemResult {
  std::uint16_t status = 0;          // SEVMON_STATUS_*
  std::uint8_t level = 0;            // where the walk ended
  std::span<const std::byte> bytes;  // into Response::body; zeros when a read failed
};

/// A verified answer. Owns the bytes that `items` points into.
struct Response {
  sevmon_response_head head{};
  FrameBytes body;
  std::vector<ItemResult> items;  // as many as requested, in order
};

struct ChannelOptions {
  std::uint8_t size_class = SEVMON_CLASS_15_PAGES;
  std::chrono::milliseconds answer_timeout{5000};  // for each frame
  unsigned pipeline_depth = 16;  // frames in flight; at most SEVMON_WINDOW_BITS / 4
  std::chrono::seconds rekey_after{SEVMON_REKEY_SECONDS};
  std::uint64_t rekey_after_messages = SEVMON_MAX_MESSAGES / 2;
  /// One that connects again and again under the same id never takes more than one of the agent's
  /// places for this IDS. None: drawn anew.
  std::optional<std::array<std::uint8_t, SEVMON_ID_BYTES>> connection_id{};
  /// Tell the agent at the end that the connection is over. Without, an end that a relay delays
  /// cannot close what a later channel made of the same connection id.
  bool says_goodbye = true;
  /// Called after each verified answer, from the thread that exchanges: how many of the exchange's
  /// requests are done. Must not call exchange(); stats() is fine.
  std::function<void(std::size_t done, std::size_t total)> progress{};
};

/// What the channel has done since it was opened.
struct ChannelStats {
  std::uint64_t frames_sent = 0;      // requests
  std::uint64_t frames_received = 0;  // verified responses
  std::uint64_t bytes_sent = 0;       // on the wire, with handshakes and envelopes
  std::uint64_t bytes_received = 0;
  /// Waits on the network: each exchange() one for every pipeline's fill that it takes, each
  /// message of a handshake one.
  std::uint64_t round_trips = 0;
  std::uint64_t rekeys = 0;
  std::uint64_t discarded = 0;  // deliveries that answered nothing: repeated, late, or unverified
  /// Of those, the ones that no honest agent and relay would have delivered: a tag that is wrong, a
  /// frame that cannot be.
  std::uint64_t unverified = 0;
};

/// Requests without a last one in sight: made while others are under way, each answer taken as it
/// comes. So the pipeline stays full and only what is under way is held.
class RequestStream {
 public:
  virtual ~RequestStream() = default;
  enum class Next : std::uint8_t { kRequest, kLater, kEnd };
  /// Make the next request. `kLater`: not before an answer under way was taken, or something else
  /// happened; not allowed when `nothing_under_way`: then wait for it here.
  virtual Next next(Request& request, bool nothing_under_way) = 0;
  /// The answer to the request that next() made as number `index`, from 0; in any order. An error
  /// ends the stream, and what is under way is given up.
  virtual common::Result<void> take(std::size_t index, Response response) = 0;
};

/// An authenticated, encrypted session with an agent. Rekeys by itself. Thread-safe: one exchange
/// runs at a time.
class Channel {
 public:
  /// Hello and handshake. Retries a handshake that crossed another one's, and waits for a place
  /// when the agent has none for this IDS: those of clients that died are free after
  /// SEVMON_IDLE_SECONDS.
  /// @return kTimeout, kConnect; kRefused with what the relay's notice hints at; kForged when
  ///         answers came and none verified (wrong key, or an attacker); kMalformed when the relay
  ///         does not keep to its envelope, or the agent's own acceptance cannot be; kUsage for bad
  ///         options.
  static common::Result<std::unique_ptr<Channel>> open(std::unique_ptr<FrameTransport> transport,
                                                       Key key, ChannelOptions options = {});
  virtual ~Channel() = default;

  /// Send all requests, pipelined, and wait for all answers. Answers are matched to requests by
  /// their sealed numbers, so a relay that reorders, repeats, drops or alters frames causes an
  /// error or a wait, never a wrong answer. A request whose answer was lost is not sent again.
  /// @return the responses in the order of the requests, each with head.status; kUsage for a
  ///         request that cannot be encoded (an item of bad form, results over the size class);
  ///         kTimeout; kForged when an answer is missing and some came that do not verify; kRefused
  ///         when the relay says so; kConnect, and kMalformed when the relay does not keep to its
  ///         envelope: then the channel is of no more use. And for an answer of the agent's own:
  ///         kMalformed, kTooLarge when it cannot be, kMismatch when it is another request's.
  virtual common::Result<std::vector<Response>> exchange(std::span<const Request> requests) = 0;

  /// Send what `requests` makes until its end, and hand it the answers. By default: one by one.
  /// @return errors of `requests`, and of exchange().
  virtual common::Result<void> stream(RequestStream& requests);

  virtual std::uint8_t size_class() const = 0;
  virtual ChannelStats stats() const = 0;
  virtual std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const = 0;
  virtual std::string describe() const = 0;
};

/// Split `items` into requests that respect both limits (count and data area), in order.
std::vector<Request> pack(common::DomId domain, Root root, std::span<const sevmon_item> items,
                          std::uint8_t size_class);

/// "not mapped at level 2", "not canonical", …: for messages about one item.
std::string describe_status(std::uint16_t status, std::uint8_t level);

}  // namespace sevmon::ids
