// SPDX-License-Identifier: Apache-2.0
// Target: ids::extract_vmlinux on a bzImage whose payload is the input, and on the input itself.
// Property: what comes out is an ELF file within the limit, and gives itself again.
#include <cstdlib>
#include <vector>

#include "profile/vmlinuz.hpp"

namespace {

constexpr std::size_t kLimitBytes = 1 << 20;

void check(std::span<const std::byte> file) {
  const auto out = sevmon::ids::extract_vmlinux(file, kLimitBytes);
  if (!out) return;
  if (out->size() > kLimitBytes) std::abort();
  const auto again = sevmon::ids::extract_vmlinux(*out, kLimitBytes);
  if (!again || *again != *out) std::abort();
}

void store_le32(std::vector<std::byte>& out, std::size_t at, std::size_t value) {
  for (int i = 0; i < 4; ++i) out[at++] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto in = std::as_bytes(std::span{data, size});
  check(in);
  constexpr std::size_t kPayloadAt = 1024;
  std::vector<std::byte> image(kPayloadAt);
  image[0x1f1] = std::byte{1};
  store_le32(image, 0x1fe, 0xaa55);
  store_le32(image, 0x202, 0x53726448);
  image[0x206] = std::byte{0x0f};
  image[0x207] = std::byte{0x02};
  store_le32(image, 0x24c, size);
  image.insert(image.end(), in.begin(), in.end());
  check(image);
  return 0;
}
