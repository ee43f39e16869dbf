// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::cli {

/// What is done with an image's bytes once they are there and before anything looks at them.
using ImageOpened = std::function<common::Result<void>(std::span<const std::byte>)>;

/// The agent over the memory image `path`, in this process, under a key made for the occasion: the
/// same frames as over a network, so that nothing is only tested on the one or the other.
common::Result<std::unique_ptr<ids::Channel>> open_image(const std::string& path,
                                                         const ids::ChannelOptions& options,
                                                         const ImageOpened& opened);

}  // namespace sevmon::cli
