// SPDX-License-Identifier: Apache-2.0
#include "program/elf_object.hpp"

#include <libelf.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

constexpr std::uint16_t kMachineBpf = 247;  // EM_BPF
constexpr std::size_t kMaxSections = 256;
constexpr std::size_t kMaxSymbols = 1U << 16;
constexpr std::size_t kMaxRelocations = 1U << 16;  // of one section
constexpr std::uint64_t kMaxAlign = 4096;

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using Handle = std::unique_ptr<Elf, ElfEnd>;

Error malformed(const std::string& what) {
  return {ErrorCode::kMalformed, "ELF file: " + what};
}

std::string libelf_says() {
  const char* text = elf_errmsg(-1);
  return text != nullptr ? text : "no reason given";
}

/// libelf answers for either class and byte order; ours is one.
Result<void> check_header(ByteSpan file) {
  if (file.size() < sizeof(Elf64_Ehdr))
    return Error{ErrorCode::kTruncated, "ELF header: " + std::to_string(file.size()) + " bytes"};
  const auto header = load_le<Elf64_Ehdr>(file, 0);
  if (!std::equal(header.e_ident, header.e_ident + SELFMAG, ELFMAG))
    return malformed("the first bytes are not those of one");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
    return Error{ErrorCode::kUnsupported, "ELF file: not of 64 bits, little-endian"};
  if (header.e_machine != kMachineBpf || header.e_type != ET_REL)
    return Error{ErrorCode::kUnsupported, "ELF file: machine " + std::to_string(header.e_machine) +
                                              ", type " + std::to_string(header.e_type) +
                                              ": not an eBPF object (clang -target bpf -c)"};
  if (header.e_shentsize != sizeof(Elf64_Shdr))
    return malformed("section headers of " + std::to_string(header.e_shentsize) + " bytes");
  if (header.e_shnum == 0 || header.e_shnum > kMaxSections)
    return Error{ErrorCode::kTooLarge, "ELF file: " + std::to_string(header.e_shnum) +
                                           " sections, at most " + std::to_string(kMaxSections)};
  if (!fits(file.size(), header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr)))
    return Error{ErrorCode::kTruncated, "ELF file: section headers at " + hex(header.e_shoff) +
                                            " in " + hex(file.size()) + " bytes"};
  return {};
}

}  // namespace

struct ElfReader {
  ByteSpan file;
  Handle elf;
  ElfObject object;
  std::vector<Elf64_Shdr> headers;
  std::size_t symbol_table = 0;  // its section

  Result<ElfObject> read() {
    elf_version(EV_CURRENT);
    // libelf takes a pointer to change; with nothing written and no byte order to swap it does not.
    elf.reset(
        elf_memory(const_cast<char*>(reinterpret_cast<const char*>(file.data())), file.size()));
    if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return malformed(libelf_says());
    if (auto done = read_headers(); !done) return done.error();
    if (auto done = read_sections(); !done) return done.error();
    if (auto done = read_symbols(); !done) return done.error();
    for (std::size_t i = 1; i < headers.size(); ++i) {
      if (headers[i].sh_type == SHT_RELA)
        return Error{ErrorCode::kUnsupported, "ELF section " + std::to_string(i) +
                                                  ": relocations with addends of their own"};
      if (headers[i].sh_type != SHT_REL) continue;
      if (auto done = read_relocations(i); !done) return done.error();
    }
    return std::move(object);
  }

  Result<void> read_headers() {
    std::size_t count = 0;
    if (elf_getshdrnum(elf.get(), &count) != 0 || count == 0 || count > kMaxSections)
      return malformed("no section headers: " + libelf_says());
    for (std::size_t i = 0; i < count; ++i) {
      const Elf64_Shdr* header = elf64_getshdr(elf_getscn(elf.get(), i));
      if (header == nullptr)
        return malformed("section " + std::to_string(i) + ": " + libelf_says());
      // It lies in the file, wherever that says: at any address.
      std::memcpy(&headers.emplace_back(), header, sizeof(*header));
    }
    return {};
  }

  Result<void> read_sections() {
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf.get(), &names) != 0) return malformed(libelf_says());
    object.sections_.resize(headers.size());
    for (std::size_t i = 1; i < headers.size(); ++i) {
      const auto& header = headers[i];
      const std::string what = "ELF section " + std::to_string(i);
      const char* name = elf_strptr(elf.get(), names, header.sh_name);
      if (name == nullptr) return malformed(what + " has no name: " + libelf_says());
      const bool has_data = header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL;
      if (has_data && !fits(file.size(), header.sh_offset, header.sh_size))
        return Error{ErrorCode::kTruncated, what + " (" + name + "): " + hex(header.sh_size) +
                                                " bytes at " + hex(header.sh_offset)};
      const std::uint64_t align = std::max<std::uint64_t>(header.sh_addralign, 1);
      if (!std::has_single_bit(align) || align > kMaxAlign)
        return malformed(what + " (" + name + "): alignment " + hex(align));
      object.sections_[i] = {
          .name = name,
          .type = header.sh_type,
          .flags = header.sh_flags,
          .align = align,
          .bytes = header.sh_size,
          .data = has_data ? file.subspan(header.sh_offset, header.sh_size) : ByteSpan{},
          .relocations = {}};
      if (header.sh_type == SHT_SYMTAB) {
        if (symbol_table != 0) return malformed("two symbol tables");
        symbol_table = i;
      }
    }
    if (symbol_table == 0) return malformed("no symbol table");
    return {};
  }

  Result<void> read_symbols() {
    const auto& header = headers[symbol_table];
    const ByteSpan table = object.sections_[symbol_table].data;
    if (header.sh_entsize != sizeof(Elf64_Sym) || table.size() % sizeof(Elf64_Sym) != 0)
      return malformed("symbols of " + std::to_string(header.sh_entsize) + " bytes in " +
                       hex(table.size()));
    if (table.size() / sizeof(Elf64_Sym) > kMaxSymbols)
      return Error{ErrorCode::kTooLarge,
                   "ELF file: over " + std::to_string(kMaxSymbols) + " symbols"};
    if (header.sh_link >= headers.size() || headers[header.sh_link].sh_type != SHT_STRTAB)
      return malformed("symbols without names");
    for (std::size_t at = 0; at < table.size(); at += sizeof(Elf64_Sym))
      if (auto done = add_symbol(load_le<Elf64_Sym>(table, at), header.sh_link); !done)
        return done.error();
    return {};
  }

  Result<void> add_symbol(const Elf64_Sym& raw, std::size_t names) {
    const std::string what = "symbol " + std::to_string(object.symbols_.size());
    const char* name = elf_strptr(elf.get(), names, raw.st_name);
    if (name == nullptr) return malformed(what + " has no name: " + libelf_says());
    ElfObject::Symbol symbol{.name = name,
                             .type = std::uint8_t(raw.st_info & 0xf),  // ELF64_ST_TYPE() is an int
                             .bind = std::uint8_t(raw.st_info >> 4),
                             .section = raw.st_shndx,
                             .value = raw.st_value,
                             .bytes = raw.st_size};
    const bool is_file = symbol.type == STT_FILE && raw.st_shndx == SHN_ABS;
    if (is_file) {
      symbol.section = 0;
    } else if (raw.st_shndx == SHN_COMMON || raw.st_shndx == SHN_ABS) {
      return Error{ErrorCode::kUnsupported, what + " (" + name + ") is in no section"};
    } else if (raw.st_shndx >= headers.size()) {
      return malformed(what + " (" + name + ") is in section " + std::to_string(raw.st_shndx));
    }
    if (symbol.section != 0 &&
        !fits(object.sections_[symbol.section].bytes, symbol.value, symbol.bytes))
      return malformed(what + " (" + name + ") is not inside its section");
    if (symbol.type == STT_SECTION && symbol.name.empty())
      symbol.name = object.sections_[symbol.section].name;
    object.symbols_.push_back(symbol);
    return {};
  }

  Result<void> read_relocations(std::size_t index) {
    const auto& header = headers[index];
    const ByteSpan table = object.sections_[index].data;
    const std::string what = "ELF section " + std::to_string(index) + " (relocations)";
    if (header.sh_entsize != sizeof(Elf64_Rel) || table.size() % sizeof(Elf64_Rel) != 0)
      return malformed(what + ": entries of " + std::to_string(header.sh_entsize) + " bytes in " +
                       hex(table.size()));
    if (table.size() / sizeof(Elf64_Rel) > kMaxRelocations)
      return Error{ErrorCode::kTooLarge, what + ": over " + std::to_string(kMaxRelocations)};
    if (header.sh_link != symbol_table || header.sh_info == 0 || header.sh_info >= headers.size())
      return malformed(what + ": of section " + std::to_string(header.sh_info));
    auto& target = object.sections_[header.sh_info];
    for (std::size_t at = 0; at < table.size(); at += sizeof(Elf64_Rel)) {
      const auto raw = load_le<Elf64_Rel>(table, at);
      const auto symbol = ELF64_R_SYM(raw.r_info);
      if (symbol >= object.symbols_.size())
        return malformed(what + ": symbol " + std::to_string(symbol));
      if (raw.r_offset >= target.bytes)
        return malformed(what + ": offset " + hex(raw.r_offset) + " in " + hex(target.bytes));
      target.relocations.push_back({raw.r_offset,
                                    static_cast<std::uint32_t>(ELF64_R_TYPE(raw.r_info)),
                                    static_cast<std::uint32_t>(symbol)});
    }
    return {};
  }
};

Result<ElfObject> ElfObject::parse(ByteSpan file) {
  if (auto checked = check_header(file); !checked) return checked.error();
  return ElfReader{file, {}, {}, {}, 0}.read();
}

const ElfObject::Section* ElfObject::find(std::string_view name) const {
  const auto found = std::ranges::find(sections_, name, &Section::name);
  return found == sections_.end() ? nullptr : &*found;
}

}  // namespace sevmon::ids
