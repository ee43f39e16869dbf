// SPDX-License-Identifier: Apache-2.0
#include "profile/profile_file.hpp"

#include <openssl/evp.h>
#include <zstd.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

constexpr std::string_view kMagic = "SEVMPROF";
constexpr std::uint32_t kVersion = 1;
constexpr std::array<std::string_view, 3> kSections{"identity", "symbols", "btf"};
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kEntryBytes = 2 * sizeof(std::uint64_t) + kDigestBytes;
constexpr std::size_t kDirectoryBytes = 16 + kSections.size() * kEntryBytes;
constexpr std::size_t kHeaderBytes = kDirectoryBytes + kDigestBytes;
constexpr std::uint64_t kMaxSectionBytes = 256u << 20;
// 6 is near the fastest level that gets most of what more effort would.
constexpr int kLevel = 6;

using Digest = std::array<std::uint8_t, kDigestBytes>;

template <typename T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void append_string(std::vector<std::byte>& out, const std::string& text) {
  append(out, static_cast<std::uint32_t>(text.size()));
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  out.insert(out.end(), bytes, bytes + text.size());
}

std::vector<std::byte> compress(ByteSpan bytes) {
  std::vector<std::byte> out(ZSTD_compressBound(bytes.size()));
  const std::size_t made =
      ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kLevel);
  if (ZSTD_isError(made)) throw std::runtime_error{"zstd cannot compress"};
  out.resize(made);
  return out;
}

struct StoredSection {
  std::string_view name;
  std::uint64_t offset;
  std::uint64_t stored_bytes;
  std::uint64_t bytes;
  Digest digest;
};

Error section_error(ErrorCode code, const StoredSection& section, const std::string& why) {
  return {code, "profile file: section " + std::string{section.name} + " at offset " +
                    hex(section.offset) + " " + why};
}

Digest load_digest(ByteSpan bytes, std::size_t offset) {
  return load_le<Digest>(bytes, offset);
}

Result<std::array<StoredSection, kSections.size()>> read_directory(ByteSpan file) {
  if (file.size() < kHeaderBytes)
    return Error{ErrorCode::kTruncated, "profile file of " + std::to_string(file.size()) +
                                            " bytes ends inside its header of " +
                                            std::to_string(kHeaderBytes)};
  if (std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return Error{ErrorCode::kMalformed, "not a profile file: no SEVMPROF at offset 0"};
  const auto version = load_le<std::uint32_t>(file, 8);
  if (version != kVersion)
    return Error{ErrorCode::kUnsupported, "profile file of version " + std::to_string(version) +
                                              ": build it again from the vmlinuz"};
  if (load_le<std::uint32_t>(file, 12) != kSections.size() ||
      load_digest(file, kDirectoryBytes) != sha256(file.first(kDirectoryBytes)))
    return Error{ErrorCode::kMalformed, "profile file: its directory is damaged"};

  std::array<StoredSection, kSections.size()> sections{};
  std::uint64_t offset = kHeaderBytes;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::size_t entry = 16 + i * kEntryBytes;
    sections[i] = {kSections[i], offset, load_le<std::uint64_t>(file, entry),
                   load_le<std::uint64_t>(file, entry + 8), load_digest(file, entry + 16)};
    if (!fits(file.size(), offset, sections[i].stored_bytes))
      return section_error(ErrorCode::kTruncated, sections[i], "passes the end of the file");
    if (sections[i].bytes > kMaxSectionBytes)
      return section_error(ErrorCode::kTooLarge, sections[i],
                           "has " + std::to_string(sections[i].bytes) + " bytes");
    offset += sections[i].stored_bytes;
  }
  if (offset != file.size())
    return Error{ErrorCode::kMalformed, "profile file goes on after its end at " + hex(offset)};
  return sections;
}

Result<std::vector<std::byte>> read_section(ByteSpan file, const StoredSection& section) {
  const ByteSpan stored = file.subspan(section.offset, section.stored_bytes);
  if (sha256(stored) != section.digest)
    return section_error(ErrorCode::kMalformed, section, "is damaged: SHA-256 differs");
  // Before the allocation: a size that the frame does not confirm costs nothing.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != section.bytes)
    return section_error(ErrorCode::kMalformed, section,
                         "has another size than the directory says");
  std::vector<std::byte> bytes(section.bytes);
  if (ZSTD_decompress(bytes.data(), bytes.size(), stored.data(), stored.size()) != bytes.size())
    return section_error(ErrorCode::kMalformed, section, "does not decompress");
  return bytes;
}

}  // namespace

std::array<std::uint8_t, 32> sha256(ByteSpan bytes) {
  Digest digest{};
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1 ||
      length != digest.size())
    throw std::runtime_error{"OpenSSL has no SHA-256"};
  return digest;
}

std::vector<std::byte> encode_identity(const KernelIdentity& identity) {
  std::vector<std::byte> out;
  append(out, identity.file_sha256);
  append(out, identity.file_bytes);
  append_string(out, identity.banner);
  append_string(out, identity.release);
  append_string(out, identity.build_id);
  return out;
}

Result<KernelIdentity> decode_identity(ByteSpan bytes) {
  constexpr std::size_t kFixedBytes = kDigestBytes + sizeof(std::uint64_t);
  const Error cut{ErrorCode::kTruncated, "profile file: the identity ends early"};
  if (bytes.size() < kFixedBytes) return cut;
  KernelIdentity identity;
  identity.file_sha256 = load_digest(bytes, 0);
  identity.file_bytes = load_le<std::uint64_t>(bytes, kDigestBytes);
  std::size_t at = kFixedBytes;
  for (std::string* text : {&identity.banner, &identity.release, &identity.build_id}) {
    if (!fits(bytes.size(), at, sizeof(std::uint32_t))) return cut;
    const auto length = load_le<std::uint32_t>(bytes, at);
    at += sizeof length;
    if (!fits(bytes.size(), at, length)) return cut;
    text->assign(reinterpret_cast<const char*>(bytes.data()) + at, length);
    at += length;
  }
  if (at != bytes.size())
    return Error{ErrorCode::kMalformed, "profile file: the identity goes on after its end"};
  return identity;
}

std::vector<std::byte> encode_profile(const KernelIdentity& identity, const SymbolTable& symbols,
                                      ByteSpan btf) {
  const std::vector<std::byte> identity_bytes = encode_identity(identity);
  const std::vector<std::byte> symbol_bytes = symbols.encode();
  std::vector<std::byte> file, body;
  for (const char c : kMagic) append(file, c);
  append(file, kVersion);
  append(file, static_cast<std::uint32_t>(kSections.size()));
  for (const ByteSpan section : {ByteSpan{identity_bytes}, ByteSpan{symbol_bytes}, btf}) {
    const std::vector<std::byte> stored = compress(section);
    append(file, std::uint64_t{stored.size()});
    append(file, std::uint64_t{section.size()});
    append(file, sha256(stored));
    body.insert(body.end(), stored.begin(), stored.end());
  }
  append(file, sha256(file));
  file.insert(file.end(), body.begin(), body.end());
  return file;
}

Result<ProfileContent> decode_profile(ByteSpan file) {
  const auto sections = read_directory(file);
  if (!sections) return sections.error();
  std::array<std::vector<std::byte>, kSections.size()> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto section = read_section(file, (*sections)[i]);
    if (!section) return section.error();
    bytes[i] = *std::move(section);
  }
  auto identity = decode_identity(bytes[0]);
  if (!identity) return identity.error();
  auto symbols = SymbolTable::decode(bytes[1]);
  if (!symbols) return symbols.error();
  return ProfileContent{*std::move(identity), *std::move(symbols), std::move(bytes[2])};
}

}  // namespace sevmon::ids
