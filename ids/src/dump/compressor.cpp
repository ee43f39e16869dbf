// SPDX-License-Identifier: Apache-2.0
#include "dump/compressor.hpp"

#include <zstd.h>

#include <new>

#include <sevmon/cursor.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// Two thirds of what level 3 gains, at more than twice its speed.
constexpr int kLevel = 1;
// "Skippable Frames" of RFC 8878, 3.1.2: magic, size, bytes that mean nothing.
constexpr std::size_t kSkippableHeaderBytes = 8;

}  // namespace

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}

Compressor::Compressor() : context_{ZSTD_createCCtx()} {
  if (!context_) throw std::bad_alloc{};
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}

Result<std::span<const std::byte>> Compressor::compress(std::span<const std::byte> bytes) {
  frame_.resize(ZSTD_compressBound(bytes.size()));
  const auto size =
      ZSTD_compress2(context_.get(), frame_.data(), frame_.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size))
    return Error{ErrorCode::kInternal, std::string{"zstd: "} + ZSTD_getErrorName(size)};
  return std::span<const std::byte>{frame_}.first(size);
}

std::uint64_t Compressor::room(std::uint64_t bytes) {
  return ZSTD_compressBound(bytes) + kSkippableHeaderBytes;
}

Result<std::vector<std::byte>> Compressor::fill(std::vector<std::byte> bytes,
                                                std::uint64_t padded_to) {
  bytes.resize(padded_to);
  const auto frame = compress(bytes);
  if (!frame) return frame.error();
  std::vector<std::byte> filled(frame->size() + kSkippableHeaderBytes);
  common::Writer writer{filled};
  writer.bytes(*frame);
  const auto rest = room(padded_to) - filled.size();
  writer.put(std::uint32_t{ZSTD_MAGIC_SKIPPABLE_START});
  writer.put(static_cast<std::uint32_t>(rest));
  return filled;
}

}  // namespace sevmon::ids
