// SPDX-License-Identifier: Apache-2.0
#include "dump/identity.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <vector>

#include "linux/locate.hpp"

namespace sevmon::ids {
namespace {

constexpr std::uint64_t kSamples = 240;  // 1 MiB

std::vector<sevmon_item> samples(const FrameRuns& frames) {
  std::vector<sevmon_item> items;
  const auto step = std::max<std::uint64_t>(1, frames.frames() / kSamples);
  std::uint64_t before = 0;  // frames in the runs that are done
  std::uint64_t next = 0;
  for (const auto& run : frames.runs()) {
    for (; next < before + run.count; next += step)
      items.push_back({.type = SEVMON_ITEM_READ_PHYSICAL,
                       .zero = 0,
                       .bytes = SEVMON_PAGE_BYTES,
                       .arg = 0,
                       .address = (run.first + (next - before)) * SEVMON_PAGE_BYTES});
    before += run.count;
  }
  return items;
}

}  // namespace

common::Result<std::array<std::uint8_t, 32>> image_identity(Channel& channel, common::DomId domain,
                                                            const FrameRuns& frames) {
  const auto answers = ask(channel, pack(domain, Root{}, samples(frames), channel.size_class()));
  if (!answers) return answers.error();
  std::vector<std::uint8_t> bytes;
  for (const auto& item : answers->items) {
    bytes.push_back(static_cast<std::uint8_t>(item.status));
    for (const auto byte : item.bytes) bytes.push_back(std::to_integer<std::uint8_t>(byte));
  }
  std::array<std::uint8_t, 32> digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

}  // namespace sevmon::ids
