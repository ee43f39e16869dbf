// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/result.hpp>

#include "dump/frame_runs.hpp"

// What stands before and between the pages of a dump: of an ELF core as /proc/vmcore and QEMU have
// them, and of a LiME file.
namespace sevmon::ids {

/// A part of the target's virtual memory, in one piece in its physical one too.
struct Mapping {
  std::uint64_t gva = 0;
  std::uint64_t gpa = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Mapping&) const = default;
};

struct CoreNote {
  std::string owner;
  std::uint32_t type = 0;
  std::vector<std::byte> content;
};

/// Pages begin here in every core: there is room for the headers before it, which are known last.
inline constexpr std::uint64_t kCoreHeaderBytes = 4ULL << 20;
/// More runs of frames than that make no core: ELF counts segments in 16 bits (PN_XNUM aside, which
/// crash(8) does not know).
inline constexpr std::size_t kMaxCoreSegments = 65'000;

/// The first kCoreHeaderBytes of a core (less when no more is used; the rest is zeros) whose pages
/// are those of `present`, in order and without gaps. A frame that `direct` maps has that address
/// in its program header; others have 0. `also` are mapped once more. Both ascend by gpa.
/// @return kTooLarge.
common::Result<std::vector<std::byte>> encode_core_header(std::span<const FrameRun> present,
                                                          std::span<const Mapping> direct,
                                                          std::span<const Mapping> also,
                                                          std::span<const CoreNote> notes);

/// The same vCPU for gdb (NT_PRSTATUS of CORE) and, with its control registers, for readers that
/// know QEMU's notes.
std::vector<CoreNote> vcpu_notes(const sevmon_vcpu_state& state);

inline constexpr std::size_t kLimeHeaderBytes = 32;
/// What stands before the pages of `run` in a LiME file.
std::array<std::byte, kLimeHeaderBytes> encode_lime_header(FrameRun run);

}  // namespace sevmon::ids
