// SPDX-License-Identifier: Apache-2.0
//
// The two containers that no library reads for us: lzop's file format and LZ4's legacy frames, as
// the kernel's build writes them (Linux scripts/Makefile.lib; lib/decompress_unlzo.c and
// decompress_unlz4.c read them).
#include <lz4.h>
#include <lzo/lzo1x.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "profile/decompress.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

/// Reads forward; once a read would pass the end, `ok` stays false and reads give 0.
struct Cursor {
  ByteSpan bytes;
  std::size_t at = 0;
  bool ok = true;

  ByteSpan take(std::size_t count) {
    ok = ok && fits(bytes.size(), at, count);
    if (!ok) return {};
    at += count;
    return bytes.subspan(at - count, count);
  }
  std::uint32_t take_be(std::size_t count) {
    std::uint32_t value = 0;
    for (const std::byte byte : take(count)) value = value << 8 | std::to_integer<uint8_t>(byte);
    return value;
  }
  std::size_t left() const { return bytes.size() - at; }
};

Error truncated(std::string_view what, std::size_t at) {
  return {ErrorCode::kTruncated,
          std::string{what} + " stream at offset " + hex(at) + " ends early"};
}

Error damaged(std::string_view what, std::size_t at) {
  return {ErrorCode::kMalformed,
          std::string{what} + " stream at offset " + hex(at) + " is damaged"};
}

Error too_large(std::string_view what, std::size_t limit_bytes) {
  return {ErrorCode::kTooLarge,
          std::string{what} + " stream holds more than " + std::to_string(limit_bytes) + " bytes"};
}

// lzop's header flags.
constexpr std::uint32_t kAdlerOfData = 0x1;
constexpr std::uint32_t kAdlerOfCompressed = 0x2;
constexpr std::uint32_t kExtraField = 0x40;
constexpr std::uint32_t kCrcOfData = 0x100;
constexpr std::uint32_t kCrcOfCompressed = 0x200;
constexpr std::uint32_t kMultipart = 0x400;
constexpr std::uint32_t kFilter = 0x800;
constexpr std::uint32_t kMaxBlockBytes = 64 << 20;

/// Skip the header. @return its flags.
Result<std::uint32_t> read_lzop_header(Cursor& in) {
  constexpr std::size_t kMagicBytes = 9;
  constexpr std::uint32_t kFirstNewVersion = 0x0940;
  in.take(kMagicBytes);
  const std::uint32_t version = in.take_be(2);
  const bool is_new = version >= kFirstNewVersion;
  in.take(2);              // library's version
  if (is_new) in.take(2);  // version needed to extract
  const std::uint32_t method = in.take_be(1);
  if (is_new) in.take(1);  // level
  const std::uint32_t flags = in.take_be(4);
  in.take(is_new ? 12 : 8);  // mode, time (two words when new)
  in.take(in.take_be(1));    // file name
  in.take(4);                // checksum of the header
  if (!in.ok) return truncated("lzo", in.at);
  if (method < 1 || method > 3)
    return Error{ErrorCode::kUnsupported, "lzo method " + std::to_string(method)};
  if (flags & (kMultipart | kFilter | kExtraField))
    return Error{ErrorCode::kUnsupported, "lzo flags " + hex(flags)};
  return flags;
}

std::uint32_t checksum_of(ByteSpan data, bool adler) {
  const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
  const auto count = static_cast<uInt>(data.size());
  return static_cast<std::uint32_t>(adler ? adler32(adler32(0, nullptr, 0), bytes, count)
                                          : crc32(crc32(0, nullptr, 0), bytes, count));
}

}  // namespace

Result<std::vector<std::byte>> decompress_lzo(ByteSpan bytes, std::size_t limit_bytes) {
  Cursor in{bytes};
  const auto header = read_lzop_header(in);
  if (!header) return header.error();
  const std::uint32_t flags = *header;

  std::vector<std::byte> out;
  while (true) {
    const std::size_t block_at = in.at;
    const std::uint32_t data_bytes = in.take_be(4);
    if (in.ok && data_bytes == 0) return out;
    const std::uint32_t stored_bytes = in.take_be(4);
    const bool is_stored = stored_bytes == data_bytes;
    const std::uint32_t adler = flags & kAdlerOfData ? in.take_be(4) : 0;
    const std::uint32_t crc = flags & kCrcOfData ? in.take_be(4) : 0;
    if (!is_stored && flags & kAdlerOfCompressed) in.take(4);
    if (!is_stored && flags & kCrcOfCompressed) in.take(4);
    const ByteSpan stored = in.take(stored_bytes);
    if (!in.ok) return truncated("lzo", block_at);
    if (stored_bytes > data_bytes || data_bytes > kMaxBlockBytes) return damaged("lzo", block_at);
    if (data_bytes > limit_bytes - out.size()) return too_large("lzo", limit_bytes);

    out.resize(out.size() + data_bytes);
    const std::span<std::byte> data = std::span{out}.last(data_bytes);
    lzo_uint made = data_bytes;
    if (is_stored)
      std::copy(stored.begin(), stored.end(), data.begin());
    else if (lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(stored.data()),
                                   stored_bytes, reinterpret_cast<unsigned char*>(data.data()),
                                   &made, nullptr) != LZO_E_OK)
      return damaged("lzo", block_at);
    if (made != data_bytes || (flags & kAdlerOfData && checksum_of(data, true) != adler) ||
        (flags & kCrcOfData && checksum_of(data, false) != crc))
      return damaged("lzo", block_at);
  }
}

Result<std::vector<std::byte>> decompress_lz4(ByteSpan bytes, std::size_t limit_bytes) {
  constexpr std::uint32_t kMagic = 0x184c2102;
  constexpr std::size_t kBlockBytes = 8 << 20;  // what each but the last block decompresses to
  constexpr std::size_t kMaxRatio = 256;
  Cursor in{bytes};
  in.take(4);
  std::vector<std::byte> out;
  while (in.left() > 0) {
    const std::size_t block_at = in.at;
    const ByteSpan word = in.take(4);
    if (!in.ok) return truncated("lz4", block_at);
    const auto stored_bytes = load_le<std::uint32_t>(word, 0);
    if (stored_bytes == kMagic) continue;  // another frame: `lz4 -l` of several inputs
    if (stored_bytes > static_cast<std::uint32_t>(LZ4_COMPRESSBOUND(kBlockBytes)))
      return damaged("lz4", block_at);
    const ByteSpan stored = in.take(stored_bytes);
    if (!in.ok) return truncated("lz4", block_at);

    const std::size_t before = out.size();
    // No more room than the block can fill, or many tiny blocks would cost megabytes each.
    const std::size_t most = std::min(kBlockBytes, stored_bytes * kMaxRatio);
    const std::size_t room = std::min(most, limit_bytes - before);
    out.resize(before + room);
    const int made = LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()),
                                         reinterpret_cast<char*>(out.data() + before),
                                         static_cast<int>(stored_bytes), static_cast<int>(room));
    if (made < 0 && room < most) return too_large("lz4", limit_bytes);
    if (made < 0) return damaged("lz4", block_at);
    out.resize(before + static_cast<std::size_t>(made));
  }
  return out;
}

}  // namespace sevmon::ids
