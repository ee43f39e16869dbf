// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_secret_find(). Properties: what is found lies in the area, behind a head with the
// agent's GUID and this very length, and is the only such entry; what follows the area changes
// nothing; only what begins with an area's GUID is one.
#include "secret.h"

#include <memory>

#include "support/fuzz_input.hpp"
#include "support/secret_area.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  const void* file = nullptr;
  std::size_t bytes = 0;
  const int rc = sevmon_secret_find(data, size, &file, &bytes);
  must(rc == 0 || rc == -EINVAL || rc == -ENOENT, "one of three results");
  if (rc == -EINVAL) return 0;
  must(sevmon_secret_has_head(data, size), "has a head");

  const auto claimed = load<std::uint32_t>(ByteView{data, size}, 16);
  must(claimed <= size, "no longer than what there is");
  Bytes longer(data, data + claimed);
  longer.resize(claimed + 64, 0xff);
  const void* again = nullptr;
  std::size_t again_bytes = 0;
  must(sevmon_secret_find(longer.data(), longer.size(), &again, &again_bytes) == rc,
       "what follows does not matter");
  if (rc != 0) return 0;

  const auto offset = static_cast<std::size_t>(static_cast<const std::uint8_t*>(file) - data);
  must(offset >= 40 && offset + bytes <= claimed, "within the area");
  must(std::ranges::equal(secret_head(kKeysGuid, static_cast<std::uint32_t>(20 + bytes)),
                          ByteView{data + offset - 20, 20}),
       "behind its own head");
  must(static_cast<const std::uint8_t*>(again) - longer.data() ==
               static_cast<std::ptrdiff_t>(offset) &&
           again_bytes == bytes,
       "found in the same place");
  return 0;
}
