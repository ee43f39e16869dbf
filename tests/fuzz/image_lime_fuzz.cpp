// SPDX-License-Identifier: Apache-2.0
// Target: read_lime(). Property: check_layout().
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span{data, size});
  sevmon::proxy::check_layout(sevmon::proxy::read_lime(file), file);
  return 0;
}
