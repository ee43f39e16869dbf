// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"
#include "profile/symbols.hpp"

namespace sevmon::ids {

/// What tells one kernel build from another.
struct KernelIdentity {
  std::string banner;
  std::string release;
  std::string build_id;
  std::array<std::uint8_t, 32> file_sha256{};
  std::uint64_t file_bytes = 0;

  bool operator==(const KernelIdentity&) const = default;
};

struct ProfileContent {
  KernelIdentity identity;
  SymbolTable symbols;
  std::vector<std::byte> btf;
};

/// The file that keeps a profile. Little-endian, no padding, nothing between or behind:
///
///   "SEVMPROF"  u32 version  u32 sections
///   per section, in this order identity, symbols, btf:
///     u64 stored bytes   u64 bytes when decompressed   32 bytes SHA-256 of what is stored
///   32 bytes SHA-256 of all of the above
///   the sections as stored: each one zstd frame
///
/// The digests find damage. They are no proof of origin: a profile file is as trusted as the
/// vmlinuz that it stands for.
std::vector<std::byte> encode_profile(const KernelIdentity& identity, const SymbolTable& symbols,
                                      ByteSpan btf);

/// @return kTruncated, kMalformed, kTooLarge; kUnsupported for another version.
common::Result<ProfileContent> decode_profile(ByteSpan file);

/// The identity section alone.
std::vector<std::byte> encode_identity(const KernelIdentity& identity);
common::Result<KernelIdentity> decode_identity(ByteSpan bytes);

std::array<std::uint8_t, 32> sha256(ByteSpan bytes);

}  // namespace sevmon::ids
