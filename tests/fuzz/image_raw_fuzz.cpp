// SPDX-License-Identifier: Apache-2.0
// Target: read_layout() where the format is told by the file, raw images included.
// Property: check_layout().
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span{data, size});
  using sevmon::proxy::ImageFormat;
  sevmon::proxy::check_layout(sevmon::proxy::read_layout(file, ImageFormat::kAuto), file);
  sevmon::proxy::check_layout(sevmon::proxy::read_layout(file, ImageFormat::kRaw), file);
  return 0;
}
