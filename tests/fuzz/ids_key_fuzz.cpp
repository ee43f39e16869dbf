// SPDX-License-Identifier: Apache-2.0
// Target: ids::Key::parse. Property: a key that parses has one size and holds the file's own bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <sevmon/channel.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span in{data, size};
  const auto key = sevmon::ids::Key::parse(std::as_bytes(in));
  if (!key) return 0;
  if (size != sizeof(sevmon_key_head) + sizeof(sevmon_key_entry)) std::abort();
  if (!std::ranges::equal(key->agent_id(), in.subspan(16, SEVMON_ID_BYTES))) std::abort();
  if (!std::ranges::equal(key->ids_id(), in.subspan(32, SEVMON_ID_BYTES))) std::abort();
  if (!std::ranges::equal(key->psk(), in.subspan(48))) std::abort();
  return 0;
}
