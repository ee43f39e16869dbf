// SPDX-License-Identifier: Apache-2.0
// Memory images built in code.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace sevmon::proxy::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_from(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

template <typename T>
void append(Bytes& to, const T& value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), begin, begin + sizeof(value));
}

template <typename T>
void put(Bytes& into, std::size_t offset, const T& value) {
  std::memcpy(into.data() + offset, &value, sizeof(value));
}

// One page whose every byte tells its number.
inline Bytes page_of(std::uint8_t number) {
  return Bytes(4096, std::byte{number});
}

// What QEMU's note says about a vCPU; offsets as in target/i386/arch_dump.c.
struct QemuNote {
  std::uint64_t cr0 = 0x80050033, cr3 = 0, cr4 = 0x20;
  std::uint32_t version = 1;
  std::size_t bytes = 440;

  Bytes build() const {
    Bytes note(440);
    put(note, 0, version);
    put(note, 4, std::uint32_t{440});
    for (std::uint64_t i = 0; i < 18; ++i) put(note, 8 + 8 * i, 0x1000 + i);  // rax … rflags
    for (std::uint32_t i = 0; i < 10; ++i) {                                  // cs … idt
      put(note, 152 + 24 * i, 0x10 + i);
      put(note, 152 + 24 * i + 4, 0xfff0 + i);
      put(note, 152 + 24 * i + 16, 0xffff'8000'0000'0000 + i);
    }
    put(note, 392, cr0);
    put(note, 408, std::uint64_t{0xdead'0000});  // cr2
    put(note, 416, cr3);
    put(note, 424, cr4);
    put(note, 432, std::uint64_t{0xffff'9000'0000'0000});  // kernel_gs_base
    note.resize(bytes);
    return note;
  }
};

class ElfBuilder {
 public:
  ElfBuilder& load(std::uint64_t gpa, Bytes content) {
    loads_.push_back({gpa, std::move(content)});
    return *this;
  }
  ElfBuilder& note(std::string_view owner, std::uint32_t type, const Bytes& content) {
    append(notes_, Elf64_Nhdr{static_cast<Elf64_Word>(owner.size() + 1),
                              static_cast<Elf64_Word>(content.size()), type});
    const auto name = bytes_from(owner);
    notes_.insert(notes_.end(), name.begin(), name.end());
    notes_.push_back(std::byte{0});
    pad(notes_);
    notes_.insert(notes_.end(), content.begin(), content.end());
    pad(notes_);
    return *this;
  }
  ElfBuilder& vcpu(const QemuNote& note_of_it) { return note("QEMU", 0, note_of_it.build()); }
  // Before the first segment's bytes: so that pages can begin anywhere.
  ElfBuilder& gap(std::size_t bytes) {
    gap_ = bytes;
    return *this;
  }

  Bytes build() const {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(header);
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<Elf64_Half>(loads_.size() + 1);
    std::uint64_t offset = sizeof(header) + header.e_phnum * sizeof(Elf64_Phdr);
    Bytes file;
    append(file, header);
    Elf64_Phdr entry{};
    entry.p_type = PT_NOTE;
    entry.p_offset = offset;
    entry.p_filesz = entry.p_memsz = notes_.size();
    append(file, entry);
    offset += notes_.size() + gap_;
    for (const auto& load : loads_) {
      entry = {};
      entry.p_type = PT_LOAD;
      entry.p_offset = offset;
      entry.p_paddr = load.gpa;
      entry.p_filesz = entry.p_memsz = load.content.size();
      append(file, entry);
      offset += load.content.size();
    }
    file.insert(file.end(), notes_.begin(), notes_.end());
    file.resize(file.size() + gap_);
    for (const auto& load : loads_)
      file.insert(file.end(), load.content.begin(), load.content.end());
    return file;
  }

 private:
  struct Load {
    std::uint64_t gpa;
    Bytes content;
  };
  static void pad(Bytes& bytes) { bytes.resize((bytes.size() + 3) & ~std::size_t{3}); }

  std::vector<Load> loads_;
  Bytes notes_;
  std::size_t gap_ = 0;
};

struct LimeRange {
  std::uint32_t magic = 0x4c694d45, version = 1;
  std::uint64_t first = 0, last = 4095, reserved = 0;
};

inline void append_range(Bytes& file, const LimeRange& range, const Bytes& content) {
  append(file, range);
  file.insert(file.end(), content.begin(), content.end());
}

}  // namespace sevmon::proxy::test
