// SPDX-License-Identifier: Apache-2.0
// Target: what reads a kept copy of a kernel's text. Its digest is made right, which a fuzzer would
// not find. Property: what decodes encodes to the same bytes.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include <sevmon/kernel_copy.hpp>

#include "profile/profile_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto in = std::as_bytes(std::span{data, size});
  std::vector<std::byte> file{in.begin(), in.end()};
  const auto digest = sevmon::ids::sha256(file);
  const auto bytes = std::as_bytes(std::span{digest});
  file.insert(file.end(), bytes.begin(), bytes.end());
  const auto copy = sevmon::ids::KernelCopy::decode(file);
  if (copy && copy->encode() != file) std::abort();
  return 0;
}
