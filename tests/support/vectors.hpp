// SPDX-License-Identifier: Apache-2.0
//
// Published test vectors, for both ends' implementations: from tests/vectors, and from Debian's
// packages golang-github-flynn-noise-dev and python3-cryptography-vectors.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/bytes.hpp"

namespace sevmon::tests {

/// Where tests/vectors is; the build says.
inline std::filesystem::path vector_dir() {
  return SEVMON_VECTOR_DIR;
}

inline const std::filesystem::path kFlynnNoise =
    "/usr/share/gocode/src/github.com/flynn/noise/vectors.txt";
inline const std::filesystem::path kCryptographyVectors =
    "/usr/lib/python3/dist-packages/cryptography_vectors";

inline std::ifstream open_vectors(const std::filesystem::path& path) {
  std::ifstream in{path};
  if (!in)
    throw std::runtime_error{path.string() + " is missing: scripts/packages names its source"};
  return in;
}

inline nlohmann::json load_json(const std::filesystem::path& path) {
  return nlohmann::json::parse(open_vectors(path));
}

inline Bytes hex_field(const nlohmann::json& record, const char* name) {
  return from_hex(record.at(name).get<std::string>());
}

/// AES-256-GCM with 12-byte nonces. CAVP also has tags that are cut short.
struct GcmVector {
  std::string name;
  Bytes key, nonce, aad, plain, cipher, tag;
  bool valid = true;
};

inline std::vector<GcmVector> wycheproof_gcm() {
  std::vector<GcmVector> vectors;
  const auto file = load_json(vector_dir() / "wycheproof/aes_gcm_test.json");
  for (const auto& group : file.at("testGroups")) {
    if (group.at("keySize") != 256 || group.at("ivSize") != 96 || group.at("tagSize") != 128)
      continue;
    for (const auto& test : group.at("tests"))
      vectors.push_back({"wycheproof " + test.at("tcId").dump(), hex_field(test, "key"),
                         hex_field(test, "iv"), hex_field(test, "aad"), hex_field(test, "msg"),
                         hex_field(test, "ct"), hex_field(test, "tag"),
                         test.at("result") == "valid"});
  }
  return vectors;
}

/// NIST CAVP, "gcmEncryptExtIV256.rsp" or "gcmDecrypt256.rsp"; only 12-byte nonces.
inline std::vector<GcmVector> cavp_gcm(const std::string& file) {
  auto in = open_vectors(kCryptographyVectors / "ciphers/AES/GCM" / file);
  std::vector<GcmVector> vectors;
  std::map<std::string, std::string> fields;
  const auto finish = [&] {
    if (fields.contains("Key") && fields["IV"].size() == 24)
      vectors.push_back({file + " " + fields["Count"], from_hex(fields["Key"]),
                         from_hex(fields["IV"]), from_hex(fields["AAD"]), from_hex(fields["PT"]),
                         from_hex(fields["CT"]), from_hex(fields["Tag"]),
                         !fields.contains("FAIL")});
    fields.clear();
  };
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#' || line.front() == '[') continue;
    const auto equals = line.find(" =");
    const auto name = line.substr(0, equals);
    if (name == "Count") finish();
    fields[name] =
        equals == std::string::npos || equals + 3 > line.size() ? "" : line.substr(equals + 3);
  }
  finish();
  return vectors;
}

struct XaesVector {
  Bytes key, nonce, aad, plain, sealed;
};

inline std::vector<XaesVector> c2sp_xaes() {
  std::vector<XaesVector> vectors;
  const auto file = load_json(vector_dir() / "xaes-256-gcm.json");
  for (const auto& test : file.at("vectors"))
    vectors.push_back({hex_field(test, "key"), from_text(test.at("nonce_ascii").get<std::string>()),
                       from_text(test.at("aad_ascii").get<std::string>()),
                       from_text(test.at("plaintext_ascii").get<std::string>()),
                       hex_field(test, "ciphertext")});
  return vectors;
}

struct DhVector {
  std::string name;
  Bytes public_key, secret, shared;
};

inline std::vector<DhVector> wycheproof_x25519() {
  std::vector<DhVector> vectors;
  const auto file = load_json(vector_dir() / "wycheproof/x25519_test.json");
  for (const auto& group : file.at("testGroups"))
    for (const auto& test : group.at("tests"))
      vectors.push_back({"wycheproof " + test.at("tcId").dump(), hex_field(test, "public"),
                         hex_field(test, "private"), hex_field(test, "shared")});
  return vectors;
}

struct MacVector {
  Bytes key, message, tag;
  bool valid = true;
};

/// Whole tags only.
inline std::vector<MacVector> wycheproof_hmac() {
  std::vector<MacVector> vectors;
  const auto file = load_json(vector_dir() / "wycheproof/hmac_sha256_test.json");
  for (const auto& group : file.at("testGroups"))
    if (group.at("tagSize") == 256)
      for (const auto& test : group.at("tests"))
        vectors.push_back({hex_field(test, "key"), hex_field(test, "msg"), hex_field(test, "tag"),
                           test.at("result") == "valid"});
  return vectors;
}

struct HkdfVector {
  Bytes ikm, salt, info, okm;
};

inline std::vector<HkdfVector> wycheproof_hkdf() {
  std::vector<HkdfVector> vectors;
  const auto file = load_json(vector_dir() / "wycheproof/hkdf_sha256_test.json");
  for (const auto& group : file.at("testGroups"))
    for (const auto& test : group.at("tests"))
      if (test.at("result") == "valid")
        vectors.push_back({hex_field(test, "ikm"), hex_field(test, "salt"), hex_field(test, "info"),
                           hex_field(test, "okm")});
  return vectors;
}

/// "name = value" lines, a record per "COUNT" line (rfc7748.txt, rfc-5869-HKDF-SHA256.txt).
inline std::vector<std::map<std::string, std::string>> nist_records(
    const std::filesystem::path& file) {
  auto in = open_vectors(kCryptographyVectors / file);
  std::vector<std::map<std::string, std::string>> records;
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    const auto equals = line.find('=');
    if (line.empty() || line.front() == '#' || equals == std::string::npos) continue;
    auto name = line.substr(0, equals), value = line.substr(equals + 1);
    while (!name.empty() && name.back() == ' ') name.pop_back();
    while (!value.empty() && value.front() == ' ') value.erase(0, 1);
    if (name == "COUNT") records.emplace_back();
    if (!records.empty()) records.back()[name] = value;
  }
  return records;
}

/// A whole Noise_NNpsk0_25519_AESGCM_SHA256 conversation; the initiator sends the even messages.
struct NoiseVector {
  std::string name;
  Bytes prologue, psk, initiator_ephemeral, responder_ephemeral;
  std::optional<Bytes> handshake_hash;
  struct Message {
    Bytes payload, ciphertext;
  };
  std::vector<Message> messages;
};

inline std::vector<NoiseVector> cacophony_nnpsk0() {
  std::vector<NoiseVector> vectors;
  const auto file = load_json(vector_dir() / "noise/cacophony-nnpsk0.json");
  for (const auto& test : file.at("vectors")) {
    NoiseVector vector{"cacophony",
                       hex_field(test, "init_prologue"),
                       from_hex(test.at("init_psks").at(0).get<std::string>()),
                       hex_field(test, "init_ephemeral"),
                       hex_field(test, "resp_ephemeral"),
                       hex_field(test, "handshake_hash"),
                       {}};
    for (const auto& message : test.at("messages"))
      vector.messages.push_back({hex_field(message, "payload"), hex_field(message, "ciphertext")});
    vectors.push_back(vector);
  }
  return vectors;
}

inline std::vector<NoiseVector> flynn_nnpsk0() {
  auto in = open_vectors(kFlynnNoise);
  std::vector<NoiseVector> vectors;
  bool ours = false;
  for (std::string line; std::getline(in, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const auto name = line.substr(0, equals), value = line.substr(equals + 1);
    if (name == "handshake") {
      ours = value == "Noise_NNpsk0_25519_AESGCM_SHA256";
      if (ours) vectors.emplace_back().name = "flynn " + std::to_string(vectors.size());
    }
    if (!ours || name == "handshake") continue;
    auto& vector = vectors.back();
    if (name == "prologue") vector.prologue = from_hex(value);
    if (name == "preshared_key") vector.psk = from_hex(value);
    if (name == "gen_init_ephemeral") vector.initiator_ephemeral = from_hex(value);
    if (name == "gen_resp_ephemeral") vector.responder_ephemeral = from_hex(value);
    if (name.ends_with("_payload")) vector.messages.push_back({from_hex(value), {}});
    if (name.ends_with("_ciphertext")) vector.messages.back().ciphertext = from_hex(value);
  }
  return vectors;
}

}  // namespace sevmon::tests
