// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <sevmon/transport.hpp>

#include "channel/shm_lane.hpp"

namespace sevmon::ids {

/// The transport over a lane whose agent has accepted `claim`, with all indices at 0.
std::unique_ptr<FrameTransport> make_shm_transport(std::shared_ptr<ShmLane> lane,
                                                   std::uint32_t claim);

}  // namespace sevmon::ids
