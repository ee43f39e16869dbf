// SPDX-License-Identifier: Apache-2.0
#include "channel/crypto.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <sevmon/random.hpp>

namespace sevmon::ids {
namespace {

/// OpenSSL's "1 is success".
void must(int result, const char* what) {
  if (result != 1) throw CryptoFailure{std::string{"OpenSSL: "} + what};
}

template <typename T>
T* must(T* pointer, const char* what) {
  if (pointer == nullptr) throw CryptoFailure{std::string{"OpenSSL: "} + what};
  return pointer;
}

struct DigestContextFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
struct MacContextFree {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct KeyContextFree {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using PrivateKey = std::unique_ptr<EVP_PKEY, KeyFree>;

// Fetched once: fetching takes a lock and a lookup by name. They live as long as the process.
const EVP_MD* sha256_md() {
  static const EVP_MD* md = must(EVP_MD_fetch(nullptr, "SHA256", nullptr), "no SHA-256");
  return md;
}

EVP_MAC* hmac_mac() {
  static EVP_MAC* mac = must(EVP_MAC_fetch(nullptr, "HMAC", nullptr), "no HMAC");
  return mac;
}

const EVP_CIPHER* gcm_cipher() {
  static const EVP_CIPHER* cipher =
      must(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), "no AES-256-GCM");
  return cipher;
}

PrivateKey import_private(const Secret<32>& private_key) {
  return PrivateKey{
      must(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.data(), 32),
           "X25519 key")};
}

}  // namespace

Hash sha256(std::initializer_list<ByteView> parts) {
  const std::unique_ptr<EVP_MD_CTX, DigestContextFree> context{must(EVP_MD_CTX_new(), "memory")};
  must(EVP_DigestInit_ex2(context.get(), sha256_md(), nullptr), "SHA-256");
  for (const auto part : parts)
    must(EVP_DigestUpdate(context.get(), part.data(), part.size()), "SHA-256");
  Hash hash;
  must(EVP_DigestFinal_ex(context.get(), hash.data(), nullptr), "SHA-256");
  return hash;
}

Hash hmac_sha256(ByteView key, std::initializer_list<ByteView> parts) {
  const std::unique_ptr<EVP_MAC_CTX, MacContextFree> context{
      must(EVP_MAC_CTX_new(hmac_mac()), "memory")};
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_END};
  must(EVP_MAC_init(context.get(), key.data(), key.size(), params), "HMAC");
  for (const auto part : parts)
    must(EVP_MAC_update(context.get(), part.data(), part.size()), "HMAC");
  Hash hash;
  std::size_t bytes = 0;
  must(EVP_MAC_final(context.get(), hash.data(), &bytes, hash.view().size()), "HMAC");
  return hash;
}

bool draw_random(std::span<std::uint8_t> out) {
  return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1;
}

void random_bytes(std::span<std::uint8_t> out) {
  must(draw_random(out), "no randomness");
  common::mix_in(out);
}

KeyPair generate_keypair() {
  Secret<32> private_key;
  // RFC 7748 clamps when the key is used: any 32 random bytes are a key.
  must(RAND_priv_bytes(private_key.data(), 32), "no randomness");
  common::mix_in(private_key.edit());
  return keypair_from(private_key);
}

KeyPair keypair_from(const Secret<32>& private_key) {
  KeyPair pair{private_key, {}};
  std::size_t bytes = pair.public_key.size();
  must(EVP_PKEY_get_raw_public_key(import_private(private_key).get(), pair.public_key.data(),
                                   &bytes),
       "X25519 public key");
  return pair;
}

std::optional<Secret<32>> x25519(const Secret<32>& mine, std::span<const std::uint8_t, 32> theirs) {
  const auto private_key = import_private(mine);
  const PrivateKey public_key{
      must(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, theirs.data(), 32), "X25519 key")};
  const std::unique_ptr<EVP_PKEY_CTX, KeyContextFree> context{
      must(EVP_PKEY_CTX_new(private_key.get(), nullptr), "memory")};
  must(EVP_PKEY_derive_init(context.get()), "X25519");
  must(EVP_PKEY_derive_set_peer_ex(context.get(), public_key.get(), 0), "X25519 peer");
  Secret<32> shared;
  std::size_t bytes = 32;
  // RFC 7748, 6.1: OpenSSL's derive fails on the all-zero result, and only on that.
  if (EVP_PKEY_derive(context.get(), shared.data(), &bytes) != 1) return std::nullopt;
  const Secret<32> zero;
  if (CRYPTO_memcmp(shared.data(), zero.data(), 32) == 0) return std::nullopt;
  return shared;
}

CipherContext make_cipher_context() {
  return CipherContext{must(EVP_CIPHER_CTX_new(), "memory")};
}

AesGcm::AesGcm() : context_{make_cipher_context()} {}

void AesGcm::seal(Key key, Nonce nonce, ByteView aad, ByteView plaintext,
                  std::span<std::uint8_t> out) {
  assert(out.size() == plaintext.size() + kTagBytes);
  auto* const context = context_.get();
  int bytes = 0;
  must(EVP_EncryptInit_ex2(context, gcm_cipher(), key.data(), nonce.data(), nullptr), "GCM");
  if (!aad.empty())
    must(EVP_EncryptUpdate(context, nullptr, &bytes, aad.data(), static_cast<int>(aad.size())),
         "GCM");
  if (!plaintext.empty())
    must(EVP_EncryptUpdate(context, out.data(), &bytes, plaintext.data(),
                           static_cast<int>(plaintext.size())),
         "GCM");
  const auto tag = out.last(kTagBytes);
  must(EVP_EncryptFinal_ex(context, tag.data(), &bytes), "GCM");  // writes nothing
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data()), "GCM tag");
}

bool AesGcm::open(Key key, Nonce nonce, ByteView aad, ByteView sealed,
                  std::span<std::uint8_t> out) {
  assert(sealed.size() == out.size() + kTagBytes);
  auto* const context = context_.get();
  int bytes = 0;
  std::array<std::uint8_t, kTagBytes> tag;
  std::ranges::copy(sealed.last(kTagBytes), tag.begin());
  const auto ciphertext = sealed.first(out.size());
  must(EVP_DecryptInit_ex2(context, gcm_cipher(), key.data(), nonce.data(), nullptr), "GCM");
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()), "GCM tag");
  if (!aad.empty())
    must(EVP_DecryptUpdate(context, nullptr, &bytes, aad.data(), static_cast<int>(aad.size())),
         "GCM");
  if (!ciphertext.empty())
    must(EVP_DecryptUpdate(context, out.data(), &bytes, ciphertext.data(),
                           static_cast<int>(ciphertext.size())),
         "GCM");
  std::array<std::uint8_t, 16> nothing;
  if (EVP_DecryptFinal_ex(context, nothing.data(), &bytes) == 1) return true;
  // What was decrypted under a wrong tag is the attacker's choice: nobody may see it.
  OPENSSL_cleanse(out.data(), out.size());
  return false;
}

}  // namespace sevmon::ids
