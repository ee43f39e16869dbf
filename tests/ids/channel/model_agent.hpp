// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <sevmon/codec.hpp>
#include <sevmon/frame_bytes.hpp>

#include "channel/noise.hpp"
#include "channel/xaes.hpp"

namespace sevmon::ids::test {

using Bytes = FrameBytes;

/// Whatever answers frames: the model below, or the agent itself.
class Responder {
 public:
  virtual ~Responder() = default;
  /// @return nothing when the frame is not taken.
  virtual std::optional<Bytes> answer(std::span<const std::byte> frame) = 0;
};

inline constexpr common::IdBytes kAgentId{0xa9, 0xe4, 7};
inline constexpr common::IdBytes kIdsId{0x1d, 0x5f, 9};
/// A key file of one entry: `psk_byte` in front of an else fixed PSK.
Bytes key_file(std::uint8_t psk_byte = 0x11);

/// What lies at a virtual address of the model's target.
std::byte byte_at(std::uint64_t address);
/// Every eighth page is absent.
bool is_mapped(std::uint64_t address);

/// The agent's end of the protocol in a few lines, without limits, and with ways to make it answer
/// what a sound agent never would. Thread-safe.
class ModelAgent : public Responder {
 public:
  explicit ModelAgent(std::uint8_t psk_byte = 0x11);
  std::optional<Bytes> answer(std::span<const std::byte> frame) override;

  /// As Xen does when it starts again: a new boot nonce, no sessions.
  void reboot();
  std::size_t session_count() const;
  std::size_t handshakes() const;

  std::function<void(const sevmon_initiate&)> on_initiate;
  std::function<void(sevmon_accept&)> on_accept;          // alter before it is sealed
  std::function<void(std::span<std::byte>)> on_response;  // alter the body before it is sealed
  PublicKey* ephemeral = nullptr;                         // send this one instead of our own

 private:
  struct Session {
    common::IdBytes connection_id;
    std::uint8_t size_class;
    Xaes requests;
    Xaes responses;
    std::set<std::uint64_t> seen;
  };

  Bytes challenge(const sevmon_hello& hello) const;
  std::optional<Bytes> accept(const sevmon_handshake& initiate);
  std::optional<Bytes> respond(const sevmon_header& header, std::span<const std::byte> frame);
  Bytes build_body(const sevmon_request_body& request, const Session& session,
                   std::uint64_t n) const;

  mutable std::mutex mutex_;
  Secret<32> psk_;
  common::IdBytes boot_nonce_;
  common::IdBytes challenge_;
  std::uint32_t next_session_ = 1;
  std::size_t handshakes_ = 0;
  std::map<std::uint32_t, Session> sessions_;
};

}  // namespace sevmon::ids::test
