// SPDX-License-Identifier: Apache-2.0
#include <sevmon/random.hpp>

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include <algorithm>
#include <cstring>

namespace sevmon::common {
namespace {

bool cpu_has_rdrand() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & 1U << 30) != 0;
}

/// Intel SDM vol. 1, 7.3.17.1: ten tries.
__attribute__((target("rdrnd"))) bool draw_word(unsigned long long& value) {
  for (int i = 0; i < 10; ++i)
    if (_rdrand64_step(&value) == 1) return true;
  return false;
}

}  // namespace

bool draw_rdrand(std::span<std::uint8_t> out) {
  static const bool has_rdrand = cpu_has_rdrand();
  unsigned long long value = 0, last = 0;
  while (!out.empty()) {
    if (!has_rdrand || !draw_word(value) || value == 0 || ~value == 0 || value == last)
      return false;
    const auto part = std::min(out.size(), sizeof(value));
    std::memcpy(out.data(), &value, part);
    out = out.subspan(part);
    last = value;
  }
  explicit_bzero(&value, sizeof(value));
  explicit_bzero(&last, sizeof(last));
  return true;
}

bool mix_in(std::span<std::uint8_t> out, RandomSource cpu) {
  std::array<std::uint8_t, 64> drawn;
  while (!out.empty()) {
    const auto part = std::span{drawn}.first(std::min(out.size(), drawn.size()));
    if (!cpu(part)) return false;
    for (std::size_t i = 0; i < part.size(); ++i) out[i] ^= part[i];
    out = out.subspan(part.size());
  }
  explicit_bzero(drawn.data(), drawn.size());
  return true;
}

std::optional<MessageRandom::Bytes> MessageRandom::draw() {
  if (left_ == 0) {
    if (!system_({pool_.front().data(), sizeof(pool_)})) return std::nullopt;
    left_ = pool_.size();
  }
  auto bytes = pool_[--left_];
  if (mix_in(bytes, cpu_) || system_(bytes)) return bytes;
  return std::nullopt;
}

}  // namespace sevmon::common
