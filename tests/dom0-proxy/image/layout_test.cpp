// SPDX-License-Identifier: Apache-2.0
#include "image/layout.hpp"

#include <gtest/gtest.h>

#include "image/image_builder.hpp"

namespace sevmon::proxy::test {
namespace {

using common::ErrorCode;

constexpr std::string_view kInfo =
    "OSRELEASE=6.1.0\nBUILD-ID=00112233445566778899aabbccddeeff01234567\n"
    "KERNELOFFSET=1a000000\nNUMBER(phys_base)=-16777216\n";

ElfBuilder small_elf() {
  ElfBuilder elf;
  elf.vcpu({.cr3 = 0x5000})
      .note("VMCOREINFO", 0, bytes_from(kInfo))
      .load(0, page_of(1))
      .load(0x100000, page_of(2));
  return elf;
}

std::optional<ErrorCode> refusal(const Bytes& file, ImageFormat format = ImageFormat::kAuto) {
  const auto layout = read_layout(file, format);
  return layout ? std::nullopt : std::optional{layout.error().code};
}

TEST(Elf, SegmentsLieWhereTheirPhysicalAddressSays) {
  const auto file = small_elf().build();
  const auto layout = read_layout(file, ImageFormat::kAuto);
  ASSERT_TRUE(layout) << layout.error().message();
  EXPECT_EQ(layout->format, "elf");
  ASSERT_EQ(layout->segments.size(), 2U);
  EXPECT_EQ(layout->segments[1].gpa, 0x100000U);
  EXPECT_EQ(layout->segments[1].bytes, 4096U);
  EXPECT_EQ(file[layout->segments[1].file_offset], std::byte{2});
}

TEST(Elf, NotesGiveVcpusAndVmcoreinfo) {
  const auto layout = read_layout(small_elf().vcpu({.cr3 = 0x6000}).build(), ImageFormat::kElf);
  ASSERT_TRUE(layout) << layout.error().message();
  ASSERT_EQ(layout->vcpus.size(), 2U);
  const auto& vcpu = layout->vcpus[1];
  EXPECT_EQ(vcpu.vcpu, 1U);
  EXPECT_EQ(vcpu.cr3, 0x6000U);
  EXPECT_EQ(vcpu.kernel_root, 6U);
  EXPECT_EQ(vcpu.cr0, 0x80050033U);
  EXPECT_EQ(vcpu.cr2, 0xdead0000U);
  // rax rcx rdx rbx rsp rbp rsi rdi, out of QEMU's rax rbx rcx rdx rsi rdi rsp rbp.
  const std::uint64_t gpr[] = {0x1000, 0x1002, 0x1003, 0x1001, 0x1006, 0x1007, 0x1004, 0x1005,
                               0x1008, 0x1009, 0x100a, 0x100b, 0x100c, 0x100d, 0x100e, 0x100f};
  EXPECT_TRUE(std::equal(std::begin(gpr), std::end(gpr), std::begin(vcpu.gpr)));
  EXPECT_EQ(vcpu.rip, 0x1010U);
  EXPECT_EQ(vcpu.rflags, 0x1011U);
  EXPECT_EQ(vcpu.cs, 0x10U);
  EXPECT_EQ(vcpu.ss, 0x15U);
  EXPECT_EQ(vcpu.gs_base, 0xffff'8000'0000'0004U);
  EXPECT_EQ(vcpu.shadow_gs_base, 0xffff'9000'0000'0000U);
  EXPECT_EQ(vcpu.gdt_limit, 0xfff8U);
  EXPECT_EQ(vcpu.idt_base, 0xffff'8000'0000'0009U);
  ASSERT_TRUE(layout->vmcoreinfo);
  EXPECT_EQ(layout->vmcoreinfo->kernel_offset, 0x1a000000U);
  EXPECT_EQ(layout->vmcoreinfo->phys_base, static_cast<std::uint64_t>(-16777216));
  EXPECT_EQ(layout->vmcoreinfo->build_id[0], 0);
  EXPECT_EQ(layout->vmcoreinfo->build_id[19], 0x67);
}

TEST(Elf, UserTablesOfIsolatedKernelsStandForTheKernels) {
  constexpr std::uint64_t kPcide = 1 << 17;
  const auto root = [](std::uint64_t cr3, std::uint64_t cr4) {
    ElfBuilder elf;
    elf.vcpu({.cr3 = cr3, .cr4 = cr4}).load(0, page_of(0));
    return read_elf(elf.build())->vcpus.at(0).kernel_root;
  };
  EXPECT_EQ(root(0x7806, kPcide), 6U);  // user PCID, user table
  EXPECT_EQ(root(0x7006, kPcide), 7U);  // kernel PCID
  EXPECT_EQ(root(0x7806, 0), 7U);       // no PCIDs: nothing tells
  EXPECT_EQ(root(1ULL << 63 | 0x6006, kPcide), 6U);
}

TEST(Elf, PrstatusIsEnoughForRegistersButNotForARoot) {
  Bytes status(336);
  put(status, 112 + 10 * 8, std::uint64_t{0xaa});  // rax
  put(status, 112 + 16 * 8, std::uint64_t{0xbb});  // rip
  ElfBuilder elf;
  elf.note("CORE", NT_PRSTATUS, status).load(0, page_of(0));
  const auto layout = read_elf(elf.build());
  ASSERT_TRUE(layout);
  ASSERT_EQ(layout->vcpus.size(), 1U);
  EXPECT_EQ(layout->vcpus[0].gpr[0], 0xaaU);
  EXPECT_EQ(layout->vcpus[0].rip, 0xbbU);
  EXPECT_EQ(layout->vcpus[0].cr0, 0U);
}

TEST(Elf, TruncatedAtEachLengthIsRefused) {
  const auto whole = small_elf().build();
  ASSERT_FALSE(refusal(whole));
  for (std::size_t bytes = 4; bytes < whole.size(); ++bytes)
    EXPECT_TRUE(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)},
                        ImageFormat::kElf))
        << bytes;
}

TEST(Elf, NotesTruncatedAtEachLengthAreRefusedOrStillWhole) {
  for (std::size_t bytes = 0; bytes < 440; ++bytes) {
    ElfBuilder elf;
    elf.vcpu({.bytes = bytes}).load(0, page_of(0));
    EXPECT_EQ(refusal(elf.build()).has_value(), bytes < 432) << bytes;
  }
  for (std::size_t bytes = 0; bytes < 336; ++bytes) {
    ElfBuilder elf;
    elf.note("CORE", NT_PRSTATUS, Bytes(bytes)).load(0, page_of(0));
    EXPECT_EQ(refusal(elf.build()).has_value(), bytes < 112 + 216) << bytes;
  }
}

struct Patch {
  const char* what;
  std::size_t offset;
  std::uint64_t value;
  std::size_t bytes;
};

TEST(Elf, FieldsThatCannotBeAreRefused) {
  constexpr std::size_t kNote = sizeof(Elf64_Ehdr);
  constexpr std::size_t kFirst = kNote + sizeof(Elf64_Phdr);
  constexpr std::size_t kNotes = kNote + 3 * sizeof(Elf64_Phdr);
  const Patch patches[] = {
      {"class", EI_CLASS, ELFCLASS32, 1},
      {"byte order", EI_DATA, ELFDATA2MSB, 1},
      {"machine", offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2},
      {"type", offsetof(Elf64_Ehdr, e_type), ET_EXEC, 2},
      {"phentsize", offsetof(Elf64_Ehdr, e_phentsize), 32, 2},
      {"phoff", offsetof(Elf64_Ehdr, e_phoff), ~0ULL, 8},
      {"phnum", offsetof(Elf64_Ehdr, e_phnum), 0xfffe, 2},
      {"no segments", offsetof(Elf64_Ehdr, e_phnum), 0, 2},
      {"PN_XNUM without sections", offsetof(Elf64_Ehdr, e_phnum), PN_XNUM, 2},
      {"offset", kFirst + offsetof(Elf64_Phdr, p_offset), ~0ULL, 8},
      {"offset wraps", kFirst + offsetof(Elf64_Phdr, p_offset), ~0ULL - 4095, 8},
      {"size", kFirst + offsetof(Elf64_Phdr, p_filesz), ~0ULL, 8},
      {"address", kFirst + offsetof(Elf64_Phdr, p_paddr), 1ULL << 52, 8},
      {"address wraps", kFirst + offsetof(Elf64_Phdr, p_paddr), ~0ULL, 8},
      {"address ends outside", kFirst + offsetof(Elf64_Phdr, p_paddr), (1ULL << 52) - 4095, 8},
      {"notes' offset", kNote + offsetof(Elf64_Phdr, p_offset), ~0ULL, 8},
      {"notes' size", kNote + offsetof(Elf64_Phdr, p_filesz), ~0ULL, 8},
      {"owner's size", kNotes + offsetof(Elf64_Nhdr, n_namesz), 0xffffffff, 4},
      {"content's size", kNotes + offsetof(Elf64_Nhdr, n_descsz), 0xffffffff, 4},
      {"QEMU note's version", kNotes + sizeof(Elf64_Nhdr) + 8, 2, 4},
  };
  const auto whole = small_elf().build();
  for (const auto& patch : patches) {
    auto file = whole;
    std::memcpy(file.data() + patch.offset, &patch.value, patch.bytes);
    EXPECT_TRUE(refusal(file)) << patch.what;
  }
}

TEST(Elf, TooManyVcpusAreRefused) {
  ElfBuilder elf;
  elf.load(0, page_of(0));
  for (int i = 0; i < 4096; ++i) elf.vcpu({});
  ASSERT_FALSE(refusal(elf.build()));
  EXPECT_EQ(refusal(elf.vcpu({}).build()), ErrorCode::kTooLarge);
}

TEST(Elf, ManySegmentsAreCountedInTheSectionHeader) {
  auto file = small_elf().build();
  Elf64_Shdr section{};
  section.sh_info = 3;
  put(file, offsetof(Elf64_Ehdr, e_phnum), Elf64_Half{PN_XNUM});
  put(file, offsetof(Elf64_Ehdr, e_shoff), Elf64_Off{file.size()});
  append(file, section);
  EXPECT_FALSE(refusal(file));
  put(file, file.size() - sizeof(section) + offsetof(Elf64_Shdr, sh_info), (1U << 20) + 1);
  EXPECT_EQ(refusal(file), ErrorCode::kTooLarge);
}

TEST(Normalise, OverlapsAreCutAndNeighboursJoined) {
  const auto twice =
      normalise({{0x3000, 0x1000, 0x9000}, {0, 0x2000, 0}, {0x1000, 0x3000, 0x1000}}, 1 << 20);
  ASSERT_TRUE(twice);
  ASSERT_EQ(twice->size(), 1U);
  EXPECT_EQ(twice->front().bytes, 0x4000U);
  const auto apart = normalise({{0, 0x1000, 0}, {0x1000, 0x1000, 0x5000}}, 1 << 20);
  ASSERT_TRUE(apart);
  ASSERT_EQ(apart->size(), 2U);
  EXPECT_EQ((*apart)[1].file_offset, 0x5000U);
  EXPECT_FALSE(normalise({}, 1 << 20));
  EXPECT_FALSE(normalise({{0, 0, 0}}, 1 << 20));
}

TEST(Lime, RangesFollowOneAnother) {
  Bytes file;
  append_range(file, {.first = 0x1000, .last = 0x1fff}, page_of(1));
  append_range(file, {.first = 0x100000, .last = 0x100fff}, page_of(2));
  const auto layout = read_layout(file, ImageFormat::kAuto);
  ASSERT_TRUE(layout) << layout.error().message();
  EXPECT_EQ(layout->format, "lime");
  ASSERT_EQ(layout->segments.size(), 2U);
  EXPECT_EQ(layout->segments[0].gpa, 0x1000U);
  EXPECT_EQ(layout->segments[0].file_offset, 32U);
  EXPECT_EQ(layout->segments[1].file_offset, 32U + 4096U + 32U);
  EXPECT_TRUE(layout->vcpus.empty());
  for (std::size_t bytes = 1; bytes < file.size(); ++bytes) {
    const bool between = bytes == 32 + 4096;
    EXPECT_EQ(refusal({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(bytes)},
                      ImageFormat::kLime)
                  .has_value(),
              !between)
        << bytes;
  }
}

TEST(Lime, HeadersThatCannotBeAreRefused) {
  const auto refused = [](const LimeRange& range) {
    Bytes file;
    append_range(file, range, page_of(1));
    return refusal(file, ImageFormat::kLime);
  };
  EXPECT_EQ(refused({}), std::nullopt);
  EXPECT_EQ(refused({.magic = 0x4c694d46}), ErrorCode::kMalformed);
  EXPECT_EQ(refused({.version = 0}), ErrorCode::kUnsupported);
  EXPECT_EQ(refused({.version = 2}), ErrorCode::kUnsupported);
  EXPECT_EQ(refused({.first = 1, .last = 0}), ErrorCode::kMalformed);
  EXPECT_EQ(refused({.first = 8192, .last = 0}), ErrorCode::kMalformed);
  EXPECT_EQ(refused({.first = 0, .last = ~0ULL}), ErrorCode::kMalformed);
  EXPECT_EQ(refused({.first = 0, .last = 4096}), ErrorCode::kTruncated);
  EXPECT_EQ(refused({.first = 0, .last = 4094}), ErrorCode::kTruncated);
  EXPECT_EQ(refused({.first = 1ULL << 52, .last = (1ULL << 52) + 4095}), ErrorCode::kMalformed);
  EXPECT_EQ(refused({.first = ~0ULL - 4095, .last = ~0ULL}), ErrorCode::kMalformed);
}

TEST(Raw, HasWholePages) {
  EXPECT_FALSE(refusal(page_of(0)));
  EXPECT_EQ(refusal({}), ErrorCode::kTruncated);
  EXPECT_EQ(refusal(Bytes(4095)), ErrorCode::kTruncated);
  EXPECT_EQ(refusal(Bytes(4097)), ErrorCode::kTruncated);
}

TEST(Format, WhatIsNotAMemoryImageIsNamed) {
  for (const std::string_view magic :
       {"KDUMP   ", "DISKDUMP", "makedumpfile", "\x1f\x8b", "\x28\xb5\x2f\xfd",
        "\xfd"
        "7zXZ",
        "QEVM"}) {
    auto file = bytes_from(magic);
    file.resize(8192);
    EXPECT_EQ(refusal(file), ErrorCode::kUnsupported) << magic;
  }
}

TEST(Format, AGuestCannotChooseItWhenItIsSaid) {
  auto file = small_elf().build();
  file.resize((file.size() + 4095) & ~std::size_t{4095});
  const auto layout = read_layout(file, ImageFormat::kRaw);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->format, "raw");
  EXPECT_EQ(layout->segments[0].bytes, file.size());
}

TEST(Vmcoreinfo, WhatDoesNotParseIsNotThere) {
  const auto info = parse_vmcoreinfo(
      "KERNELOFFSET=xyz\nNUMBER(phys_base)=1f\nBUILD-ID=0011\nnonsense\n=\n\nKERNELOFFSET");
  EXPECT_FALSE(info.kernel_offset);
  EXPECT_FALSE(info.phys_base);
  EXPECT_EQ(info.build_id[1], 0);
  EXPECT_FALSE(parse_vmcoreinfo("KERNELOFFSET=10000000000000000").kernel_offset);
  EXPECT_EQ(parse_vmcoreinfo("KERNELOFFSET=0").kernel_offset, 0U);
}

}  // namespace
}  // namespace sevmon::proxy::test
