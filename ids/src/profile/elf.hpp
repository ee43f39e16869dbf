// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// The sections of an x86-64 ELF file. Views into the file's bytes, which must outlive it.
/// Not libelf: we need a dozen fields, each checked before it is used.
class Elf {
 public:
  struct Section {
    std::string_view name;
    std::uint64_t address = 0;  // where it is linked; 0 when it is not loaded
    ByteSpan bytes;             // empty when the file holds none (.bss)
    bool is_loaded = false;
    bool is_executable = false;
  };

  /// @return kTruncated, kMalformed, kUnsupported (class, machine) naming field and offset.
  static common::Result<Elf> parse(ByteSpan file);

  const std::vector<Section>& sections() const { return sections_; }
  const Section* find(std::string_view name) const;

  /// What the file holds from link-time `address` to its section's end; empty when nothing.
  ByteSpan at(std::uint64_t address) const;

  /// The GNU build id in hexadecimal, from `.notes` or `.note.gnu.build-id`; empty when none.
  std::string build_id() const;

 private:
  std::vector<Section> sections_;
};

}  // namespace sevmon::ids
