// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::cli {

/// The agent over the memory image `path`, in this process, under a key made for the occasion: the
/// same frames as over a network, so that nothing is only tested on the one or the other. `opened`
/// is called once the file is there, before anything looks at it; its errors are returned.
common::Result<std::unique_ptr<ids::Channel>> open_image(
    const std::string& path, const ids::ChannelOptions& options,
    const std::function<common::Result<void>()>& opened);

}  // namespace sevmon::cli
