// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "backend.hpp"
#include "settings.hpp"

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// The agent core in this process over settings.image_file: on the caller's thread, and what takes
/// long, which only programs do, on settings.image_threads others. If settings.image_lanes names a
/// file, through lanes there.
/// @return errors of ImageAgent::open() and LaneServer::start(); kIo, kKey: the key file.
common::Result<std::shared_ptr<Backend>> make_image_backend(const Settings& settings);

}  // namespace sevmon::proxy
