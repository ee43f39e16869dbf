// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/program.hpp>

#include "bpf.h"
#include "profile/btf.hpp"
#include "program/btf_ext.hpp"
#include "program/elf_object.hpp"

namespace sevmon::ids {

/// A program's parts, as its file has them, and where each goes in an image.
struct ProgramObject::Impl {
  /// Of a section, in a region (program.h) or, as bytes of instructions, in region 0.
  struct Place {
    std::uint32_t section;
    unsigned region;
    std::uint32_t offset;
  };

  std::vector<std::byte> file;
  ElfObject elf;
  std::optional<Btf> types;
  BtfExt ext;

  std::vector<sevmon_bpf_insn> insns;  // the entry, then .text
  std::vector<std::uint8_t> data;
  std::vector<std::uint8_t> init;
  std::uint32_t map_bytes = 0;
  std::vector<Place> places;
  std::set<std::string_view> kernel_symbols;  // declared with __ksym
  std::vector<SourceLine> lines;

  const Place* place_of(std::uint32_t section) const;
  const Place* place_of(std::string_view section) const;
  /// " (walk.bpf.c:12: \"task = next;\")" for messages, or "".
  std::string where(std::uint32_t insn) const;
};

}  // namespace sevmon::ids
