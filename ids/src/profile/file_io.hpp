// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// A regular file's bytes. @return kIo; kTooLarge over `limit_bytes`.
common::Result<std::vector<std::byte>> read_file(const std::string& path, std::size_t limit_bytes);

/// Replace or create `path` in one step: whoever opens it sees the old file or the new, whole.
/// @return kIo.
common::Result<void> write_file(const std::string& path, ByteSpan bytes);

}  // namespace sevmon::ids
