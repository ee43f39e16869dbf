// SPDX-License-Identifier: Apache-2.0
#include <sevmon/random.hpp>

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

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

bool mix_in_rdrand(std::span<std::uint8_t> out) {
  static const bool has_rdrand = cpu_has_rdrand();
  unsigned long long value = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i % sizeof(value) == 0 && (!has_rdrand || !draw_word(value))) return false;
    out[i] ^= static_cast<std::uint8_t>(value >> 8 * (i % sizeof(value)));
  }
  explicit_bzero(&value, sizeof(value));
  return true;
}

std::optional<MessageRandom::Bytes> MessageRandom::draw() {
  if (left_ == 0) {
    if (!system_({pool_.front().data(), sizeof(pool_)})) return std::nullopt;
    left_ = pool_.size();
  }
  auto bytes = pool_[--left_];
  if (mix_in_rdrand(bytes) || system_(bytes)) return bytes;
  return std::nullopt;
}

}  // namespace sevmon::common
