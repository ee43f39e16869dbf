// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace sevmon::tests
