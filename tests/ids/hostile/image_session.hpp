// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "altered_image.hpp"

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::test {

/// A channel to the agent core over `image`, in this process, as sevmon's own to an image: but the
/// agent sees what image.look() shows. One at a time in a thread; `image` outlives it.
common::Result<std::unique_ptr<ids::Channel>> open_session(AlteredImage& image);

}  // namespace sevmon::test
