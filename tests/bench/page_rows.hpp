// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/bench_host.hpp"
#include "bench/rounds.hpp"

namespace sevmon::bench {

/// What a page costs, out of memory that no cache holds, in messages of SEVMON_CLASS_15_PAGES or
/// SEVMON_CLASS_1_PAGE. Everything must outlive `rounds`.
void add_page_rows(Rounds& rounds, const GuestMemory& memory, BenchHost& host,
                   std::uint8_t size_class);

/// Handshakes, and what is refused.
void add_frame_rows(Rounds& rounds, BenchHost& host, unsigned calls);

}  // namespace sevmon::bench
