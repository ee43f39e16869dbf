// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

#include "dump/frame_runs.hpp"

namespace sevmon::ids {

/// SHA-256 of some frames, evenly out of `frames`: tells one memory image from another. A running
/// target has no such thing; its agent's boot nonce tells.
common::Result<std::array<std::uint8_t, 32>> image_identity(Channel& channel, common::DomId domain,
                                                            const FrameRuns& frames);

}  // namespace sevmon::ids
