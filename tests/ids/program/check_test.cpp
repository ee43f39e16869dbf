// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "program_support.hpp"
#include "support/bpf_program.hpp"
#include "support/checked_program.hpp"

namespace sevmon::tests {
namespace {

using Level = ids::ProgramFinding::Level;

std::string text(const ids::ProgramCheck& check) {
  std::ostringstream out;
  for (const auto& finding : check.findings)
    out << name(finding.level) << ' ' << finding.line << " [" << finding.text << "] "
        << finding.insn << ": " << finding.instruction << ": " << finding.reason << '\n';
  return out.str();
}

ids::ProgramCheck check_file(const std::string& path, const std::string& kernel) {
  FakeTarget target{kernel};
  target.symbols = {{"init_task", 0xffffffff82a10000},   {"init_pid_ns", 0xffffffff82a18000},
                    {"init_uts_ns", 0xffffffff82a20000}, {"modules", 0xffffffff82a28000},
                    {"module_kset", 0xffffffff82a29000}, {"mod_tree", 0xffffffff82a2a000},
                    {"first", 0xffffffff82a30000}};
  const auto object = ids::ProgramObject::load(path);
  EXPECT_TRUE(object) << object.error().message();
  if (!object) return {};
  const auto image = object->link(target.target());
  EXPECT_TRUE(image) << image.error().message();
  return image ? ids::check_program(*image) : ids::ProgramCheck{};
}

ids::ProgramCheck check(const std::string& name) {
  return check_file(std::string{SEVMON_TEST_OBJECTS} + '/' + name + ".bpf.o", "new");
}

TEST(ProgramCheck, AcceptsWhatClangMakes) {
  for (const char* name : {"guarded", "kinds", "layout", "symbols", "unguarded", "good"}) {
    const auto checked = check(name);
    EXPECT_TRUE(checked.passed()) << name << '\n' << text(checked);
    EXPECT_TRUE(checked.complete) << name;
    for (const auto& finding : checked.findings)
      EXPECT_EQ(finding.level, Level::kNote) << name << '\n' << text(checked);
  }
  for (const char* kernel : {"new", "old"}) {
    for (const char* name : {"modules", "processes"}) {
      const auto checked = check_file(std::string{SEVMON_PROGRAMS} + '/' + name + ".bpf.o", kernel);
      EXPECT_TRUE(checked.passed()) << text(checked);
      for (const auto& finding : checked.findings)
        EXPECT_EQ(finding.level, Level::kNote) << kernel << '\n' << text(checked);
    }
  }
}

struct Expected {
  Level level;
  const char* line;
  const char* reason;
};

TEST(ProgramCheck, FindsEachMistakeAtItsLine) {
  const auto checked = check("bad");
  EXPECT_FALSE(checked.passed());
  EXPECT_TRUE(checked.complete);
  const Expected all[] = {
      {Level::kError, "any = table[index];", "of the global variables, whose end is at 68"},
      {Level::kError, "any = primes[index];", "at 0 to 56 of the constants, whose end is at 32"},
      {Level::kError, "*find(any) = 1;", "may be a null pointer"},
      {Level::kError, "*(const volatile __u32 *)first", "sevmon_read()"},
      {Level::kError, "any = input[1];", "up to its byte 16, of which none is known"},
      {Level::kError, "any = input[2];", "up to its byte 24, of which 16 are known"},
      {Level::kError, "&primes[0] = 9;", "writes to a constant"},
      {Level::kError, "any = local[index];", "reads 8 bytes at"},
      {Level::kError, "any = unwritten[1];", "which nothing has written"},
      {Level::kError, "sevmon_read(buffer, 8, &other);", "argument 3: an address of the program's"},
      {Level::kError, "sevmon_read((void *)first", "argument 1: 0xffffffff82a30000 is no place"},
      {Level::kError, "sevmon_read(buffer, bytes", "writes 24 bytes at"},
      {Level::kWarning, "sevmon_read(buffer, bytes", "0 to 24 bytes; 1 to 4096 are taken"},
      {Level::kWarning, "sevmon_append((const void *)&padded", "were never written"},
      {Level::kWarning, "while (!bpf_core_read", "a loop without an obvious bound"},
      {Level::kWarning, "return any;", "never() is never called"},
  };
  for (const auto& expected : all) {
    bool found = false;
    for (const auto& finding : checked.findings)
      found = found || (finding.level == expected.level &&
                        finding.text.find(expected.line) != std::string::npos &&
                        finding.reason.find(expected.reason) != std::string::npos);
    EXPECT_TRUE(found) << expected.line << ": " << expected.reason << '\n' << text(checked);
  }
  std::set<std::uint32_t> lines;
  for (const auto& finding : checked.findings)
    if (finding.level == Level::kError) lines.insert(finding.line);
  EXPECT_EQ(lines.size(), 12u) << text(checked);
}

TEST(ProgramCheck, IsTheAgentsVerifierFirst) {
  FakeTarget kernel{"new"};
  auto image = *load_object("layout")->link(kernel.target());
  const auto last = sizeof(sevmon_program_head) + (image.head().insns - 1) * 8;
  image.bytes[last] = 0xff;
  const auto checked = ids::check_program(image);
  ASSERT_EQ(checked.findings.size(), 1u);
  EXPECT_FALSE(checked.passed());
  EXPECT_NE(checked.findings[0].reason.find("the agent refuses it: no such instruction"),
            std::string::npos);
  EXPECT_EQ(checked.findings[0].insn, image.head().insns - 1);
}

/// The check has an error at `insn`, and for a reason: a run for some input does fault.
void expect_error_at(BpfProgram& program, std::uint32_t insn) {
  const auto checked = ids::check_program(image_of(program.insns()));
  bool found = false;
  for (const auto& finding : checked.findings)
    found = found || (finding.level == Level::kError && finding.insn == insn);
  EXPECT_TRUE(found) << text(checked);
  ids::ProgramCheck nothing;  // that has nothing against it
  std::string fault;
  for (const std::uint32_t input_bytes : {0U, 9U, 40U})
    fault += contradiction(program.insns(), nothing, input_bytes, 1000);
  EXPECT_FALSE(fault.empty());
}

TEST(ProgramCheck, ForgetsWhatAWriteToSomewhereMayHaveChanged) {
  BpfProgram program;
  program.mov_reg(5, 10)
      .add(BPF_ALU64 | BPF_ADD, 5, 0, 0, -16)
      .add(BPF_ALU64 | BPF_AND, 2, 0, 0, 8)
      .add(BPF_ALU64 | BPF_ADD | BPF_X, 5, 2)  // -16 or -8
      .add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -16, 0)
      .add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 0)
      .add(BPF_ST | BPF_MEM | BPF_DW, 5, 0, 0, 5000)
      .add(BPF_LDX | BPF_MEM | BPF_DW, 1, 10, -16)  // 0 or 5000
      .load_imm64(3, std::uint64_t{SEVMON_REGION_MAP} << SEVMON_REGION_SHIFT)
      .add(BPF_ALU64 | BPF_ADD | BPF_X, 3, 1)
      .add(BPF_LDX | BPF_MEM | BPF_B, 0, 3)
      .exit();
  expect_error_at(program, 11);
}

TEST(ProgramCheck, TellsTwoResultsOfOneCallApart) {
  BpfProgram program;
  program.call_local(10)
      .mov_reg(6, 0)
      .mov(1, 0)
      .mov(2, 0)
      .call_local(6)
      .add(BPF_JMP | BPF_JGT, 0, 0, 4, 7)
      .load_imm64(3, std::uint64_t{SEVMON_REGION_MAP} << SEVMON_REGION_SHIFT)
      .add(BPF_ALU64 | BPF_ADD | BPF_X, 3, 6)
      .add(BPF_LDX | BPF_MEM | BPF_B, 0, 3)
      .exit()
      // Gives 64 times its second argument, by way of a load.
      .add(BPF_ALU64 | BPF_MUL, 2, 0, 0, 64)
      .add(BPF_STX | BPF_MEM | BPF_DW, 10, 2, -8)
      .mov_reg(3, 10)
      .add(BPF_LDX | BPF_MEM | BPF_H, 0, 3, -8)
      .exit();
  expect_error_at(program, 9);
}

TEST(ProgramCheck, SaysWhenItGaveUp) {
  // Seven functions that each call the next four times, with loops: too many ways to look at all.
  ids::ProgramImage image;
  std::vector<sevmon_bpf_insn> insns;
  const auto add = [&](unsigned code, unsigned dst, unsigned src, int offset, std::int32_t imm) {
    insns.push_back({static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(dst | src << 4),
                     static_cast<std::int16_t>(offset), imm});
  };
  for (unsigned depth = 0; depth < 8; ++depth) {
    for (unsigned i = 0; i < 16; ++i) {
      add(BPF_ALU64 | BPF_MOV, 0, 0, 0, 0);
      add(BPF_JMP | BPF_CALL, 0, 0, 0, SEVMON_HELPER_TIME);
      add(BPF_JMP | BPF_JEQ, 0, 0, 1, static_cast<std::int32_t>(i));
      // To the next function: 16 rounds of four instructions and two at the end.
      if (depth < 7)
        add(BPF_JMP | BPF_CALL, 0, BPF_CALL_LOCAL, 0, static_cast<int>((16 - i) * 4 - 2));
      else
        add(BPF_ALU64 | BPF_MOV, 0, 0, 0, 1);
    }
    add(BPF_ALU64 | BPF_MOV, 0, 0, 0, 0);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  const sevmon_program_head head{.insns = static_cast<std::uint32_t>(insns.size()),
                                 .data_bytes = 0,
                                 .map_bytes = 0,
                                 .init_bytes = 0,
                                 .zero = {}};
  image.bytes.resize(sizeof head + insns.size() * 8);
  std::memcpy(image.bytes.data(), &head, sizeof head);
  std::memcpy(image.bytes.data() + sizeof head, insns.data(), insns.size() * 8);
  const auto checked = ids::check_program(image);
  EXPECT_TRUE(checked.passed()) << text(checked);
  EXPECT_FALSE(checked.complete);
  EXPECT_NE(text(checked).find("too many ways"), std::string::npos) << text(checked);
}

}  // namespace
}  // namespace sevmon::tests
