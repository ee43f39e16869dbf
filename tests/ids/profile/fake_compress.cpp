// SPDX-License-Identifier: Apache-2.0
#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <stdexcept>

#include "fake_kernel.hpp"

namespace sevmon::ids::fake {

namespace {

void require(bool ok) {
  if (!ok) throw std::runtime_error{"cannot compress"};
}

Bytes compress_gzip(std::span<const std::byte> data) {
  z_stream stream{};
  require(deflateInit2(&stream, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, data.size()) + 32);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes compress_bzip2(std::span<const std::byte> data) {
  auto bytes = static_cast<unsigned>(data.size() + data.size() / 50 + 1024);
  Bytes out(bytes);
  require(BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &bytes,
                                   reinterpret_cast<char*>(const_cast<std::byte*>(data.data())),
                                   static_cast<unsigned>(data.size()), 1, 0, 0) == BZ_OK);
  out.resize(bytes);
  return out;
}

Bytes compress_lzma(std::span<const std::byte> data, bool xz) {
  lzma_options_lzma options;
  require(!lzma_lzma_preset(&options, 0));
  options.dict_size = 1 << 20;
  // As scripts/xz_wrap.sh does for x86: BCJ before LZMA2, CRC32.
  const lzma_filter filters[] = {
      {LZMA_FILTER_X86, nullptr}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  lzma_stream stream = LZMA_STREAM_INIT;
  require((xz ? lzma_stream_encoder(&stream, filters, LZMA_CHECK_CRC32)
              : lzma_alone_encoder(&stream, &options)) == LZMA_OK);
  Bytes out(data.size() + data.size() / 3 + 4096);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(data.data());
  stream.avail_in = data.size();
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = out.size();
  require(lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END);
  out.resize(stream.total_out);
  lzma_end(&stream);
  return out;
}

void append_be(Bytes& out, std::uint32_t value, std::size_t bytes) {
  while (bytes-- > 0)
    out.push_back(bytes < sizeof(value) ? static_cast<std::byte>(value >> (8 * bytes))
                                        : std::byte{0});
}

/// lzop 1.04's header, blocks of 256 KiB each with the Adler-32 of its data.
Bytes compress_lzo(std::span<const std::byte> data) {
  Bytes out = to_bytes(std::string_view{"\x89LZO\0\r\n\x1a\n", 9});
  append_be(out, 0x1040, 2);
  append_be(out, 0x20a0, 2);
  append_be(out, 0x0940, 2);
  append_be(out, 3, 1);
  append_be(out, 9, 1);
  append_be(out, 0x1, 4);
  append_be(out, 0100644, 4);
  append_be(out, 0, 8 + 1 + 4);  // time, no name, checksum
  Bytes work(LZO1X_1_MEM_COMPRESS);
  while (!data.empty()) {
    const auto block = data.first(std::min<std::size_t>(data.size(), 256 << 10));
    const auto* block_bytes = reinterpret_cast<const unsigned char*>(block.data());
    Bytes stored(block.size() + block.size() / 16 + 64 + 3);
    lzo_uint stored_bytes = stored.size();
    require(lzo1x_1_compress(block_bytes, block.size(),
                             reinterpret_cast<unsigned char*>(stored.data()), &stored_bytes,
                             work.data()) == LZO_E_OK);
    stored.resize(stored_bytes);
    if (stored.size() >= block.size()) stored.assign(block.begin(), block.end());
    append_be(out, static_cast<std::uint32_t>(block.size()), 4);
    append_be(out, static_cast<std::uint32_t>(stored.size()), 4);
    append_be(out,
              static_cast<std::uint32_t>(adler32(1, block_bytes, static_cast<uInt>(block.size()))),
              4);
    append(out, stored);
    data = data.subspan(block.size());
  }
  append_be(out, 0, 4);
  return out;
}

Bytes compress_lz4(std::span<const std::byte> data) {
  Bytes out;
  append_le(out, 0x184c2102, 4);
  while (!data.empty()) {
    const auto block = data.first(std::min<std::size_t>(data.size(), 8 << 20));
    Bytes stored(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(block.size()))));
    const int stored_bytes = LZ4_compress_default(
        reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(stored.data()),
        static_cast<int>(block.size()), static_cast<int>(stored.size()));
    require(stored_bytes > 0);
    append_le(out, static_cast<std::uint64_t>(stored_bytes), 4);
    append(out, std::span{stored}.first(static_cast<std::size_t>(stored_bytes)));
    data = data.subspan(block.size());
  }
  return out;
}

Bytes compress_zstd(std::span<const std::byte> data) {
  Bytes out(ZSTD_compressBound(data.size()));
  const std::size_t bytes = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 1);
  require(!ZSTD_isError(bytes));
  out.resize(bytes);
  return out;
}

}  // namespace

Bytes compress(Compression compression, std::span<const std::byte> data) {
  switch (compression) {
    case Compression::kGzip:
      return compress_gzip(data);
    case Compression::kBzip2:
      return compress_bzip2(data);
    case Compression::kLzma:
      return compress_lzma(data, false);
    case Compression::kXz:
      return compress_lzma(data, true);
    case Compression::kLzo:
      return compress_lzo(data);
    case Compression::kLz4:
      return compress_lz4(data);
    case Compression::kZstd:
      return compress_zstd(data);
    case Compression::kNone:
      break;
  }
  return {data.begin(), data.end()};
}

Bytes encode_bzimage(Compression compression, std::span<const std::byte> vmlinux) {
  Bytes payload = compress(compression, vmlinux);
  if (compression != Compression::kGzip && compression != Compression::kNone)
    append_le(payload, vmlinux.size(), 4);
  Bytes image(kFakePayloadAt);
  store_le(image, 0x1f1, 4, 1);  // setup_sects
  store_le(image, 0x1fe, 0xaa55, 2);
  store_le(image, 0x202, 0x53726448, 4);  // "HdrS"
  store_le(image, 0x206, 0x020f, 2);
  store_le(image, 0x248, 64, 4);
  store_le(image, 0x24c, payload.size(), 4);
  append(image, payload);
  append(image, Bytes(100, std::byte{0x55}));  // what follows, as a signature does
  return image;
}

}  // namespace sevmon::ids::fake
