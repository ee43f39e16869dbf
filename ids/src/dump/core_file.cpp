// SPDX-License-Identifier: Apache-2.0
#include "dump/core_file.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include <sevmon/cursor.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint64_t kPage = SEVMON_PAGE_BYTES;

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span{&value, 1});
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

void pad(std::vector<std::byte>& bytes) {
  bytes.resize((bytes.size() + 3) & ~std::size_t{3});
}

std::vector<std::byte> encode_notes(std::span<const CoreNote> notes) {
  std::vector<std::byte> bytes;
  for (const auto& note : notes) {
    append(bytes, Elf64_Nhdr{.n_namesz = static_cast<Elf64_Word>(note.owner.size() + 1),
                             .n_descsz = static_cast<Elf64_Word>(note.content.size()),
                             .n_type = note.type});
    const auto name = std::as_bytes(std::span{note.owner.c_str(), note.owner.size() + 1});
    bytes.insert(bytes.end(), name.begin(), name.end());
    pad(bytes);
    bytes.insert(bytes.end(), note.content.begin(), note.content.end());
    pad(bytes);
  }
  return bytes;
}

Elf64_Phdr load(std::uint64_t gva, std::uint64_t gpa, std::uint64_t bytes, std::uint64_t offset) {
  return {.p_type = PT_LOAD,
          .p_flags = PF_R | PF_W | PF_X,
          .p_offset = offset,
          .p_vaddr = gva,
          .p_paddr = gpa,
          .p_filesz = bytes,
          .p_memsz = bytes,
          .p_align = 0};
}

/// Program headers of what `mappings` have of the pages; with `rest`, of the others too.
class Loads {
 public:
  Loads(std::span<const FrameRun> present, std::vector<Elf64_Phdr>& headers)
      : present_{present}, headers_{headers} {}

  Result<void> add(std::span<const Mapping> mappings, bool rest) {
    std::uint64_t offset = kCoreHeaderBytes;
    auto mapping = mappings.begin();
    for (const auto& run : present_) {
      auto at = run.first * kPage;
      const auto end = at + run.count * kPage;
      const auto begin = at;
      while (at < end) {
        while (mapping != mappings.end() && mapping->gpa + mapping->bytes <= at) ++mapping;
        const bool inside = mapping != mappings.end() && mapping->gpa <= at;
        auto stop = end;
        if (mapping != mappings.end())
          stop = std::min(end, inside ? mapping->gpa + mapping->bytes : mapping->gpa);
        const auto gva = inside ? mapping->gva + (at - mapping->gpa) : 0;
        if (inside || rest) headers_.push_back(load(gva, at, stop - at, offset + (at - begin)));
        if (headers_.size() > kMaxCoreSegments)
          return Error{ErrorCode::kTooLarge, "the target's memory is in over " +
                                                 std::to_string(kMaxCoreSegments) +
                                                 " pieces; a LiME file can have them"};
        at = stop;
      }
      offset += run.count * kPage;
    }
    return {};
  }

 private:
  std::span<const FrameRun> present_;
  std::vector<Elf64_Phdr>& headers_;
};

Elf64_Ehdr file_header(std::size_t segments) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<Elf64_Half>(segments);
  return header;
}

// elf_prstatus and user_regs_struct of x86-64 (sys/procfs.h, sys/user.h), and QEMU's note of a vCPU
// (target/i386/arch_dump.c), byte for byte.
struct PrStatus {
  std::uint8_t before[32] = {};
  std::uint32_t pid = 0;
  std::uint8_t between[76] = {};
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax,
      rip, cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
  std::uint64_t fpvalid = 0;
};
static_assert(sizeof(PrStatus) == 336);
struct QemuSegment {
  std::uint32_t selector = 0, limit = 0, flags = 0, pad = 0;
  std::uint64_t base = 0;
};
struct QemuCpuState {
  std::uint32_t version = 1, size = 440;
  std::uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
  std::uint64_t r8_to_r15[8];
  std::uint64_t rip, rflags;
  QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
  std::uint64_t cr[5];
  std::uint64_t kernel_gs_base;
};
static_assert(sizeof(QemuCpuState) == 440);

template <typename T>
CoreNote note(const char* owner, std::uint32_t type, const T& value) {
  CoreNote made{.owner = owner, .type = type, .content = {}};
  append(made.content, value);
  return made;
}

QemuSegment segment(std::uint16_t selector, std::uint64_t base = 0, std::uint32_t limit = 0) {
  return {.selector = selector, .limit = limit, .flags = 0, .pad = 0, .base = base};
}

}  // namespace

Result<std::vector<std::byte>> encode_core_header(std::span<const FrameRun> present,
                                                  std::span<const Mapping> direct,
                                                  std::span<const Mapping> also,
                                                  std::span<const CoreNote> notes) {
  // crash(8) and makedumpfile(8) want the notes first, and directly behind the file's header.
  std::vector<Elf64_Phdr> headers(1);
  Loads loads{present, headers};
  if (auto ok = loads.add(also, false); !ok) return ok.error();
  if (auto ok = loads.add(direct, true); !ok) return ok.error();
  const auto encoded = encode_notes(notes);
  headers[0].p_type = PT_NOTE;
  headers[0].p_offset = sizeof(Elf64_Ehdr) + headers.size() * sizeof(Elf64_Phdr);
  headers[0].p_filesz = headers[0].p_memsz = encoded.size();
  if (headers[0].p_offset + encoded.size() > kCoreHeaderBytes)
    return Error{ErrorCode::kTooLarge, "the core's notes"};
  std::vector<std::byte> bytes;
  append(bytes, file_header(headers.size()));
  for (const auto& header : headers) append(bytes, header);
  bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  return bytes;
}

std::vector<CoreNote> vcpu_notes(const sevmon_vcpu_state& state) {
  const auto& gpr = state.gpr;  // rax rcx rdx rbx rsp rbp rsi rdi r8..r15
  PrStatus status{};
  status.pid = state.vcpu + 1;
  status.rax = status.orig_rax = gpr[0];
  status.rcx = gpr[1];
  status.rdx = gpr[2];
  status.rbx = gpr[3];
  status.rsp = gpr[4];
  status.rbp = gpr[5];
  status.rsi = gpr[6];
  status.rdi = gpr[7];
  status.r8 = gpr[8];
  status.r9 = gpr[9];
  status.r10 = gpr[10];
  status.r11 = gpr[11];
  status.r12 = gpr[12];
  status.r13 = gpr[13];
  status.r14 = gpr[14];
  status.r15 = gpr[15];
  status.rip = state.rip;
  status.rflags = state.rflags;
  status.cs = state.cs;
  status.ss = state.ss;
  status.ds = state.ds;
  status.es = state.es;
  status.fs = state.fs;
  status.gs = state.gs;
  status.fs_base = state.fs_base;
  status.gs_base = state.gs_base;

  QemuCpuState cpu{};
  cpu.rax = gpr[0];
  cpu.rcx = gpr[1];
  cpu.rdx = gpr[2];
  cpu.rbx = gpr[3];
  cpu.rsp = gpr[4];
  cpu.rbp = gpr[5];
  cpu.rsi = gpr[6];
  cpu.rdi = gpr[7];
  std::copy(gpr + 8, gpr + 16, cpu.r8_to_r15);
  cpu.rip = state.rip;
  cpu.rflags = state.rflags;
  cpu.cs = segment(state.cs);
  cpu.ds = segment(state.ds);
  cpu.es = segment(state.es);
  cpu.fs = segment(state.fs, state.fs_base);
  cpu.gs = segment(state.gs, state.gs_base);
  cpu.ss = segment(state.ss);
  cpu.ldt = segment(0, state.ldt_base);
  cpu.gdt = segment(0, state.gdt_base, state.gdt_limit);
  cpu.idt = segment(0, state.idt_base, state.idt_limit);
  cpu.cr[0] = state.cr0;
  cpu.cr[2] = state.cr2;
  // A PV vCPU may be on its user table now; readers want the kernel's.
  cpu.cr[3] = (state.flags & SEVMON_VCPU_PV) != 0 ? state.kernel_root << 12 : state.cr3;
  cpu.cr[4] = state.cr4;
  cpu.kernel_gs_base = state.shadow_gs_base;
  return {note("CORE", NT_PRSTATUS, status), note("QEMU", 0, cpu)};
}

std::array<std::byte, kLimeHeaderBytes> encode_lime_header(FrameRun run) {
  std::array<std::byte, kLimeHeaderBytes> bytes{};
  common::Writer writer{bytes};
  writer.put(std::uint32_t{0x4c694d45});
  writer.put(std::uint32_t{1});
  writer.put(run.first * kPage);
  writer.put((run.first + run.count) * kPage - 1);
  writer.zeros(8);
  return bytes;
}

}  // namespace sevmon::ids
