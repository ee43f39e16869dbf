// SPDX-License-Identifier: Apache-2.0
// Target: ids::read_kallsyms. Property: a table that is read is in order, indexed, and survives
// being written and read back.
#include <cstdlib>
#include <vector>

#include "profile/kallsyms.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::ids;
  static const std::vector<std::byte> text(0x20000);
  const KernelRegion regions[] = {{0xffffffff81000000, text, true},
                                  {0xffffffff82000000, std::as_bytes(std::span{data, size})}};
  const auto table = read_kallsyms(regions);
  if (!table) return 0;
  const auto bytes = table->encode();
  const auto again = SymbolTable::decode(bytes);
  if (!again || again->encode() != bytes) std::abort();
  for (std::size_t i = 0; i < table->size(); ++i) {
    const auto entry = table->entry(i);
    const auto found = table->find(entry.name);
    if (!found || found->name != entry.name || found->address > entry.address) std::abort();
    if (table->find_at(entry.address)->address != entry.address) std::abort();
  }
  return 0;
}
