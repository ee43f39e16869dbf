// SPDX-License-Identifier: Apache-2.0
//
// AES-256-GCM as OpenSSL's manual says to use it, with the context and key kept: the baseline.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "support/initiator.hpp"

namespace sevmon::bench {

class OpenSslGcm {
 public:
  explicit OpenSslGcm(bool encrypt)
      : encrypt_{encrypt}, context_{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free} {
    const std::array<std::uint8_t, 32> key{1, 2, 3};
    tests::require(EVP_CipherInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                                     nullptr, encrypt) == 1,
                   "AES-GCM");
  }

  /// Ciphertext, then the tag.
  void seal(const std::uint8_t* plain, std::size_t bytes, std::uint8_t* out) {
    start();
    int size = 0;
    const bool good =
        EVP_EncryptUpdate(context_.get(), out, &size, plain, static_cast<int>(bytes)) == 1 &&
        EVP_EncryptFinal_ex(context_.get(), out + bytes, &size) == 1 &&
        EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_GET_TAG, 16, out + bytes) == 1;
    tests::require(good, "AES-GCM");
  }

  /// Returns whether the tag after the `bytes` of ciphertext is right.
  bool open(const std::uint8_t* cipher, std::size_t bytes, std::uint8_t* out) {
    start();
    std::array<std::uint8_t, 16> tag;
    std::memcpy(tag.data(), cipher + bytes, tag.size());
    int size = 0;
    tests::require(
        EVP_DecryptUpdate(context_.get(), out, &size, cipher, static_cast<int>(bytes)) == 1 &&
            EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_SET_TAG, 16, tag.data()) == 1,
        "AES-GCM");
    return EVP_DecryptFinal_ex(context_.get(), out + bytes, &size) == 1;
  }

 private:
  void start() {
    std::array<std::uint8_t, 12> nonce{};
    ++messages_;
    std::memcpy(nonce.data(), &messages_, sizeof(messages_));
    tests::require(
        EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), encrypt_) == 1,
        "AES-GCM");
  }

  int encrypt_;
  std::uint64_t messages_ = 0;
  tests::reference::CipherPtr context_;
};

}  // namespace sevmon::bench
