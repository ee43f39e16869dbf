// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <sevmon/result.hpp>

struct ZSTD_CCtx_s;

namespace sevmon::ids {

/// Makes zstd frames, each whole by itself and with a checksum: a file of them can be cut after any
/// and gone on with.
class Compressor {
 public:
  Compressor();

  /// One frame, valid until the next call. @return kInternal.
  common::Result<std::span<const std::byte>> compress(std::span<const std::byte> bytes);

  /// Room that always holds what fill() makes of `bytes` bytes.
  static std::uint64_t room(std::uint64_t bytes);
  /// What begins room(padded_to) bytes, the rest of which are zeros, so that they hold `bytes` and
  /// then zeros up to `padded_to`: a file's first frame, written when its last is known.
  common::Result<std::vector<std::byte>> fill(std::vector<std::byte> bytes,
                                              std::uint64_t padded_to);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  std::vector<std::byte> frame_;
};

}  // namespace sevmon::ids
