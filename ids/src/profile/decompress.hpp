// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

enum class Compression { kNone, kGzip, kBzip2, kLzma, kXz, kLzo, kLz4, kZstd };

/// By the first bytes; kNone when they are no compression's.
Compression detect_compression(ByteSpan bytes);
std::string_view name(Compression compression);

/// Decompress one stream that starts at `bytes`' start; what follows its end is ignored, except for
/// LZ4's legacy format, which has no end of its own and must fill `bytes` exactly.
/// @return kTruncated, kMalformed with the offset in `bytes`; kTooLarge over `limit_bytes` of
/// output;
///         kUnsupported for kNone.
common::Result<std::vector<std::byte>> decompress(ByteSpan bytes, std::size_t limit_bytes);

/// The two block formats, whose containers we read ourselves.
common::Result<std::vector<std::byte>> decompress_lzo(ByteSpan bytes, std::size_t limit_bytes);
common::Result<std::vector<std::byte>> decompress_lz4(ByteSpan bytes, std::size_t limit_bytes);

}  // namespace sevmon::ids
