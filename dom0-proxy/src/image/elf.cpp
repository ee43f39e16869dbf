// SPDX-License-Identifier: Apache-2.0
// ELF vmcores. QEMU writes them in dump/dump.c and target/i386/arch_dump.c.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "image/layout.hpp"

#include <sevmon/cursor.hpp>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Reader;
using common::Result;

constexpr std::size_t kMaxSegments = 1U << 20;
constexpr std::size_t kMaxVcpus = 4096;
constexpr std::uint32_t kNtQemu = 0;
constexpr std::uint32_t kNtVmcoreinfo = 0;

struct QemuSegment {
  std::uint32_t selector, limit, flags, pad;
  std::uint64_t base;
};
// QEMUCPUState, version 1: 440 bytes, 432 before kernel_gs_base was added.
struct QemuCpuState {
  std::uint32_t version, size;
  std::uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
  std::uint64_t r8_to_r15[8];
  std::uint64_t rip, rflags;
  QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
  std::uint64_t cr[5];
  std::uint64_t kernel_gs_base;
};
static_assert(sizeof(QemuCpuState) == 440);
constexpr std::size_t kOldQemuCpuStateBytes = 432;

// Where elf_prstatus of x86-64 has its user_regs_struct, and what is in it.
constexpr std::size_t kPrstatusRegistersOffset = 112;
struct PrstatusRegisters {
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax,
      rip, cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};
static_assert(sizeof(PrstatusRegisters) == 216);

std::span<const std::byte> slice(std::span<const std::byte> file, std::uint64_t offset,
                                 std::uint64_t bytes) {
  if (offset > file.size() || bytes > file.size() - offset) return {};
  return file.subspan(offset, bytes);
}

struct Notes {
  std::vector<sevmon_vcpu_state> qemu;
  std::vector<sevmon_vcpu_state> prstatus;
  std::optional<Vmcoreinfo> vmcoreinfo;
};

// The kernel's table that `cr3` stands for. Linux with page-table isolation runs user code on a
// second table, the kernel's frame with bit 12 set, and marks its PCID with bit 11
// (arch/x86/entry/calling.h).
std::uint64_t kernel_root(std::uint64_t cr3, std::uint64_t cr4) {
  constexpr std::uint64_t kFrameMask = 0x000f'ffff'ffff'f000;
  constexpr std::uint64_t kPcide = 1U << 17;
  constexpr std::uint64_t kUserPcid = 1U << 11;
  constexpr std::uint64_t kUserTable = 1U << 12;
  const bool user_table = (cr4 & kPcide) && (cr3 & kUserPcid) && (cr3 & kUserTable);
  return (cr3 & kFrameMask & ~(user_table ? kUserTable : 0)) >> 12;
}

sevmon_vcpu_state to_state(const QemuCpuState& cpu, std::size_t index) {
  sevmon_vcpu_state state{};
  state.vcpu = static_cast<std::uint32_t>(index);
  state.flags = SEVMON_VCPU_ONLINE;
  const std::uint64_t first[] = {cpu.rax, cpu.rcx, cpu.rdx, cpu.rbx,
                                 cpu.rsp, cpu.rbp, cpu.rsi, cpu.rdi};
  std::ranges::copy(first, state.gpr);
  std::ranges::copy(cpu.r8_to_r15, state.gpr + 8);
  state.rip = cpu.rip;
  state.rflags = cpu.rflags;
  const auto selector = [](const QemuSegment& s) { return static_cast<std::uint16_t>(s.selector); };
  state.cs = selector(cpu.cs);
  state.ss = selector(cpu.ss);
  state.ds = selector(cpu.ds);
  state.es = selector(cpu.es);
  state.fs = selector(cpu.fs);
  state.gs = selector(cpu.gs);
  state.fs_base = cpu.fs.base;
  state.gs_base = cpu.gs.base;
  state.shadow_gs_base = cpu.kernel_gs_base;
  state.cr0 = cpu.cr[0];
  state.cr2 = cpu.cr[2];
  state.cr3 = cpu.cr[3];
  state.cr4 = cpu.cr[4];
  state.kernel_root = kernel_root(state.cr3, state.cr4);
  state.gdt_base = cpu.gdt.base;
  state.gdt_limit = cpu.gdt.limit;
  state.idt_base = cpu.idt.base;
  state.idt_limit = cpu.idt.limit;
  state.ldt_base = cpu.ldt.base;
  return state;
}

sevmon_vcpu_state to_state(const PrstatusRegisters& r, std::size_t index) {
  sevmon_vcpu_state state{};
  state.vcpu = static_cast<std::uint32_t>(index);
  state.flags = SEVMON_VCPU_ONLINE;
  const std::uint64_t gpr[16] = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                                 r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
  std::ranges::copy(gpr, state.gpr);
  state.rip = r.rip;
  state.rflags = r.rflags;
  state.cs = static_cast<std::uint16_t>(r.cs);
  state.ss = static_cast<std::uint16_t>(r.ss);
  state.ds = static_cast<std::uint16_t>(r.ds);
  state.es = static_cast<std::uint16_t>(r.es);
  state.fs = static_cast<std::uint16_t>(r.fs);
  state.gs = static_cast<std::uint16_t>(r.gs);
  state.fs_base = r.fs_base;
  state.gs_base = r.gs_base;
  return state;
}

Result<void> take_qemu(std::span<const std::byte> content, Notes& notes) {
  QemuCpuState cpu{};
  if (content.size() < kOldQemuCpuStateBytes)
    return Error{ErrorCode::kTruncated,
                 "QEMU note of " + std::to_string(content.size()) + " bytes"};
  std::memcpy(&cpu, content.data(), std::min(content.size(), sizeof(cpu)));
  if (cpu.version != 1)
    return Error{ErrorCode::kUnsupported, "QEMU note version " + std::to_string(cpu.version)};
  notes.qemu.push_back(to_state(cpu, notes.qemu.size()));
  return {};
}

Result<void> take_prstatus(std::span<const std::byte> content, Notes& notes) {
  Reader reader{content};
  reader.bytes(kPrstatusRegistersOffset);
  const auto registers = reader.take<PrstatusRegisters>();
  if (reader.failed())
    return Error{ErrorCode::kTruncated,
                 "NT_PRSTATUS of " + std::to_string(content.size()) + " bytes"};
  notes.prstatus.push_back(to_state(registers, notes.prstatus.size()));
  return {};
}

Result<void> take_note(std::string_view owner, std::uint32_t type,
                       std::span<const std::byte> content, Notes& notes) {
  if (notes.qemu.size() >= kMaxVcpus || notes.prstatus.size() >= kMaxVcpus)
    return Error{ErrorCode::kTooLarge, "over " + std::to_string(kMaxVcpus) + " vCPUs"};
  if (owner == "QEMU" && type == kNtQemu) return take_qemu(content, notes);
  if (owner == "CORE" && type == NT_PRSTATUS) return take_prstatus(content, notes);
  if (owner == "VMCOREINFO" && type == kNtVmcoreinfo)
    notes.vmcoreinfo =
        parse_vmcoreinfo({reinterpret_cast<const char*>(content.data()), content.size()});
  return {};
}

Result<void> read_notes(std::span<const std::byte> bytes, Notes& notes) {
  const auto padded = [](std::uint32_t size) { return (std::uint64_t{size} + 3) & ~3ULL; };
  Reader reader{bytes};
  while (reader.left() > 0) {
    const auto header = reader.take<Elf64_Nhdr>();
    const auto name = reader.bytes(padded(header.n_namesz));
    // The last note may do without its padding.
    const auto content_bytes =
        reader.left() >= padded(header.n_descsz) ? padded(header.n_descsz) : header.n_descsz;
    const auto content = reader.bytes(content_bytes);
    if (reader.failed()) return Error{ErrorCode::kTruncated, "an ELF note ends after its segment"};
    std::string_view owner{reinterpret_cast<const char*>(name.data()), header.n_namesz};
    owner = owner.substr(0, owner.find('\0'));
    auto taken = take_note(owner, header.n_type, content.first(header.n_descsz), notes);
    if (!taken) return taken;
  }
  return {};
}

Result<Elf64_Ehdr> read_header(std::span<const std::byte> file) {
  Reader reader{file};
  const auto header = reader.take<Elf64_Ehdr>();
  if (reader.failed()) return Error{ErrorCode::kTruncated, "ELF header"};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return Error{ErrorCode::kMalformed, "no ELF file"};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64)
    return Error{ErrorCode::kUnsupported, "an ELF file, but not of x86-64"};
  if (header.e_type != ET_CORE) return Error{ErrorCode::kUnsupported, "an ELF file, but no core"};
  if (header.e_phentsize != sizeof(Elf64_Phdr))
    return Error{ErrorCode::kMalformed, "ELF program header size"};
  return header;
}

// With 65,535 or more segments their number is in the first section header (ELF, "PN_XNUM").
Result<std::uint64_t> count_segments(std::span<const std::byte> file, const Elf64_Ehdr& header) {
  std::uint64_t count = header.e_phnum;
  if (count == PN_XNUM) {
    Reader reader{slice(file, header.e_shoff, sizeof(Elf64_Shdr))};
    count = reader.take<Elf64_Shdr>().sh_info;
    if (reader.failed()) return Error{ErrorCode::kTruncated, "ELF section header"};
  }
  if (count > kMaxSegments) return Error{ErrorCode::kTooLarge, std::to_string(count) + " segments"};
  return count;
}

}  // namespace

Result<ImageLayout> read_elf(std::span<const std::byte> file) {
  const auto header = read_header(file);
  if (!header) return header.error();
  const auto count = count_segments(file, *header);
  if (!count) return count.error();
  Reader table{slice(file, header->e_phoff, *count * sizeof(Elf64_Phdr))};
  std::vector<Segment> segments;
  Notes notes;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto entry = table.take<Elf64_Phdr>();
    if (table.failed()) return Error{ErrorCode::kTruncated, "ELF program headers"};
    // QEMU lists memory that a filter left out with a size of 0 and no offset.
    if (entry.p_filesz == 0) continue;
    if (entry.p_type == PT_LOAD) {
      segments.push_back(
          {.gpa = entry.p_paddr, .bytes = entry.p_filesz, .file_offset = entry.p_offset});
    } else if (entry.p_type == PT_NOTE) {
      const auto bytes = slice(file, entry.p_offset, entry.p_filesz);
      if (bytes.empty()) return Error{ErrorCode::kTruncated, "ELF notes"};
      if (auto read = read_notes(bytes, notes); !read) return read.error();
    }
  }
  auto normal = normalise(std::move(segments), file.size());
  if (!normal) return normal.error();
  // QEMU's own notes say more than NT_PRSTATUS, about the same vCPUs.
  return ImageLayout{.format = "elf",
                     .segments = *std::move(normal),
                     .vcpus = notes.qemu.empty() ? notes.prstatus : notes.qemu,
                     .vmcoreinfo = notes.vmcoreinfo};
}

}  // namespace sevmon::proxy
