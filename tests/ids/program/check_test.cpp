// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "program_support.hpp"

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
  target.symbols = {{"init_task", 0xffffffff82a10000},
                    {"init_uts_ns", 0xffffffff82a20000},
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
    const auto checked = check_file(std::string{SEVMON_PROGRAMS} + "/processes.bpf.o", kernel);
    EXPECT_TRUE(checked.passed()) << text(checked);
    for (const auto& finding : checked.findings)
      EXPECT_EQ(finding.level, Level::kNote) << kernel << '\n' << text(checked);
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
