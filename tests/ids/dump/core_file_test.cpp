// SPDX-License-Identifier: Apache-2.0
#include "dump/core_file.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>

namespace sevmon::ids::test {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kDirect = 0xffff888000000000;

template <typename T>
T at(const Bytes& bytes, std::size_t offset) {
  T value{};
  EXPECT_LE(offset + sizeof(T), bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::vector<Elf64_Phdr> headers(const Bytes& core) {
  const auto header = at<Elf64_Ehdr>(core, 0);
  std::vector<Elf64_Phdr> found;
  for (unsigned i = 0; i < header.e_phnum; ++i)
    found.push_back(at<Elf64_Phdr>(core, header.e_phoff + i * sizeof(Elf64_Phdr)));
  return found;
}

struct Load {
  std::uint64_t gva, gpa, pages, offset_pages;  // the last from the pages' begin
  bool operator==(const Load&) const = default;
};

std::vector<Load> loads(const Bytes& core) {
  std::vector<Load> found;
  for (const auto& header : headers(core))
    if (header.p_type == PT_LOAD) {
      EXPECT_EQ(header.p_filesz, header.p_memsz);
      found.push_back({header.p_vaddr, header.p_paddr, header.p_filesz / kPage,
                       (header.p_offset - kCoreHeaderBytes) / kPage});
    }
  return found;
}

const std::vector<FrameRun> kPresent{{1, 4}, {16, 8}};

TEST(CoreFile, PhysicalOnly) {
  const auto core = encode_core_header(kPresent, {}, {}, {});
  ASSERT_TRUE(core);
  const auto header = at<Elf64_Ehdr>(*core, 0);
  EXPECT_EQ(std::memcmp(header.e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_EQ(header.e_ident[EI_CLASS], ELFCLASS64);
  EXPECT_EQ(header.e_type, ET_CORE);
  EXPECT_EQ(header.e_machine, EM_X86_64);
  EXPECT_EQ(headers(*core).at(0).p_type, PT_NOTE + 0u);
  EXPECT_EQ(loads(*core), (std::vector<Load>{{0, kPage, 4, 0}, {0, 16 * kPage, 8, 4}}));
}

TEST(CoreFile, WhatTheDirectMapHasHasAnAddressAndTheRestHasNone) {
  const std::vector<Mapping> direct{{kDirect, 2 * kPage, kPage},
                                    {kDirect + 0x100000, 18 * kPage, 100 * kPage}};
  const auto core = encode_core_header(kPresent, direct, {}, {});
  ASSERT_TRUE(core);
  EXPECT_EQ(loads(*core), (std::vector<Load>{{0, kPage, 1, 0},
                                             {kDirect, 2 * kPage, 1, 1},
                                             {0, 3 * kPage, 2, 2},
                                             {0, 16 * kPage, 2, 4},
                                             {kDirect + 0x100000, 18 * kPage, 6, 6}}));
}

TEST(CoreFile, TheKernelsImageIsThereTwiceAndItsHolesAreNot) {
  const std::vector<Mapping> text{{0xffffffff81000000, 3 * kPage, 15 * kPage}};
  const std::vector<Mapping> direct{{kDirect, 0, 1ULL << 46}};
  const auto core = encode_core_header(kPresent, direct, text, {});
  ASSERT_TRUE(core);
  EXPECT_EQ(loads(*core), (std::vector<Load>{{0xffffffff81000000, 3 * kPage, 2, 2},
                                             {0xffffffff81000000 + 13 * kPage, 16 * kPage, 2, 4},
                                             {kDirect + kPage, kPage, 4, 0},
                                             {kDirect + 16 * kPage, 16 * kPage, 8, 4}}));
}

TEST(CoreFile, MappingsThatOverlapEndAndNothingIsThereTwice) {
  // A target that says that a frame is at two places.
  const std::vector<Mapping> direct{{kDirect, kPage, 10 * kPage},
                                    {kDirect + 0x100000, 2 * kPage, kPage},
                                    {kDirect + 0x200000, 3 * kPage, 100 * kPage}};
  const auto core = encode_core_header(kPresent, direct, {}, {});
  ASSERT_TRUE(core);
  std::uint64_t next = 0;
  for (const auto& load : loads(*core)) {
    EXPECT_EQ(load.offset_pages, next);
    next += load.pages;
  }
  EXPECT_EQ(next, 12u);
}

TEST(CoreFile, NotesAreOnesThatReadersFind) {
  const std::string text = "OSRELEASE=6.1\n!";
  const auto bytes = std::as_bytes(std::span{text});
  const std::vector<CoreNote> notes{{"VMCOREINFO", 0, {bytes.begin(), bytes.end()}},
                                    {"SEVMON", 7, {}}};
  const auto core = encode_core_header(kPresent, {}, {}, notes);
  ASSERT_TRUE(core);
  const auto note = headers(*core).at(0);
  EXPECT_EQ(note.p_offset + note.p_filesz, core->size());
  auto offset = note.p_offset;
  const auto first = at<Elf64_Nhdr>(*core, offset);
  EXPECT_EQ(first.n_namesz, 11u);
  EXPECT_EQ(first.n_descsz, text.size());
  offset += sizeof(first);
  EXPECT_EQ(std::memcmp(core->data() + offset, "VMCOREINFO\0\0", 12), 0);
  EXPECT_EQ(std::memcmp(core->data() + offset + 12, text.data(), text.size()), 0);
  const auto second = at<Elf64_Nhdr>(*core, offset + 12 + 16);
  EXPECT_EQ(second.n_type, 7u);
  EXPECT_EQ(second.n_descsz, 0u);
}

TEST(CoreFile, RegistersAreWhereReadersLook) {
  sevmon_vcpu_state state{};
  state.vcpu = 2;
  for (unsigned i = 0; i < 16; ++i) state.gpr[i] = 0x100 + i;
  state.rip = 0x200;
  state.cr3 = 0x5000;
  state.cr4 = 0x20;
  state.kernel_root = 9;
  auto notes = vcpu_notes(state);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0].owner, "CORE");
  ASSERT_EQ(notes[0].content.size(), 336u);
  EXPECT_EQ(at<std::uint32_t>(notes[0].content, 32), 3u);
  EXPECT_EQ(at<std::uint64_t>(notes[0].content, 112), 0x10fu);           // r15
  EXPECT_EQ(at<std::uint64_t>(notes[0].content, 112 + 16 * 8), 0x200u);  // rip
  EXPECT_EQ(at<std::uint64_t>(notes[0].content, 112 + 19 * 8), 0x104u);  // rsp
  EXPECT_EQ(notes[1].owner, "QEMU");
  ASSERT_EQ(notes[1].content.size(), 440u);
  EXPECT_EQ(at<std::uint64_t>(notes[1].content, 8), 0x100u);                 // rax
  EXPECT_EQ(at<std::uint64_t>(notes[1].content, 440 - 8 - 2 * 8), 0x5000u);  // cr3
  state.flags = SEVMON_VCPU_PV;
  notes = vcpu_notes(state);
  EXPECT_EQ(at<std::uint64_t>(notes[1].content, 440 - 8 - 2 * 8), 0x9000u);
}

TEST(CoreFile, TooManyPiecesAreRefused) {
  std::vector<FrameRun> runs;
  for (std::uint64_t i = 0; i < kMaxCoreSegments - 1; ++i) runs.push_back({2 * i, 1});
  const auto most = encode_core_header(runs, {}, {}, {});
  ASSERT_TRUE(most);
  EXPECT_LE(most->size(), kCoreHeaderBytes);
  EXPECT_EQ(loads(*most).size(), kMaxCoreSegments - 1);
  runs.push_back({2 * kMaxCoreSegments, 1});
  const auto more = encode_core_header(runs, {}, {}, {});
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, common::ErrorCode::kTooLarge);
}

TEST(CoreFile, NotesThatDoNotFitAreRefused) {
  const std::vector<CoreNote> notes{{"X", 0, Bytes(kCoreHeaderBytes)}};
  EXPECT_FALSE(encode_core_header(kPresent, {}, {}, notes));
}

TEST(CoreFile, LimeHeader) {
  const auto header = encode_lime_header({0x10, 2});
  const Bytes bytes{header.begin(), header.end()};
  EXPECT_EQ(std::memcmp(bytes.data(), "EMiL\1\0\0\0", 8), 0);
  EXPECT_EQ(at<std::uint64_t>(bytes, 8), 0x10000u);
  EXPECT_EQ(at<std::uint64_t>(bytes, 16), 0x11fffu);
  EXPECT_EQ(at<std::uint64_t>(bytes, 24), 0u);
}

}  // namespace
}  // namespace sevmon::ids::test
