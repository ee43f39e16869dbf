// SPDX-License-Identifier: Apache-2.0
#include "profile/elf.hpp"

#include <elf.h>

#include <algorithm>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

Result<Elf64_Ehdr> read_header(ByteSpan file) {
  if (file.size() < sizeof(Elf64_Ehdr))
    return Error{ErrorCode::kTruncated, "ELF header of 64 bytes: file ends at " + hex(file.size())};
  const auto header = load_le<Elf64_Ehdr>(file, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return Error{ErrorCode::kMalformed, "no ELF magic at offset 0"};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64)
    return Error{ErrorCode::kUnsupported, "ELF file is not for x86-64"};
  if (header.e_shentsize != sizeof(Elf64_Shdr))
    return Error{ErrorCode::kMalformed,
                 "ELF section header size " + std::to_string(header.e_shentsize)};
  if (header.e_shnum == 0 || header.e_shstrndx >= header.e_shnum)
    return Error{ErrorCode::kMalformed, "ELF file has no section names"};
  if (!fits(file.size(), header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr)))
    return Error{ErrorCode::kTruncated,
                 std::to_string(header.e_shnum) + " ELF section headers at offset " +
                     hex(header.e_shoff) + ": file ends at " + hex(file.size())};
  return header;
}

/// The NUL-terminated string at `offset`, if it ends inside `table`.
std::optional<std::string_view> string_at(ByteSpan table, std::size_t offset) {
  if (offset >= table.size()) return std::nullopt;
  const auto* start = reinterpret_cast<const char*>(table.data()) + offset;
  const auto* end = static_cast<const char*>(std::memchr(start, 0, table.size() - offset));
  if (end == nullptr) return std::nullopt;
  return std::string_view{start, static_cast<std::size_t>(end - start)};
}

Result<ByteSpan> section_bytes(ByteSpan file, const Elf64_Shdr& raw, std::size_t index) {
  if (raw.sh_type == SHT_NOBITS || raw.sh_type == SHT_NULL) return ByteSpan{};
  if (!fits(file.size(), raw.sh_offset, raw.sh_size))
    return Error{ErrorCode::kTruncated, "ELF section " + std::to_string(index) + " of " +
                                            hex(raw.sh_size) + " bytes at offset " +
                                            hex(raw.sh_offset) + ": file ends at " +
                                            hex(file.size())};
  return file.subspan(raw.sh_offset, raw.sh_size);
}

std::string to_hex(ByteSpan bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte byte : bytes) {
    out += kDigits[std::to_integer<unsigned>(byte) >> 4];
    out += kDigits[std::to_integer<unsigned>(byte) & 0xf];
  }
  return out;
}

std::string build_id_in(ByteSpan notes) {
  constexpr std::size_t kMaxBuildIdBytes = 64;
  const auto padded = [](std::uint64_t bytes) { return (bytes + 3) & ~std::uint64_t{3}; };
  std::size_t at = 0;
  while (fits(notes.size(), at, sizeof(Elf64_Nhdr))) {
    const auto note = load_le<Elf64_Nhdr>(notes, at);
    at += sizeof note;
    const std::uint64_t name_bytes = padded(note.n_namesz);
    if (!fits(notes.size(), at, name_bytes + note.n_descsz)) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz > 0 &&
        note.n_descsz <= kMaxBuildIdBytes && std::memcmp(notes.data() + at, "GNU", 4) == 0)
      return to_hex(notes.subspan(at + name_bytes, note.n_descsz));
    at += name_bytes + padded(note.n_descsz);
  }
  return {};
}

}  // namespace

Result<Elf> Elf::parse(ByteSpan file) {
  const auto header = read_header(file);
  if (!header) return header.error();
  const auto raw_section = [&](std::size_t index) {
    return load_le<Elf64_Shdr>(file, header->e_shoff + index * sizeof(Elf64_Shdr));
  };
  const auto names = section_bytes(file, raw_section(header->e_shstrndx), header->e_shstrndx);
  if (!names) return names.error();

  Elf elf;
  elf.sections_.reserve(header->e_shnum);
  for (std::size_t i = 0; i < header->e_shnum; ++i) {
    const Elf64_Shdr raw = raw_section(i);
    const auto bytes = section_bytes(file, raw, i);
    if (!bytes) return bytes.error();
    if (raw.sh_type == SHT_NULL) continue;
    const auto name = string_at(*names, raw.sh_name);
    if (!name)
      return Error{ErrorCode::kMalformed, "ELF section " + std::to_string(i) + " has its name at " +
                                              hex(raw.sh_name) + " of " + hex(names->size())};
    if (raw.sh_addr + raw.sh_size < raw.sh_addr)
      return Error{ErrorCode::kMalformed, "ELF section " + std::string{*name} + " at address " +
                                              hex(raw.sh_addr) + " wraps around"};
    elf.sections_.push_back({.name = *name,
                             .address = raw.sh_addr,
                             .bytes = *bytes,
                             .is_loaded = (raw.sh_flags & SHF_ALLOC) != 0,
                             .is_executable = (raw.sh_flags & SHF_EXECINSTR) != 0});
  }
  return elf;
}

const Elf::Section* Elf::find(std::string_view name) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const Section& section) { return section.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

ByteSpan Elf::at(std::uint64_t address) const {
  for (const Section& section : sections_)
    if (section.is_loaded && address >= section.address &&
        address - section.address < section.bytes.size())
      return section.bytes.subspan(address - section.address);
  return {};
}

std::string Elf::build_id() const {
  for (const std::string_view name : {".notes", ".note.gnu.build-id"})
    if (const Section* notes = find(name))
      if (std::string id = build_id_in(notes->bytes); !id.empty()) return id;
  return {};
}

}  // namespace sevmon::ids
