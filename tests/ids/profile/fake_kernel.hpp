// SPDX-License-Identifier: Apache-2.0
//
// Kernels made up in code: kallsyms tables, BTF, ELF files and bzImages, each written from its
// format and sharing nothing with the code that reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "profile/decompress.hpp"

namespace sevmon::ids::fake {

using Bytes = std::vector<std::byte>;

Bytes to_bytes(std::string_view text);
void append(Bytes& out, std::span<const std::byte> more);
void append_le(Bytes& out, std::uint64_t value, std::size_t bytes);
void store_le(Bytes& out, std::size_t offset, std::uint64_t value, std::size_t bytes);

// --- kallsyms (Linux scripts/kallsyms.c) ---

struct FakeSymbol {
  std::uint64_t address;
  char type;
  std::string name;
};

enum class KallsymsOrder {
  kTo61,  // addresses first, no seqs_of_names
  k62,    // the same, seqs_of_names before token_table
  k64,    // addresses last
  k70,    // addresses last, no relative_base, alignment 4
};

enum class KallsymsForm {
  kAddress,         // 64 bits
  kBaseRelative,    // unsigned from relative_base
  kAbsolutePerCpu,  // addresses under 2 GiB as they are, others -1 - (address - base)
  kPlaceRelative,   // signed, from the entry's own place
};

struct KallsymsOptions {
  KallsymsOrder order;
  KallsymsForm form;
  bool has_long_lengths = true;  // two bytes from 128
};

/// The tables as they stand at `address`, which is a multiple of 8.
Bytes encode_kallsyms(const std::vector<FakeSymbol>& symbols, const KallsymsOptions& options,
                      std::uint64_t address);

inline constexpr std::uint64_t kTextAddress = 0xffffffff81000000;
inline constexpr std::uint64_t kTextBytes = 0x20000;
inline constexpr std::uint64_t kRodataAddress = 0xffffffff82000000;

/// `count` symbols: functions across text, then data; with `per_cpu`, a few below 2 GiB first.
/// Among them _text, init_task, a name of 300 characters and two of one name.
std::vector<FakeSymbol> make_symbols(std::size_t count, bool per_cpu);

// --- BTF ---

class BtfBuilder {
 public:
  struct FakeMember {
    std::string name;
    std::uint32_t type;
    std::uint32_t bit_offset;
    std::uint32_t bit_size = 0;  // with kflag
  };

  std::uint32_t add_int(const std::string& name, std::uint32_t bytes);
  /// PTR, TYPEDEF, CONST, …
  std::uint32_t add_reference(std::uint32_t kind, const std::string& name, std::uint32_t type);
  std::uint32_t add_array(std::uint32_t element, std::uint32_t index, std::uint32_t count);
  std::uint32_t add_composite(std::uint32_t kind, const std::string& name, std::uint32_t bytes,
                              const std::vector<FakeMember>& members, bool has_bit_fields = false);
  std::uint32_t add_enum(const std::string& name,
                         const std::vector<std::pair<std::string, std::int32_t>>& values,
                         bool is_signed);
  std::uint32_t add_enum64(const std::string& name,
                           const std::vector<std::pair<std::string, std::uint64_t>>& values);
  std::uint32_t next_id() const { return next_id_; }
  Bytes build() const;

 private:
  std::uint32_t start(std::uint32_t kind, std::uint32_t vlen, bool kflag, const std::string& name,
                      std::uint32_t size_or_type);
  std::uint32_t string(const std::string& text);

  Bytes types_;
  std::string strings_ = std::string(1, '\0');
  std::uint32_t next_id_ = 1;
};

/// A task_struct with comm at 16, an embedded structure, a bit-field, an anonymous union, …
Bytes make_btf();

// --- ELF ---

struct FakeSection {
  std::string name;
  std::uint32_t type;
  std::uint64_t flags;
  std::uint64_t address;
  Bytes bytes;
};

Bytes encode_elf(const std::vector<FakeSection>& sections);
Bytes encode_build_id(std::span<const std::byte> id);

inline constexpr std::string_view kBanner =
    "Linux version 9.8.7-fake-amd64 (builder@example) (gcc 12) #1 SMP 2026-01-01";

struct FakeKernel {
  std::vector<FakeSymbol> symbols;  // linux_banner among them
  Bytes vmlinux;
};

/// A whole one: text, rodata with banner and kallsyms, BTF, notes.
FakeKernel make_kernel(const KallsymsOptions& options);

// --- bzImage ---

Bytes compress(Compression compression, std::span<const std::byte> data);
/// With the size word that the build appends, except for gzip and none.
Bytes encode_bzimage(Compression compression, std::span<const std::byte> vmlinux);

inline constexpr std::size_t kFakePayloadAt = 5 * 512 + 64;

}  // namespace sevmon::ids::fake
