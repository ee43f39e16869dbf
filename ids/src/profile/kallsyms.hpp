// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"
#include "profile/symbols.hpp"

namespace sevmon::ids {

/// A loaded section of the kernel, as linked.
struct KernelRegion {
  std::uint64_t address;
  ByteSpan bytes;
  bool is_executable = false;
};

/// The symbols in the kernel's own tables (Linux scripts/kallsyms.c writes them), found by their
/// structure: no section, symbol or version is assumed. Kernels with BTF have these layouts:
///
///   to 6.1         offsets, relative_base, num_syms, names, markers, token_table, token_index
///                  (or 64-bit addresses instead of offsets and relative_base)
///   6.2, and 6.1   the same with seqs_of_names between markers and token_table
///   by backport
///   6.4            num_syms, names, markers, token_table, token_index, offsets, relative_base,
///                  seqs_of_names
///   7.0            the same without relative_base, each offset counted from its own place
///
/// and the offsets count from relative_base, or negatively so where x86's per-CPU symbols stood as
/// they are (to 6.14). Which of these it is shows in where the functions then lie: in text.
///
/// @return kNotFound when there are no tables; kMalformed when they contradict themselves.
common::Result<SymbolTable> read_kallsyms(std::span<const KernelRegion> regions);

}  // namespace sevmon::ids
