// SPDX-License-Identifier: Apache-2.0
#include "kernel_json.hpp"

#include <sevmon/text.hpp>

namespace sevmon::cli {

Json to_json(const ids::Kernel& kernel) {
  return {{"profile_release", kernel.info().release()},
          {"profile_sha256", ids::hex(std::span{kernel.info().file_sha256()})},
          {"profile_build_id", kernel.info().build_id()},
          {"matched_by", kernel.matched_by()},
          {"root_frame", ids::hex_address(kernel.root().frame.value)},
          {"levels", kernel.root().levels},
          {"slide", ids::hex_address(kernel.slide_bytes())}};
}

std::string describe(const ids::Kernel& kernel) {
  return kernel.info().release() + ", known by its " + kernel.matched_by() + "; root frame " +
         ids::hex_address(kernel.root().frame.value) + ", " + std::to_string(kernel.root().levels) +
         " levels, slide " + ids::hex_address(kernel.slide_bytes());
}

}  // namespace sevmon::cli
