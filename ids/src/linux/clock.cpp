// SPDX-License-Identifier: Apache-2.0
#include "linux/clock.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;

struct Offsets {
  Gva real{};  // CLOCK_REALTIME minus CLOCK_MONOTONIC, as linked
  Gva boot{};  // CLOCK_BOOTTIME minus CLOCK_MONOTONIC
};

/// tk_core's type has a name only since struct tk_data came (v6.13). Before it is anonymous:
/// { seqcount_raw_spinlock_t seq; struct timekeeper timekeeper; }.
std::optional<std::uint64_t> timekeeper_offset(const KernelInfo& info) {
  if (const auto member = info.member("tk_data", "timekeeper")) return member->offset_bytes;
  for (const auto* type : {"seqcount_raw_spinlock", "seqcount"})
    if (const auto size = info.size_of(type)) return (*size + 7ULL) & ~7ULL;
  return std::nullopt;
}

std::optional<Offsets> find_offsets(const KernelInfo& info) {
  const auto core = info.symbol("tk_core");
  const auto real = info.member("timekeeper", "offs_real");
  const auto boot = info.member("timekeeper", "offs_boot");
  const auto inside = timekeeper_offset(info);
  if (!core || !real || !boot || !inside) return std::nullopt;
  return Offsets{*core + *inside + real->offset_bytes, *core + *inside + boot->offset_bytes};
}

}  // namespace

std::vector<Range> clock_ranges(const KernelInfo& info) {
  const auto offsets = find_offsets(info);
  if (!offsets) return {};
  return {{offsets->real, 8}, {offsets->boot, 8}};
}

std::optional<std::int64_t> read_boot_time(const Kernel& kernel, Memory& memory) {
  constexpr std::int64_t kEarliest = 1'262'304'000'000'000'000;  // 2010
  constexpr std::int64_t kLatest = 4'102'444'800'000'000'000;    // 2100
  const auto offsets = find_offsets(kernel.info());
  if (!offsets) return std::nullopt;
  const auto real = memory.read_uint(kernel.relocate(offsets->real), 8);
  const auto boot = memory.read_uint(kernel.relocate(offsets->boot), 8);
  if (!real || !boot) return std::nullopt;
  const auto unix_ns = static_cast<std::int64_t>(*real - *boot);
  if (unix_ns < kEarliest || unix_ns > kLatest) return std::nullopt;
  return unix_ns;
}

}  // namespace sevmon::ids
