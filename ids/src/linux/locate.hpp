// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/channel.hpp>
#include <sevmon/kernel_info.hpp>
#include <sevmon/result.hpp>

// Where a kernel lies, worked out from what its host says and from physical memory alone.
namespace sevmon::ids {

// Architecture of x86-64 Linux, not of one kernel: __START_KERNEL_map, "kernel text mapping, mapped
// to physical address 0" (Documentation/arch/x86/x86_64/mm.rst).
inline constexpr std::uint64_t kKernelMap = 0xffffffff80000000;
// KERNEL_IMAGE_SIZE with CONFIG_RANDOMIZE_BASE (arch/x86/include/asm/page_64_types.h): slides are
// below it.
inline constexpr std::uint64_t kKernelImageBytes = 1ULL << 30;
// Kernels are aligned to a multiple of this in both spaces: "On 64bit this is set to 2MB minimum"
// (CONFIG_PHYSICAL_ALIGN in arch/x86/Kconfig).
inline constexpr std::uint64_t kKernelAlign = 1ULL << 21;

struct Location {
  Root root{};
  std::uint64_t slide_bytes = 0;
};

using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Results of many items, in order, whatever number of requests they took.
struct Answers {
  std::vector<Response> responses;  // own the bytes
  std::vector<ItemResult> items;
};

/// One exchange. @return kRefused when the agent took none of a request's items.
common::Result<Answers> ask(Channel& channel, std::span<const Request> requests);

/// A PV kernel: Xen says which machine frame its entry point was mapped to, and the image is
/// contiguous. @return kMismatch when the entry point is not where the profile has it.
common::Result<Location> locate_pv(const KernelInfo& info, const sevmon_boot_record& record);

/// "Load delta": what is added to (linked address - kKernelMap) to get the physical address.
/// @return kMismatch when the entry point is not at a possible distance from the profile's.
common::Result<std::uint64_t> pvh_load_delta(const KernelInfo& info,
                                             const sevmon_boot_record& record);

/// The master table of a kernel with that load delta, without a look at memory.
common::Result<Location> assume_location(const KernelInfo& info, std::uint64_t load_delta,
                                         std::uint64_t slide_bytes);

/// Every slide that a kernel can have.
std::vector<std::uint64_t> all_slides();

/// Look whether `info`'s kernel is in physical memory at `load_delta` with one of `slides`, one
/// round trip: its banner must be there, and its master table must map the banner's virtual address
/// under exactly one of the slides to that very frame.
/// @return none when it is not; errors of the channel.
common::Result<std::optional<Location>> locate_at(Channel& channel, common::DomId domain,
                                                  const KernelInfo& info, std::uint64_t load_delta,
                                                  std::span<const std::uint64_t> slides);

/// Load deltas at which the banner lies in the target's first `target_frames` frames.
common::Result<std::vector<std::uint64_t>> find_load_deltas(Channel& channel, common::DomId domain,
                                                            const KernelInfo& info,
                                                            std::uint64_t target_frames,
                                                            const Progress& progress);

/// Something that looks like a kernel's banner, for the message that says what runs instead of what
/// was expected: escaped, never trusted, and looked for in the first 4 GiB only.
std::optional<std::string> find_any_banner(Channel& channel, common::DomId domain,
                                           std::uint64_t target_frames, const Progress& progress);

}  // namespace sevmon::ids
