// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "altered_image.hpp"

#include <sevmon/channel.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/result.hpp>

namespace sevmon::test {

/// What both programs are given.
struct Inputs {
  AlteredImage image;
  ids::Profile profile;
};
/// @return errors of MemoryImage::open() and Profile::load().
common::Result<Inputs> open_inputs(const std::string& image, const std::string& profile);

/// A channel to the agent core over `image`, in this process, as sevmon's own to an image: but the
/// agent sees what image.look() shows. One at a time in a thread; `image` outlives it.
common::Result<std::unique_ptr<ids::Channel>> open_session(AlteredImage& image);

}  // namespace sevmon::test
