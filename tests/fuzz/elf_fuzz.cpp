// SPDX-License-Identifier: Apache-2.0
// Target: ids::Elf. Property: sections lie in the file, and addresses lead into sections.
#include <algorithm>
#include <cstdlib>

#include "profile/elf.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span{data, size});
  const auto elf = sevmon::ids::Elf::parse(file);
  if (!elf) return 0;
  for (const auto& section : elf->sections()) {
    if (!section.bytes.empty() &&
        (section.bytes.data() < file.data() ||
         section.bytes.data() + section.bytes.size() > file.data() + file.size()))
      std::abort();
    for (const std::uint64_t offset : {0ull, 1ull, 0x1000ull})
      if (elf->at(section.address + offset).size() > size) std::abort();
    if (elf->find(section.name)->name != section.name) std::abort();
  }
  if (elf->build_id().size() > 128) std::abort();
  return 0;
}
