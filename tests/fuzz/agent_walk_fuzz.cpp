// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_walk() over tables that the monitored system wrote. The input is a list of
// addresses and of entries at places in eight frames.
// Properties: the walk ends where a second, plainer walker says, looks at no more frames than there
// are levels, and holds none.
#include "support/fake_host.hpp"
#include "support/fuzz_input.hpp"
#include "walk.h"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kFirst = 0x100;  // frame number of the first of eight

struct Ended {
  unsigned status, level;
  std::uint64_t frame;
};

/// AMD APM vol. 2, 5.3, with arithmetic in place of masks.
Ended plain_walk(FakeHost& host, std::uint64_t root, unsigned levels, std::uint64_t gva) {
  const auto top = gva >> (levels == 4 ? 47 : 56);
  if (top != 0 && top != (levels == 4 ? 0x1ffffU : 0xffU))
    return {SEVMON_STATUS_NOT_CANONICAL, 0, 0};
  if (gva / 4096 >= host.forbidden_start / 4096 && gva < host.forbidden_end)
    return {SEVMON_STATUS_XEN, 0, 0};
  std::uint64_t table = root, page_bytes = levels == 4 ? 1ULL << 39 : 1ULL << 48;
  for (unsigned level = levels;; --level, page_bytes /= 512) {
    if (!host.guest.has_frame(table)) return {SEVMON_STATUS_NO_FRAME, level, 0};
    const auto entry = host.guest.page(table).entry(gva / page_bytes % 512) & ~host.c_bit_mask;
    const auto address = entry % (1ULL << 52) / 4096 * 4096;
    if (entry % 2 == 0) return {SEVMON_STATUS_NOT_MAPPED, level, 0};
    const bool large = entry / 128 % 2;
    if (large && level > 3) return {SEVMON_STATUS_BAD_TABLE, level, 0};
    if (large || level == 1)
      return {SEVMON_STATUS_OK, level,
              (address / page_bytes * page_bytes + gva % page_bytes) / 4096};
    table = address / 4096;
  }
}

void walk(FakeHost& host, std::uint64_t root, unsigned levels, std::uint64_t gva) {
  sevmon_target target{};
  host.table()->target_get(SEVMON_DOMID_DOM0, &target);
  const sevmon_root from{root, static_cast<std::uint8_t>(levels)};
  sevmon_translation got{};
  std::uint8_t level = 0;
  host.frames_mapped = 0;
  const auto status = sevmon_walk(host.table(), &target, &from, gva, &got, &level);
  host.table()->target_put(&target);

  const auto expected = plain_walk(host, root, levels, gva);
  must(status == expected.status && level == expected.level, "ends as the plain walker does");
  must(got.frame == expected.frame, "at the same frame");
  must(host.frames_mapped <= levels && host.frames_mapped == got.reached, "each table once");
  must(!host.frames_held && !host.targets_held, "holds nothing");
  must((got.page_shift != 0) == (status == SEVMON_STATUS_OK), "a page only if it ends well");
}

}  // namespace
}  // namespace sevmon::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  FuzzInput input{data, size};
  FakeHost host;
  for (unsigned i = 0; i < 8; ++i) host.guest.add_frame(kFirst + i);
  const auto flags = input.take(1)[0];
  if (flags & 1) host.c_bit_mask = 1ULL << 47;
  if (flags & 2) host.forbidden_start = 0xffff800000000000, host.forbidden_end = 0xffff880000000000;
  for (unsigned step = 0; step < 200 && !input.empty(); ++step) {
    const auto where = input.number<std::uint16_t>();
    const auto value = input.number<std::uint64_t>();
    if (where & 0x8000)
      walk(host, kFirst + where % 9, where & 0x4000 ? 5 : 4, value);  // the ninth is not there
    else
      host.guest.page(kFirst + where / 512 % 8).entry(where % 512) = value;
  }
  return 0;
}
