// SPDX-License-Identifier: Apache-2.0
//
// What the agent computes with, against published vectors.
#include <gtest/gtest.h>

#include "dh.h"
#include "noise.h"
#include "support/fake_host.hpp"
#include "support/vectors.hpp"
#include "xaes.h"

namespace sevmon::tests {
namespace {

sevmon_gcm_key scheduled(ByteView key) {
  sevmon_gcm_key scheduled{};
  sevmon_gcm_set_key(&scheduled, key.data());
  return scheduled;
}

/// Ciphertext and whole tag.
std::pair<Bytes, Bytes> seal(const GcmVector& v) {
  const auto key = scheduled(v.key);
  Bytes cipher(v.plain.size()), tag(16);
  sevmon_gcm_seal(&key, v.nonce.data(), v.aad.data(), v.aad.size(), v.plain.data(), v.plain.size(),
                  cipher.data(), tag.data());
  return {cipher, tag};
}

std::optional<Bytes> open(const GcmVector& v) {
  const auto key = scheduled(v.key);
  Bytes plain(v.cipher.size(), 0xee);
  if (sevmon_gcm_open(&key, v.nonce.data(), v.aad.data(), v.aad.size(), v.cipher.data(),
                      v.cipher.size(), v.tag.data(), plain.data()))
    return plain;
  EXPECT_EQ(plain, Bytes(plain.size())) << v.name << ": plaintext of a forgery gets out";
  return std::nullopt;
}

TEST(Gcm, SealsAsTheVectorsSay) {
  auto vectors = wycheproof_gcm();
  const auto cavp = cavp_gcm("gcmEncryptExtIV256.rsp");
  vectors.insert(vectors.end(), cavp.begin(), cavp.end());
  ASSERT_GT(vectors.size(), 2600u);
  for (const auto& v : vectors) {
    if (!v.valid) continue;
    const auto [cipher, tag] = seal(v);
    EXPECT_EQ(to_hex(cipher), to_hex(v.cipher)) << v.name;
    EXPECT_EQ(to_hex(ByteView{tag}.first(v.tag.size())), to_hex(v.tag)) << v.name;
  }
}

TEST(Gcm, OpensWhatIsRightAndNothingElse) {
  auto vectors = wycheproof_gcm();
  const auto cavp = cavp_gcm("gcmDecrypt256.rsp");
  vectors.insert(vectors.end(), cavp.begin(), cavp.end());
  unsigned opened = 0, refused = 0;
  for (const auto& v : vectors) {
    if (v.tag.size() != 16) continue;
    const auto plain = open(v);
    EXPECT_EQ(plain.has_value(), v.valid) << v.name;
    if (plain) {
      EXPECT_EQ(to_hex(*plain), to_hex(v.plain)) << v.name;
    }
    ++(plain ? opened : refused);
  }
  EXPECT_GT(opened, 150u);
  EXPECT_GT(refused, 100u);
}

/// Every length up to three rounds of the assembly's eight-block loop, against itself in pieces
/// that the vectors reach: a sealed message opens, and not with any one bit of its tag flipped.
TEST(Gcm, EveryLengthOpensAndEveryTagBitCounts) {
  GcmVector v{"own", Bytes(32, 7), Bytes(12, 9), Bytes(16, 3), {}, {}, {}, true};
  for (std::size_t size = 0; size <= 400; ++size) {
    v.plain.assign(size, static_cast<std::uint8_t>(size));
    std::tie(v.cipher, v.tag) = seal(v);
    ASSERT_EQ(open(v), v.plain) << size;
    v.tag[size % 16] ^= static_cast<std::uint8_t>(1 << size % 8);
    ASSERT_EQ(open(v), std::nullopt) << size;
  }
}

TEST(Gcm, PiecesAreSealedAsTheWhole) {
  const GcmVector v{"own", Bytes(32, 7), Bytes(12, 9), Bytes(16, 3), Bytes(1000, 5), {}, {}, true};
  const auto [cipher, tag] = seal(v);
  sevmon_gcm_key key;
  sevmon_gcm_set_key(&key, v.key.data());
  for (std::size_t first = 16; first < 1000; first += 16) {
    auto data = v.plain;
    Bytes end(16);
    sevmon_gcm_stream stream;
    sevmon_gcm_begin(&key, &stream, v.nonce.data(), v.aad.data(), v.aad.size());
    const auto second = std::min<std::size_t>(first, (1000 - first) / 2 / 16 * 16);
    sevmon_gcm_add(&key, &stream, data.data(), first);
    if (second) sevmon_gcm_add(&key, &stream, data.data() + first, second);
    sevmon_gcm_add(&key, &stream, data.data() + first + second, 1000 - first - second);
    sevmon_gcm_end(&key, &stream, end.data());
    ASSERT_EQ(data, cipher) << first;
    ASSERT_EQ(end, tag) << first;
  }
}

TEST(Xaes, SealsAsTheSpecificationSays) {
  const auto vectors = c2sp_xaes();
  ASSERT_EQ(vectors.size(), 2u);
  for (const auto& v : vectors) {
    sevmon_gcm_key key{};
    Bytes sealed(v.plain.size() + 16);
    sevmon_xaes_derive(&key, v.key.data(), v.nonce.data());
    sevmon_gcm_seal(&key, v.nonce.data() + 12, v.aad.data(), v.aad.size(), v.plain.data(),
                    v.plain.size(), sealed.data(), sealed.data() + v.plain.size());
    EXPECT_EQ(to_hex(sealed), to_hex(v.sealed));
  }
}

TEST(X25519, AgreesWithTheVectors) {
  auto vectors = wycheproof_x25519();
  ASSERT_GT(vectors.size(), 500u);
  const auto rfc = nist_records("asymmetric/X25519/rfc7748.txt");
  ASSERT_GE(rfc.size(), 2u);
  for (unsigned i = 0; i < 2; ++i)  // the third is a thousand rounds of it
    vectors.push_back({"RFC 7748", from_hex(rfc[i].at("INPUT_U")),
                       from_hex(rfc[i].at("INPUT_SCALAR")), from_hex(rfc[i].at("OUTPUT_U"))});
  unsigned small_order = 0;
  for (const auto& v : vectors) {
    Bytes shared(32);
    const bool good = sevmon_dh(shared.data(), v.secret.data(), v.public_key.data());
    EXPECT_EQ(to_hex(shared), to_hex(v.shared)) << v.name;
    EXPECT_EQ(good, v.shared != Bytes(32)) << v.name;
    small_order += !good;
  }
  EXPECT_GT(small_order, 10u);
}

TEST(Hmac, AgreesWithTheVectors) {
  FakeHost host;
  unsigned compared = 0;
  for (const auto& v : wycheproof_hmac()) {
    if (v.key.size() > 64 || v.message.size() > SEVMON_HMAC_MAX_BYTES) continue;
    Bytes tag(32);
    sevmon_hmac(host.table(), tag.data(), v.key.data(), v.key.size(), v.message.data(),
                v.message.size());
    EXPECT_EQ(tag == v.tag, v.valid);
    ++compared;
  }
  EXPECT_GT(compared, 70u);
}

/// Noise's HKDF is RFC 5869's without info, of a 32-byte salt.
TEST(Hkdf, AgreesWithTheVectors) {
  FakeHost host;
  unsigned compared = 0;
  auto vectors = wycheproof_hkdf();
  for (const auto& record : nist_records("KDF/rfc-5869-HKDF-SHA256.txt"))
    vectors.push_back({from_hex(record.at("IKM")), from_hex(record.at("salt")),
                       from_hex(record.at("info")), from_hex(record.at("OKM"))});
  for (auto& v : vectors) {
    // A shorter salt is one with zeros behind it (RFC 2104).
    if (!v.info.empty() || v.salt.size() > 32 || v.ikm.size() > SEVMON_HMAC_MAX_BYTES) continue;
    v.salt.resize(32);
    Bytes out(96);
    sevmon_hkdf(host.table(), v.salt.data(), v.ikm.data(), v.ikm.size(), &out[0], &out[32],
                &out[64]);
    const auto common = std::min<std::size_t>(v.okm.size(), out.size());
    EXPECT_EQ(to_hex(ByteView{out}.first(common)), to_hex(ByteView{v.okm}.first(common)));
    ++compared;
  }
  EXPECT_GT(compared, 5u);
}

class NoiseVectors : public ::testing::TestWithParam<NoiseVector> {};

TEST_P(NoiseVectors, WholeConversation) {
  const auto& v = GetParam();
  FakeHost host;
  sevmon_noise noise{};
  sevmon_noise_start(&noise, host.table(), v.prologue.data(), v.prologue.size());

  const auto& first = v.messages.at(0);
  Bytes payload(first.payload.size());
  ASSERT_TRUE(sevmon_noise_read_first(&noise, v.psk.data(), first.ciphertext.data(), payload.data(),
                                      payload.size()));
  EXPECT_EQ(payload, first.payload);

  const auto& second = v.messages.at(1);
  Bytes answer(second.ciphertext.size());
  ASSERT_TRUE(sevmon_noise_reply(&noise, v.responder_ephemeral.data(), answer.data()));
  Key keys[2];
  sevmon_noise_split(&noise, keys[0].data(), keys[1].data());
  sevmon_noise_write_payload(&noise, second.payload.data(), second.payload.size(),
                             answer.data() + 32);
  EXPECT_EQ(to_hex(answer), to_hex(second.ciphertext));
  if (v.handshake_hash) {
    EXPECT_EQ(to_hex(noise.h), to_hex(*v.handshake_hash));
  }

  // Transport messages show that the keys are right; each direction counts from 0.
  for (std::size_t i = 2; i < v.messages.size(); ++i) {
    GcmVector message{v.name,
                      Bytes(keys[i % 2].begin(), keys[i % 2].end()),
                      Bytes(12),
                      {},
                      v.messages[i].payload,
                      {},
                      {},
                      true};
    message.nonce[11] = static_cast<std::uint8_t>((i - 2) / 2);
    auto [cipher, tag] = seal(message);
    cipher.insert(cipher.end(), tag.begin(), tag.end());
    EXPECT_EQ(to_hex(cipher), to_hex(v.messages[i].ciphertext)) << i;
  }
}

TEST_P(NoiseVectors, EveryBitOfTheFirstMessageCounts) {
  const auto& v = GetParam();
  FakeHost host;
  auto message = v.messages.at(0).ciphertext;
  Bytes payload(v.messages.at(0).payload.size());
  for (std::size_t bit = 0; bit < 8 * message.size(); ++bit) {
    message[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    sevmon_noise noise{};
    sevmon_noise_start(&noise, host.table(), v.prologue.data(), v.prologue.size());
    EXPECT_FALSE(sevmon_noise_read_first(&noise, v.psk.data(), message.data(), payload.data(),
                                         payload.size()))
        << bit;
    message[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
}

INSTANTIATE_TEST_SUITE_P(Cacophony, NoiseVectors, ::testing::ValuesIn(cacophony_nnpsk0()));
INSTANTIATE_TEST_SUITE_P(Flynn, NoiseVectors, ::testing::ValuesIn(flynn_nnpsk0()));

TEST(Selftest, PassesAndLeavesOffWhenAHashIsWrong) {
  FakeHost host;
  EXPECT_EQ(sevmon_agent_selftest(host.table()), nullptr);

  auto broken = *host.table();
  broken.sha256 = [](std::uint8_t digest[32], const void*, std::size_t) {
    std::memset(digest, 0x5a, 32);
  };
  EXPECT_STREQ(sevmon_agent_selftest(&broken), "SHA-256");

  broken = *host.table();
  // Forgets what did not fill a block.
  broken.sha256_add = [](sevmon_sha256* hash, const void* part, std::size_t bytes) {
    sha256_add(hash, part, bytes / 64 * 64);
  };
  EXPECT_STREQ(sevmon_agent_selftest(&broken), "SHA-256 in parts");
}

}  // namespace
}  // namespace sevmon::tests
