// SPDX-License-Identifier: Apache-2.0
//
// The IDS's end of the protocol, as small as it can be and over OpenSSL: a reference for tests of
// the agent, apart from both implementations. Whatever fails throws.
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <sevmon/wire.h>
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>

#include "support/bytes.hpp"

namespace sevmon::tests {

inline void require(bool good, const char* what) {
  if (!good) throw std::runtime_error{what};
}

namespace reference {

inline Key sha256(ByteView message) {
  Key digest;
  SHA256(message.data(), message.size(), digest.data());
  return digest;
}

inline Key hmac(ByteView key, ByteView message) {
  Key tag;
  unsigned size = 0;
  require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), message.data(),
               message.size(), tag.data(), &size) &&
              size == tag.size(),
          "HMAC");
  return tag;
}

inline Bytes join(std::initializer_list<ByteView> parts) {
  Bytes all;
  for (const auto part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// Noise's HKDF with three outputs; whoever needs two ignores the third.
inline std::array<Key, 3> hkdf(ByteView chaining_key, ByteView input) {
  const auto temp = hmac(chaining_key, input);
  const std::uint8_t one = 1, two = 2, three = 3;
  const auto first = hmac(temp, {&one, 1});
  const auto second = hmac(temp, join({first, {&two, 1}}));
  return {first, second, hmac(temp, join({second, {&three, 1}}))};
}

using PkeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

inline Key x25519_public(const Key& secret) {
  const PkeyPtr key{EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), 32),
                    EVP_PKEY_free};
  Key out;
  std::size_t size = out.size();
  require(key && EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size) == 1, "X25519 key");
  return out;
}

inline Key x25519(const Key& secret, ByteView peer) {
  const PkeyPtr key{EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), 32),
                    EVP_PKEY_free};
  const PkeyPtr other{
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer.data(), peer.size()),
      EVP_PKEY_free};
  const PkeyContextPtr context{EVP_PKEY_CTX_new(key.get(), nullptr), EVP_PKEY_CTX_free};
  Key out;
  std::size_t size = out.size();
  require(context && EVP_PKEY_derive_init(context.get()) == 1 &&
              EVP_PKEY_derive_set_peer(context.get(), other.get()) == 1 &&
              EVP_PKEY_derive(context.get(), out.data(), &size) == 1,
          "X25519");
  return out;
}

/// AES-256-GCM: ciphertext || tag.
inline Bytes gcm_seal(ByteView key, ByteView nonce, ByteView aad, ByteView plain) {
  const CipherPtr context{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  Bytes out(plain.size() + 16);
  int size = 0;
  require(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) ==
                  1 &&
              (aad.empty() || EVP_EncryptUpdate(context.get(), nullptr, &size, aad.data(),
                                                static_cast<int>(aad.size())) == 1) &&
              (plain.empty() || EVP_EncryptUpdate(context.get(), out.data(), &size, plain.data(),
                                                  static_cast<int>(plain.size())) == 1) &&
              EVP_EncryptFinal_ex(context.get(), out.data(), &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16,
                                  out.data() + plain.size()) == 1,
          "AES-GCM");
  return out;
}

/// Nothing if the tag is wrong.
inline std::optional<Bytes> gcm_open(ByteView key, ByteView nonce, ByteView aad, ByteView sealed) {
  require(sealed.size() >= 16, "no room for a tag");
  const CipherPtr context{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  Bytes out(sealed.size() - 16), tag(sealed.end() - 16, sealed.end());
  int size = 0;
  require(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) ==
                  1 &&
              (aad.empty() || EVP_DecryptUpdate(context.get(), nullptr, &size, aad.data(),
                                                static_cast<int>(aad.size())) == 1) &&
              (out.empty() || EVP_DecryptUpdate(context.get(), out.data(), &size, sealed.data(),
                                                static_cast<int>(out.size())) == 1) &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, 16, tag.data()) == 1,
          "AES-GCM");
  std::uint8_t none;
  if (EVP_DecryptFinal_ex(context.get(), &none, &size) != 1) return std::nullopt;
  return out;
}

inline std::array<std::uint8_t, 16> aes_block(ByteView key, ByteView block) {
  const CipherPtr context{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  std::array<std::uint8_t, 16> out;
  int size = 0;
  require(EVP_EncryptInit_ex(context.get(), EVP_aes_256_ecb(), nullptr, key.data(), nullptr) == 1 &&
              EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1 &&
              EVP_EncryptUpdate(context.get(), out.data(), &size, block.data(), 16) == 1,
          "AES");
  return out;
}

/// The message's key of XAES-256-GCM.
inline Bytes xaes_key(ByteView key, ByteView nonce) {
  auto k1 = aes_block(key, Bytes(16));
  const bool carry = k1[0] >> 7;
  for (unsigned i = 0; i < 16; ++i)
    k1[i] = static_cast<std::uint8_t>(k1[i] << 1 | (i < 15 ? k1[i + 1] >> 7 : 0));
  if (carry) k1[15] ^= 0x87;
  Bytes derived;
  for (const std::uint8_t half : {1, 2}) {
    Bytes m{0, half, 'X', 0};
    m.insert(m.end(), nonce.begin(), nonce.begin() + 12);
    for (unsigned i = 0; i < 16; ++i) m[i] ^= k1[i];
    const auto block = aes_block(key, m);
    derived.insert(derived.end(), block.begin(), block.end());
  }
  return derived;
}

}  // namespace reference

/// A session that the agent accepted.
class ReferenceSession {
 public:
  ReferenceSession(const sevmon_accept& accept, std::uint8_t size_class, const Key& requests,
                   const Key& responses)
      : accept_{accept}, size_class_{size_class}, requests_{requests}, responses_{responses} {}

  std::uint32_t number() const { return accept_.session; }
  std::uint8_t size_class() const { return size_class_; }
  const sevmon_accept& accept() const { return accept_; }

  sevmon_header header(std::uint64_t n) const {
    return {SEVMON_FRAME_REQUEST, SEVMON_PROTOCOL_VERSION, size_class_, 0, number(), n};
  }

  /// Seal a REQUEST.
  Bytes request(std::uint64_t n, ByteView body, ByteView random = kRandom) const {
    return request(header(n), body, random);
  }
  Bytes request(const sevmon_header& header, ByteView body, ByteView random = kRandom) const {
    const auto aad = bytes_of(header);
    const auto nonce = make_nonce(random, header.n);
    return reference::join({aad, random,
                            reference::gcm_seal(reference::xaes_key(requests_, nonce),
                                                ByteView{nonce}.subspan(12), aad, body)});
  }
  Bytes request(std::uint64_t n, const sevmon_request_body& body) const {
    return request(n, bytes_of(body));
  }

  /// Open a RESPONSE: its body, or nothing if it does not verify.
  std::optional<Bytes> open(ByteView frame) const {
    if (frame.size() != SEVMON_RESPONSE_FRAME_BYTES(size_class_)) return std::nullopt;
    const auto header = load<sevmon_header>(frame);
    const auto nonce = make_nonce(frame.subspan(16, 12), header.n);
    return reference::gcm_open(reference::xaes_key(responses_, nonce), ByteView{nonce}.subspan(12),
                               frame.first(16), frame.subspan(28));
  }

 private:
  static constexpr std::array<std::uint8_t, 12> kRandom{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

  static Bytes make_nonce(ByteView random, std::uint64_t n) {
    Bytes nonce(random.begin(), random.end());
    nonce.resize(16);
    for (int shift = 56; shift >= 0; shift -= 8)
      nonce.push_back(static_cast<std::uint8_t>(n >> shift));
    return nonce;
  }

  sevmon_accept accept_;
  std::uint8_t size_class_;
  Key requests_, responses_;
};

inline Bytes hello_frame(const Id& ids_id) {
  sevmon_hello hello{};
  hello.header.type = SEVMON_FRAME_HELLO;
  hello.header.version = SEVMON_PROTOCOL_VERSION;
  std::ranges::copy(ids_id, hello.ids_id);
  return bytes_of(hello);
}

struct InitiatorOptions {
  Id connection_id{0xc0};
  std::uint8_t size_class = SEVMON_CLASS_15_PAGES;
  Key ephemeral{0xe1, 0xe2};
  std::array<std::uint8_t, 47> zero{};  // of the payload: for refusals
};

/// NNpsk0's initiator, section 5.3 of the Noise specification.
class Initiator {
 public:
  /// Answer `challenge`, a CHALLENGE frame.
  Initiator(const Id& ids_id, const Key& psk, ByteView challenge,
            const InitiatorOptions& options = {})
      : ids_id_{ids_id}, options_{options} {
    const auto from = load<sevmon_challenge>(challenge);
    sevmon_prologue prologue{};
    std::memcpy(prologue.magic, SEVMON_PROLOGUE_MAGIC, sizeof(prologue.magic));
    prologue.version = SEVMON_PROTOCOL_VERSION;
    std::ranges::copy(from.agent_id, prologue.agent_id);
    std::ranges::copy(ids_id, prologue.ids_id);
    std::ranges::copy(from.boot_nonce, prologue.boot_nonce);
    std::ranges::copy(from.challenge, prologue.challenge);

    const auto name = from_text(SEVMON_NOISE_NAME);
    ck_ = h_ = to_array<32>(name);
    mix_hash(bytes_of(prologue));
    // -> psk, e
    const auto [ck, temp_h, k] = reference::hkdf(ck_, psk);
    ck_ = ck;
    mix_hash(temp_h);
    const auto e = reference::x25519_public(options_.ephemeral);
    mix_hash(e);
    mix_key(e);

    sevmon_initiate payload{};
    std::ranges::copy(options_.connection_id, payload.connection_id);
    payload.size_class = options_.size_class;
    std::ranges::copy(options_.zero, payload.zero);
    const auto sealed = reference::gcm_seal(k_, kNonce, h_, bytes_of(payload));
    mix_hash(sealed);

    sevmon_header header{};
    header.type = SEVMON_FRAME_INITIATE;
    header.version = SEVMON_PROTOCOL_VERSION;
    frame_ = reference::join({bytes_of(header), ids_id, e, sealed});
  }

  const Bytes& frame() const { return frame_; }

  /// Take the ACCEPT. Throws if it does not verify; a refusal has session number 0.
  ReferenceSession finish(ByteView accept) {
    require(accept.size() == SEVMON_HANDSHAKE_FRAME_BYTES, "ACCEPT's size");
    const auto header = load<sevmon_header>(accept);
    require(header.type == SEVMON_FRAME_ACCEPT && header.version == 1 && !header.size_class &&
                !header.flags && !header.session && !header.n &&
                std::ranges::equal(accept.subspan(16, 16), ids_id_),
            "ACCEPT's header");
    // <- e, ee
    const auto e = accept.subspan(32, 32);
    mix_hash(e);
    mix_key(e);
    mix_key(reference::x25519(options_.ephemeral, e));
    const auto payload = reference::gcm_open(k_, kNonce, h_, accept.subspan(64));
    require(payload.has_value(), "ACCEPT does not verify");
    const auto keys = reference::hkdf(ck_, {});
    return {load<sevmon_accept>(*payload), options_.size_class, keys[0], keys[1]};
  }

 private:
  static constexpr std::array<std::uint8_t, 12> kNonce{};

  void mix_hash(ByteView data) { h_ = reference::sha256(reference::join({h_, data})); }
  void mix_key(ByteView input) {
    const auto [ck, k, unused] = reference::hkdf(ck_, input);
    ck_ = ck;
    k_ = k;
  }

  Id ids_id_;
  InitiatorOptions options_;
  Key ck_{}, h_{}, k_{};
  Bytes frame_;
};

/// A request's body from its items; the head is Dom0 and vCPU 0's root.
inline sevmon_request_body request_body(std::initializer_list<sevmon_item> items) {
  sevmon_request_body body{};
  body.head.domid = SEVMON_DOMID_DOM0;
  body.head.items = static_cast<std::uint16_t>(items.size());
  std::ranges::copy(items, body.items);
  return body;
}

inline sevmon_item read_virtual(std::uint64_t gva, std::uint16_t bytes) {
  return {SEVMON_ITEM_READ_VIRTUAL, 0, bytes, 0, gva};
}
inline sevmon_item read_physical(std::uint64_t gpa, std::uint16_t bytes) {
  return {SEVMON_ITEM_READ_PHYSICAL, 0, bytes, 0, gpa};
}
inline sevmon_item simple_item(std::uint8_t type, std::uint32_t arg = 0,
                               std::uint64_t address = 0) {
  return {type, 0, 0, arg, address};
}

/// A response's body, taken apart.
struct ReferenceResponse {
  explicit ReferenceResponse(Bytes opened)
      : body{std::move(opened)}, head{load<sevmon_response_head>(body)} {
    for (unsigned i = 0; i < SEVMON_MAX_ITEMS; ++i)
      results.push_back(load<sevmon_item_result>(body, sizeof(head) + i * sizeof(results[0])));
  }

  ByteView data() const { return ByteView{body}.subspan(SEVMON_DATA_OFFSET); }
  /// Where item `index` lies, by the rule of docs/protocol.md.
  std::size_t offset(unsigned index) const {
    std::size_t at = 0;
    for (unsigned i = 0; i < index; ++i)
      if (results[i].bytes) at = (at + 7) / 8 * 8 + results[i].bytes;
    return (at + 7) / 8 * 8;
  }
  ByteView item(unsigned index) const {
    return data().subspan(offset(index), results[index].bytes);
  }

  Bytes body;
  sevmon_response_head head;
  std::vector<sevmon_item_result> results;
};

}  // namespace sevmon::tests
