// SPDX-License-Identifier: Apache-2.0
#include "profile/decompress.hpp"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

struct Magic {
  Compression compression;
  std::string_view bytes;
};

using namespace std::string_view_literals;
constexpr std::array kMagics{
    Magic{Compression::kGzip, "\x1f\x8b\x08"sv},
    Magic{Compression::kBzip2, "BZh"sv},
    // LZMA alone has no magic: the usual properties byte, then a dictionary of a multiple of 64
    // KiB.
    Magic{Compression::kLzma, "\x5d\0\0"sv},
    Magic{Compression::kXz,
          "\xfd"
          "7zXZ\0"sv},
    Magic{Compression::kLzo, "\x89LZO\0\r\n\x1a\n"sv},
    Magic{Compression::kLz4, "\x02\x21\x4c\x18"sv},
    Magic{Compression::kZstd, "\x28\xb5\x2f\xfd"sv},
};

// Dictionaries of the kernel's build are 128 MiB at most (scripts/xz_wrap.sh, zstd --ultra -22).
constexpr std::uint64_t kMaxDecoderBytes = 256ull << 20;

enum class Step { kMore, kEnd, kBad };

/// What a decoder may take and fill; it advances both.
struct Window {
  const std::byte* in;
  std::size_t in_bytes;
  std::byte* out;
  std::size_t out_bytes;
};

/// Call `decode` until the stream ends, with output that grows as it fills: the size that a header
/// promises is not believed.
template <typename Decode>
Result<std::vector<std::byte>> run(std::string_view what, ByteSpan in, std::size_t limit_bytes,
                                   Decode decode) {
  std::vector<std::byte> out(std::min(limit_bytes + 1, std::max<std::size_t>(64, in.size() * 4)));
  std::size_t used = 0, made = 0;
  while (true) {
    Window window{in.data() + used, in.size() - used, out.data() + made, out.size() - made};
    const Step step = decode(window);
    const std::size_t now_used = in.size() - window.in_bytes;
    const std::size_t now_made = out.size() - window.out_bytes;
    const bool stuck = now_used == used && now_made == made;
    used = now_used;
    made = now_made;
    if (made > limit_bytes)
      return Error{ErrorCode::kTooLarge, std::string{what} + " stream holds more than " +
                                             std::to_string(limit_bytes) + " bytes"};
    const auto at = std::string{what} + " stream at offset " + hex(used);
    if (step == Step::kEnd) break;
    if (step == Step::kBad) return Error{ErrorCode::kMalformed, at + " is damaged"};
    if (made == out.size())
      out.resize(std::min(limit_bytes + 1, out.size() * 2));
    else if (used == in.size() && stuck)
      return Error{ErrorCode::kTruncated, at + " ends early"};
    else if (stuck)
      return Error{ErrorCode::kMalformed, at + " cannot be continued"};
  }
  out.resize(made);
  return out;
}

Error no_decoder(std::string_view what) {
  return {ErrorCode::kInternal, std::string{what} + ": cannot set up the decoder"};
}

Result<std::vector<std::byte>> decompress_gzip(ByteSpan bytes, std::size_t limit_bytes) {
  z_stream stream{};
  constexpr int kGzipHeader = 16;
  if (inflateInit2(&stream, MAX_WBITS + kGzipHeader) != Z_OK) return no_decoder("gzip");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner{&stream, inflateEnd};
  return run("gzip", bytes, limit_bytes, [&stream](Window& window) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(window.in));
    stream.avail_in = static_cast<uInt>(window.in_bytes);
    stream.next_out = reinterpret_cast<Bytef*>(window.out);
    stream.avail_out = static_cast<uInt>(window.out_bytes);
    const int rc = inflate(&stream, Z_NO_FLUSH);
    window.in_bytes = stream.avail_in;
    window.out_bytes = stream.avail_out;
    if (rc == Z_STREAM_END) return Step::kEnd;
    return rc == Z_OK || rc == Z_BUF_ERROR ? Step::kMore : Step::kBad;
  });
}

Result<std::vector<std::byte>> decompress_bzip2(ByteSpan bytes, std::size_t limit_bytes) {
  bz_stream stream{};
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return no_decoder("bzip2");
  const std::unique_ptr<bz_stream, int (*)(bz_stream*)> owner{&stream, BZ2_bzDecompressEnd};
  return run("bzip2", bytes, limit_bytes, [&stream](Window& window) {
    stream.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(window.in));
    stream.avail_in = static_cast<unsigned>(window.in_bytes);
    stream.next_out = reinterpret_cast<char*>(window.out);
    stream.avail_out = static_cast<unsigned>(window.out_bytes);
    const int rc = BZ2_bzDecompress(&stream);
    window.in_bytes = stream.avail_in;
    window.out_bytes = stream.avail_out;
    if (rc == BZ_STREAM_END) return Step::kEnd;
    return rc == BZ_OK ? Step::kMore : Step::kBad;
  });
}

/// XZ (any filter chain of liblzma's, so also the kernel's x86 BCJ) and LZMA alone.
Result<std::vector<std::byte>> decompress_lzma(ByteSpan bytes, std::size_t limit_bytes, bool xz) {
  const std::string_view what = xz ? "xz" : "lzma";
  lzma_stream stream = LZMA_STREAM_INIT;
  if ((xz ? lzma_stream_decoder(&stream, kMaxDecoderBytes, 0)
          : lzma_alone_decoder(&stream, kMaxDecoderBytes)) != LZMA_OK)
    return no_decoder(what);
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> owner{&stream, lzma_end};
  return run(what, bytes, limit_bytes, [&stream](Window& window) {
    stream.next_in = reinterpret_cast<const std::uint8_t*>(window.in);
    stream.avail_in = window.in_bytes;
    stream.next_out = reinterpret_cast<std::uint8_t*>(window.out);
    stream.avail_out = window.out_bytes;
    const lzma_ret rc = lzma_code(&stream, LZMA_RUN);
    window.in_bytes = stream.avail_in;
    window.out_bytes = stream.avail_out;
    if (rc == LZMA_STREAM_END) return Step::kEnd;
    return rc == LZMA_OK || rc == LZMA_BUF_ERROR ? Step::kMore : Step::kBad;
  });
}

Result<std::vector<std::byte>> decompress_zstd(ByteSpan bytes, std::size_t limit_bytes) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> stream{ZSTD_createDCtx(),
                                                                       ZSTD_freeDCtx};
  if (!stream) return no_decoder("zstd");
  return run("zstd", bytes, limit_bytes, [&stream](Window& window) {
    ZSTD_inBuffer in{window.in, window.in_bytes, 0};
    ZSTD_outBuffer out{window.out, window.out_bytes, 0};
    const std::size_t rc = ZSTD_decompressStream(stream.get(), &out, &in);
    window.in_bytes -= in.pos;
    window.out_bytes -= out.pos;
    if (ZSTD_isError(rc)) return Step::kBad;
    return rc == 0 ? Step::kEnd : Step::kMore;
  });
}

}  // namespace

Compression detect_compression(ByteSpan bytes) {
  for (const Magic& magic : kMagics)
    if (bytes.size() >= magic.bytes.size() &&
        std::memcmp(bytes.data(), magic.bytes.data(), magic.bytes.size()) == 0)
      return magic.compression;
  return Compression::kNone;
}

std::string_view name(Compression compression) {
  constexpr std::array kNames{"none", "gzip", "bzip2", "lzma", "xz", "lzo", "lz4", "zstd"};
  return kNames[static_cast<std::size_t>(compression)];
}

Result<std::vector<std::byte>> decompress(ByteSpan bytes, std::size_t limit_bytes) {
  switch (detect_compression(bytes)) {
    case Compression::kGzip:
      return decompress_gzip(bytes, limit_bytes);
    case Compression::kBzip2:
      return decompress_bzip2(bytes, limit_bytes);
    case Compression::kLzma:
      return decompress_lzma(bytes, limit_bytes, false);
    case Compression::kXz:
      return decompress_lzma(bytes, limit_bytes, true);
    case Compression::kLzo:
      return decompress_lzo(bytes, limit_bytes);
    case Compression::kLz4:
      return decompress_lz4(bytes, limit_bytes);
    case Compression::kZstd:
      return decompress_zstd(bytes, limit_bytes);
    case Compression::kNone:
      break;
  }
  return Error{ErrorCode::kUnsupported, "no known compression"};
}

}  // namespace sevmon::ids
