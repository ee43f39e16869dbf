// SPDX-License-Identifier: Apache-2.0
// Target: ids::Btf, so check_btf() and libbpf behind it. Property: every question ends, what is
// found is where the structure says, and the raw bytes come back.
#include <algorithm>
#include <cstdlib>

#include "profile/btf.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto raw = std::as_bytes(std::span{data, size});
  const auto types = sevmon::ids::Btf::parse(raw);
  if (!types) return 0;
  const auto kept = types->raw();
  if (!std::equal(raw.begin(), raw.end(), kept.begin(), kept.end())) std::abort();
  for (const char* type : {"task_struct", "shared", "entity_t", "pid_type", "only_declared"}) {
    static_cast<void>(types->size_of(type));
    for (const char* path : {"comm", "in_execve", "se.runtime", "parent.pid", "numbers.runtime",
                             "stack", "other", "none"}) {
      const auto member = types->member(type, path);
      if (member && member->bit_size != 0 && member->bit_offset / 8 != member->offset_bytes)
        std::abort();
    }
  }
  for (const char* name : {"PIDTYPE_MAX", "MINUS_TWO", "WIDE_VALUE", "TWICE_OTHER"})
    static_cast<void>(types->enumerator(name));
  return 0;
}
