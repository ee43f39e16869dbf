// SPDX-License-Identifier: Apache-2.0
#include "channel/xaes.hpp"

#include <gtest/gtest.h>

#include "support/vectors.hpp"

namespace sevmon::ids {
namespace {

using U8s = tests::Bytes;

TEST(Xaes, SpecificationVectors) {
  const auto vectors = tests::c2sp_xaes();
  EXPECT_EQ(vectors.size(), 2u);
  for (const auto& vector : vectors) {
    const Xaes::Nonce nonce{ByteView{vector.nonce}.first<24>()};
    Xaes xaes{Secret<32>{ByteView{vector.key}.first<32>()}};
    U8s sealed(vector.plain.size() + Xaes::kTagBytes);
    xaes.seal(nonce, vector.aad, vector.plain, sealed);
    EXPECT_EQ(sealed, vector.sealed);
    U8s opened(vector.plain.size());
    EXPECT_TRUE(xaes.open(nonce, vector.aad, sealed, opened));
    EXPECT_EQ(opened, vector.plain);
  }
}

TEST(Xaes, SpecificationKeys) {
  const auto json = tests::load_json(tests::vector_dir() / "xaes-256-gcm.json");
  for (const auto& vector : json["vectors"]) {
    const auto key = tests::hex_field(vector, "key");
    const auto nonce = tests::from_text(vector["nonce_ascii"].get<std::string>());
    Xaes xaes{Secret<32>{ByteView{key}.first<32>()}};
    EXPECT_TRUE(std::ranges::equal(xaes.derive_key(ByteView{nonce}.first<12>()).view(),
                                   tests::hex_field(vector, "Kx")));
  }
}

/// SHAKE-128 of nothing, long enough for 10,000 tests.
U8s shake_stream() {
  U8s stream(10000 * (32 + 24 + 2 * 256));
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, EVP_shake128(), nullptr);
  EVP_DigestFinalXOF(context, stream.data(), stream.size());
  EVP_MD_CTX_free(context);
  return stream;
}

TEST(Xaes, AccumulatedVectors) {
  const auto stream = shake_stream();
  ByteView rest{stream};
  const auto take = [&](std::size_t count) {
    const auto taken = rest.first(count);
    rest = rest.subspan(count);
    return taken;
  };
  EVP_MD_CTX* const hash = EVP_MD_CTX_new();
  EVP_DigestInit_ex(hash, EVP_shake128(), nullptr);
  for (int i = 0; i < 10000; ++i) {
    Xaes xaes{Secret<32>{take(32).first<32>()}};
    const auto nonce = take(24).first<24>();
    const auto plaintext = take(take(1)[0]);
    const auto aad = take(take(1)[0]);
    U8s sealed(plaintext.size() + Xaes::kTagBytes);
    xaes.seal(nonce, aad, plaintext, sealed);
    EVP_DigestUpdate(hash, sealed.data(), sealed.size());
    U8s opened(plaintext.size());
    ASSERT_TRUE(xaes.open(nonce, aad, sealed, opened));
    ASSERT_TRUE(std::ranges::equal(opened, plaintext));
  }
  U8s digest(32);
  EVP_DigestFinalXOF(hash, digest.data(), digest.size());
  EVP_MD_CTX_free(hash);
  const auto json = tests::load_json(tests::vector_dir() / "xaes-256-gcm.json");
  EXPECT_EQ(digest, tests::hex_field(json["accumulated"], "iterations_10000"));
}

TEST(Xaes, EachBitIsAuthenticated) {
  Xaes xaes{Secret<32>{}};
  const auto nonce = random_array<24>();
  const U8s aad(16, 1);
  const U8s plaintext(40, 2);
  U8s sealed(plaintext.size() + Xaes::kTagBytes);
  xaes.seal(nonce, aad, plaintext, sealed);
  U8s opened(plaintext.size());
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    auto bent = sealed;
    bent[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(xaes.open(nonce, aad, bent, opened)) << "ciphertext bit " << bit;
  }
  for (std::size_t bit = 0; bit < aad.size() * 8; ++bit) {
    auto bent = aad;
    bent[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(xaes.open(nonce, bent, sealed, opened)) << "header bit " << bit;
  }
  for (std::size_t bit = 0; bit < nonce.size() * 8; ++bit) {
    auto bent = nonce;
    bent[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(xaes.open(bent, aad, sealed, opened)) << "nonce bit " << bit;
  }
  EXPECT_TRUE(xaes.open(nonce, aad, sealed, opened));
}

TEST(MakeNonce, EndsInBigEndianNumber) {
  const std::array<std::uint8_t, 12> random{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::array<std::uint8_t, 24> expected{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                              0, 0, 0, 0, 0, 0, 0, 0, 0, 1,  2,  3};
  EXPECT_EQ(make_nonce(random, 0x010203), expected);
}

}  // namespace
}  // namespace sevmon::ids
