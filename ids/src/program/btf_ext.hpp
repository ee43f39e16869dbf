// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// Section .BTF.ext: where functions and lines begin, and what is to be relocated by type. Strings
/// are offsets into .BTF's, types its ids; neither is checked here.
struct BtfExt {
  struct Function {
    std::uint32_t offset;  // of its first instruction, in bytes, in its section
    std::uint32_t type;
  };
  struct Line {
    std::uint32_t offset;
    std::uint32_t file;
    std::uint32_t text;
    std::uint32_t line;
    std::uint32_t column;
  };
  struct Relocation {
    std::uint32_t offset;
    std::uint32_t type;
    std::uint32_t access;
    std::uint32_t kind;
  };
  template <typename Record>
  struct OfSection {
    std::uint32_t section;  // its name
    std::vector<Record> records;
  };
  std::vector<OfSection<Function>> functions;
  std::vector<OfSection<Line>> lines;
  std::vector<OfSection<Relocation>> relocations;

  /// @return kTruncated, kMalformed, kUnsupported with the offset.
  static common::Result<BtfExt> parse(ByteSpan raw);
};

}  // namespace sevmon::ids
