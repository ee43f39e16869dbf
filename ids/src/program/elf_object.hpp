// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// A relocatable eBPF file as libelf reads it, with every index and length in it checked. Views
/// into the file's bytes, which must outlive it.
class ElfObject {
 public:
  struct Relocation {
    std::uint64_t offset;  // in its section
    std::uint32_t type;    // R_BPF_*
    std::uint32_t symbol;  // index into symbols()
  };
  struct Section {
    std::string_view name;
    std::uint32_t type = 0;   // SHT_*
    std::uint64_t flags = 0;  // SHF_*
    std::uint64_t align = 1;  // a power of two
    std::uint64_t bytes = 0;
    ByteSpan data;  // empty for SHT_NOBITS
    std::vector<Relocation> relocations;
  };
  struct Symbol {
    std::string_view name;      // its section's when it has none of its own
    std::uint8_t type = 0;      // STT_*
    std::uint8_t bind = 0;      // STB_*
    std::uint32_t section = 0;  // index into sections(); 0: undefined
    std::uint64_t value = 0;    // within its section
    std::uint64_t bytes = 0;
  };

  /// @return kTruncated, kMalformed, kTooLarge, kUnsupported.
  static common::Result<ElfObject> parse(ByteSpan file);

  const std::vector<Section>& sections() const { return sections_; }
  const std::vector<Symbol>& symbols() const { return symbols_; }
  /// The first of that name, or nullptr.
  const Section* find(std::string_view name) const;

 private:
  friend struct ElfReader;
  std::vector<Section> sections_;  // [0] is no section
  std::vector<Symbol> symbols_;    // [0] is no symbol
};

}  // namespace sevmon::ids
