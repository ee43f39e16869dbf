// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "image/layout.hpp"
#include "image/memory_image.hpp"

#include <sevmon/transport.hpp>

namespace sevmon::proxy {

/// An agent over a memory image and the way to it.
struct ImageConnection {
  std::unique_ptr<ids::FrameTransport> transport;
  /// A key file of one entry, drawn for this connection alone; the caller wipes it.
  std::vector<std::byte> key_file;
};

/// Open the image at `path` in this process, so that commands on images take the very channel and
/// walker that they take on a live Dom0. send() runs the agent at once, on the caller's thread.
/// @return errors of ImageAgent::open(); kIo without randomness.
common::Result<ImageConnection> connect_image(const std::string& path,
                                              ImageFormat format = ImageFormat::kAuto,
                                              const ImageOpened& opened = {});

}  // namespace sevmon::proxy
