// SPDX-License-Identifier: Apache-2.0
// Programs linked for kernels as they are shipped: SEVMON_TEST_VMLINUZ=PATH[:PATH…].
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "program_support.hpp"

namespace sevmon::tests {
namespace {

/// Is `offset` an immediate in a line that says `text`?
bool line_uses(const ids::ProgramImage& image, std::string_view text, std::uint32_t offset) {
  const auto code = image.instructions();
  for (std::uint32_t at = 0; at < image.head().insns; ++at) {
    sevmon_bpf_insn insn;
    std::memcpy(&insn, code.data() + at * sizeof insn, sizeof insn);
    const auto* line = image.line_of(at);
    if (line != nullptr && line->text.find(text) != std::string::npos &&
        insn.code == (BPF_ALU64 | BPF_MOV) && insn.imm == static_cast<std::int32_t>(offset))
      return true;
  }
  return false;
}

TEST(RealKernels, ProgramsAreLinkedAndPass) {
  const char* list = std::getenv("SEVMON_TEST_VMLINUZ");
  if (list == nullptr || *list == '\0') GTEST_SKIP() << "SEVMON_TEST_VMLINUZ names no kernels";
  std::istringstream paths{list};
  for (std::string path; std::getline(paths, path, ':');) {
    SCOPED_TRACE(path);
    const auto profile = ids::Profile::build(path);
    ASSERT_TRUE(profile) << profile.error().message();
    for (const char* name : {"modules", "processes", "template"}) {
      const auto object =
          ids::ProgramObject::load(std::string{SEVMON_PROGRAMS} + '/' + name + ".bpf.o");
      ASSERT_TRUE(object) << object.error().message();
      const auto image = object->link(ids::program_target(*profile));
      ASSERT_TRUE(image) << image.error().message();
      const auto check = ids::check_program(*image);
      EXPECT_TRUE(check.passed());
      EXPECT_TRUE(check.complete);
      for (const auto& finding : check.findings)
        EXPECT_EQ(finding.level, ids::ProgramFinding::Level::kNote) << finding.reason;
      if (std::string_view{name} != "processes") continue;
      EXPECT_FALSE(image->replaced.empty());
      for (const char* member : {"tgid", "flags", "comm"})
        EXPECT_TRUE(line_uses(*image, std::string{"&task->"} + member,
                              profile->member("task_struct", member)->offset_bytes))
            << member;
      // Another address of init_task is another program.
      const auto moved = object->link(ids::program_target(
          *profile, [&](std::string_view symbol) -> common::Result<common::Gva> {
            const auto address = profile->symbol(symbol);
            return address ? common::Result<common::Gva>{*address + 0x200000} : address;
          }));
      ASSERT_TRUE(moved);
      EXPECT_NE(moved->name, image->name);
    }
  }
}

}  // namespace
}  // namespace sevmon::tests
