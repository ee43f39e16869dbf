// SPDX-License-Identifier: Apache-2.0
#include "channel/crypto.hpp"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <openssl/rand.h>

#include <memory>

#include <sevmon/secrets.hpp>

#include "support/vectors.hpp"

namespace sevmon::ids {
namespace {

using tests::Bytes;
using tests::GcmVector;

Bytes sealed_of(const GcmVector& vector) {
  auto sealed = vector.cipher;
  sealed.insert(sealed.end(), vector.tag.begin(), vector.tag.end());
  return sealed;
}

AesGcm::Key key_of(const GcmVector& vector) {
  return ByteView{vector.key}.first<32>();
}
AesGcm::Nonce nonce_of(const GcmVector& vector) {
  return ByteView{vector.nonce}.first<12>();
}

/// A wrong tag shows nothing of what was decrypted under it.
void expect_opens(AesGcm& gcm, const GcmVector& vector) {
  const auto sealed = sealed_of(vector);
  Bytes opened(vector.cipher.size(), 0xcc);
  EXPECT_EQ(gcm.open(key_of(vector), nonce_of(vector), vector.aad, sealed, opened), vector.valid);
  EXPECT_EQ(opened, vector.valid ? vector.plain : Bytes(vector.cipher.size()));
}

void expect_seals(AesGcm& gcm, const GcmVector& vector) {
  Bytes sealed(vector.plain.size() + AesGcm::kTagBytes);
  gcm.seal(key_of(vector), nonce_of(vector), vector.aad, vector.plain, sealed);
  EXPECT_EQ(sealed == sealed_of(vector), vector.valid);
}

TEST(AesGcm, Wycheproof) {
  AesGcm gcm;
  const auto vectors = tests::wycheproof_gcm();
  EXPECT_EQ(vectors.size(), 66u);
  for (const auto& vector : vectors) {
    SCOPED_TRACE(vector.name);
    expect_opens(gcm, vector);
    expect_seals(gcm, vector);
  }
}

TEST(AesGcm, CavpWithWholeTags) {
  AesGcm gcm;
  std::size_t sealed = 0, opened = 0;
  for (const auto& vector : tests::cavp_gcm("gcmEncryptExtIV256.rsp")) {
    if (vector.tag.size() != AesGcm::kTagBytes) continue;
    SCOPED_TRACE(vector.name);
    expect_seals(gcm, vector);
    ++sealed;
  }
  for (const auto& vector : tests::cavp_gcm("gcmDecrypt256.rsp")) {
    if (vector.tag.size() != AesGcm::kTagBytes) continue;
    SCOPED_TRACE(vector.name);
    expect_opens(gcm, vector);
    ++opened;
  }
  EXPECT_GT(sealed, 300u);
  EXPECT_GT(opened, 300u);
}

TEST(X25519, Wycheproof) {
  const auto vectors = tests::wycheproof_x25519();
  EXPECT_EQ(vectors.size(), 518u);
  for (const auto& vector : vectors) {
    SCOPED_TRACE(vector.name);
    const Secret<32> mine{ByteView{vector.secret}.first<32>()};
    const auto shared = x25519(mine, ByteView{vector.public_key}.first<32>());
    EXPECT_EQ(shared.has_value(), vector.shared != Bytes(32));
    if (shared) {
      EXPECT_TRUE(std::ranges::equal(shared->view(), vector.shared));
    }
  }
}

TEST(X25519, FreshKeysAgree) {
  const auto a = generate_keypair();
  const auto b = generate_keypair();
  EXPECT_NE(a.public_key, b.public_key);
  const auto ab = x25519(a.private_key, b.public_key);
  const auto ba = x25519(b.private_key, a.public_key);
  ASSERT_TRUE(ab && ba);
  EXPECT_TRUE(std::ranges::equal(ab->view(), ba->view()));
}

TEST(HmacSha256, WycheproofInTwoParts) {
  const auto vectors = tests::wycheproof_hmac();
  EXPECT_GT(vectors.size(), 50u);
  for (const auto& vector : vectors) {
    const ByteView message{vector.message};
    const auto half = message.size() / 2;
    const auto mac = hmac_sha256(vector.key, {message.first(half), message.subspan(half)});
    EXPECT_EQ(std::ranges::equal(mac.view(), vector.tag), vector.valid);
  }
}

/// OpenSSL's generator in a machine whose memory was set back: the same bytes again.
class RepeatingGenerator {
 public:
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  RepeatingGenerator() {
    RAND_set_rand_method(&kMethod);
  }
  ~RepeatingGenerator() {
    RAND_set_rand_method(nullptr);
  }
#pragma GCC diagnostic pop

 private:
  static int fill(unsigned char* out, int bytes) {
    std::fill_n(out, bytes, static_cast<unsigned char>(0x77));
    return 1;
  }
  static constexpr RAND_METHOD kMethod{nullptr, fill, nullptr, nullptr, fill, nullptr};
};

TEST(Randomness, DoesNotComeAgainWhenMemoryIsSetBack) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & 1U << 30) == 0)
    GTEST_SKIP() << "this CPU has no RDRAND";
  const RepeatingGenerator generator;
  EXPECT_NE(random_array<12>(), random_array<12>());
  EXPECT_NE(generate_keypair().public_key, generate_keypair().public_key);
  // Also the last bytes of what is no multiple of eight.
  std::array<std::uint8_t, 12> mixed{};
  for (int i = 0; i < 16; ++i) {
    const auto bytes = random_array<12>();
    for (std::size_t j = 0; j < bytes.size(); ++j) mixed[j] |= bytes[j] ^ 0x77;
  }
  EXPECT_EQ(std::ranges::count(mixed, 0), 0);
}

TEST(Secret, IsWiped) {
  // OpenSSL's heap for secrets: its memory is still there when it has been given back.
  static_cast<void>(lock_secrets());
  ASSERT_EQ(CRYPTO_secure_malloc_initialized(), 1);
  auto secret = std::make_unique<Secret<32>>();
  std::ranges::fill(secret->edit(), std::uint8_t{0x5a});
  const volatile std::uint8_t* const bytes = secret->data();
  secret.reset();
  // The first words become the free list's.
  for (std::size_t i = 2 * sizeof(void*); i < 32; ++i) EXPECT_EQ(bytes[i], 0) << i;
}

}  // namespace
}  // namespace sevmon::ids
