// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <openssl/evp.h>

#include "bpf.h"
#include "program_support.hpp"

namespace sevmon::tests {
namespace {

using common::ErrorCode;
using ids::ProgramImage;
using ids::ProgramObject;

ProgramImage link(const std::string& name, const FakeTarget& kernel) {
  const auto object = load_object(name);
  EXPECT_TRUE(object) << object.error().message();
  if (!object) return {};
  auto image = object->link(kernel.target());
  EXPECT_TRUE(image) << image.error().message();
  return image ? *image : ProgramImage{};
}

std::string refusal(const std::string& name, ErrorCode code, const std::string& kernel = "new") {
  const FakeTarget fake{kernel};
  const auto object = load_object(name);
  const auto image =
      object ? object->link(fake.target()) : common::Result<ProgramImage>{object.error()};
  EXPECT_FALSE(image) << name;
  if (image) return {};
  EXPECT_EQ(image.error().code, code) << image.error().message();
  return image.error().detail;
}

void expect_says(const std::string& text, std::initializer_list<std::string> words) {
  for (const auto& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << text << "\n  lacks: " << word;
}

TEST(ProgramObject, RelocatesEachKindToTheNewKernel) {
  ImageRun run{link("kinds", FakeTarget{"new"})};
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  const auto out = run.result_at<std::array<std::uint64_t, 32>>(0);
  EXPECT_EQ(out[0], 24u);  // x, behind `moved`
  EXPECT_EQ(out[1], 8u);   // y is a long there
  EXPECT_EQ(out[2], 1u);
  EXPECT_EQ(out[3], 1u);  // low
  EXPECT_EQ(out[4], 0u);  // flag
  EXPECT_EQ(out[5], 61u);
  EXPECT_EQ(out[6], 61u);
  EXPECT_EQ(out[7], 0u);    // nowhere
  EXPECT_EQ(out[8], 123u);  // sizeof(struct big)
  EXPECT_EQ(out[9], 1u);
  EXPECT_EQ(out[10], 0u);
  EXPECT_EQ(out[11], 1u);
  EXPECT_EQ(out[12], 1u);
  EXPECT_EQ(out[14], 1u);  // GREEN
  EXPECT_EQ(out[15], 1u);
  EXPECT_EQ(out[16], 1u);   // RED is 1 there
  EXPECT_EQ(out[17], 40u);  // flag
  EXPECT_EQ(out[18], 56u);  // low: bits 3 to 7
  EXPECT_EQ(out[19], 59u);
}

TEST(ProgramObject, LaysOutRegionsAndCalls) {
  const auto image = link("layout", FakeTarget{"new"});
  const auto head = image.head();
  EXPECT_EQ(image.bytes.size(), sizeof head + head.insns * 8u + head.data_bytes + head.init_bytes);
  EXPECT_GT(head.data_bytes, 0u);
  EXPECT_GE(head.map_bytes, head.init_bytes + 108);
  ImageRun run{image, {2}};
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  const auto out = run.result_at<std::array<std::uint64_t, 5>>(0);
  EXPECT_EQ(out[0], 1u);
  EXPECT_EQ(out[1], 5u);
  EXPECT_EQ(out[2], 2 * 3 + 3 * 3 + 2 * 0x1122334455667788u);
  EXPECT_EQ(out[3], 42u);
  EXPECT_EQ(out[4], 9u);
  // The map stays between runs.
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.result_at<std::uint64_t>(40), 2u);
}

TEST(ProgramObject, NamesAnImageByItsDigest) {
  const auto image = link("layout", FakeTarget{"new"});
  std::array<std::uint8_t, 32> digest;
  EVP_Digest(image.bytes.data(), image.bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  EXPECT_EQ(image.sha256, digest);
  std::uint64_t name;
  std::memcpy(&name, digest.data(), sizeof name);
  EXPECT_EQ(image.name, name);
  EXPECT_EQ(link("layout", FakeTarget{"old"}).name, name);  // asks for no type
  EXPECT_NE(link("kinds", FakeTarget{"new"}).name, name);
}

TEST(ProgramObject, PutsInKernelSymbols) {
  FakeTarget kernel{"new"};
  kernel.symbols = {{"first", 0xffffffff82001234}};
  ImageRun run{link("symbols", kernel)};
  ASSERT_EQ(run.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(run.result_at<std::uint64_t>(0), 0xffffffff82001234);
  EXPECT_EQ(run.result_at<std::uint64_t>(8), 0xffffffff82001234 + 24);
  EXPECT_EQ(run.result_at<std::uint64_t>(16), 0u);
  kernel.symbols["maybe"] = 0xffffffff81000000;
  ImageRun both{link("symbols", kernel)};
  ASSERT_EQ(both.run(), std::uint32_t{SEVMON_RUN_DONE});
  EXPECT_EQ(both.result_at<std::uint64_t>(16), 0xffffffff81000000);
}

TEST(ProgramObject, SaysWhichSymbolIsMissing) {
  expect_says(refusal("symbols", ErrorCode::kNotFound), {"\"first\"", "symbols.bpf.c:"});
}

TEST(ProgramObject, KnowsTheSource) {
  const auto image = link("layout", FakeTarget{"new"});
  const auto* line = image.line_of(0);
  ASSERT_NE(line, nullptr);
  EXPECT_TRUE(line->file.ends_with("tests/ids/program/bpf/layout.bpf.c")) << line->file;
  EXPECT_EQ(line->function, "layout");
  const auto* last = image.line_of(image.head().insns - 1);
  ASSERT_NE(last, nullptr);
  EXPECT_TRUE(last->function == "inner" || last->function == "outer") << last->function;
}

TEST(ProgramObject, NamesMemberLineAndKernelThatDoNotGoTogether) {
  expect_says(refusal("unguarded", ErrorCode::kNotFound, "old"),
              {"point.y", "kernel-old", "unguarded.bpf.c:14", "return point->y;"});
}

TEST(ProgramObject, RefusesWhatHasNoPlace) {
  expect_says(refusal("refused_two_entries", ErrorCode::kUnsupported), {"one()", "two()"});
  expect_says(refusal("refused_no_entry", ErrorCode::kMalformed), {"SEC(\"sevmon\")"});
  expect_says(refusal("refused_other_section", ErrorCode::kUnsupported), {"kprobe/x"});
  expect_says(refusal("refused_undefined_variable", ErrorCode::kUnsupported),
              {"\"elsewhere\"", "refused_undefined_variable.bpf.c:8"});
  expect_says(refusal("refused_undefined_function", ErrorCode::kUnsupported),
              {"\"elsewhere\"", "refused_undefined_function.bpf.c:8"});
  expect_says(refusal("refused_kernel_function", ErrorCode::kUnsupported), {"\"schedule\""});
  expect_says(refusal("refused_function_address", ErrorCode::kUnsupported),
              {"which is no variable"});
  expect_says(refusal("refused_pointer_in_data", ErrorCode::kUnsupported), {".data", "pointer"});
  expect_says(refusal("refused_maps", ErrorCode::kUnsupported), {".maps"});
  expect_says(refusal("refused_own_section", ErrorCode::kUnsupported), {"section mine"});
  expect_says(refusal("refused_map_size", ErrorCode::kTooLarge), {".bss", "65537"});
  expect_says(refusal("refused_data_size", ErrorCode::kTooLarge), {".rodata", "16385"});
}

TEST(ProgramObject, IsRefusedWholeAtEachLength) {
  const auto file = object_bytes("kinds.bpf.o");
  ASSERT_TRUE(ProgramObject::parse(file));
  for (std::size_t length = 0; length < file.size(); ++length)
    ASSERT_FALSE(ProgramObject::parse(std::span{file}.first(length))) << length;
}

TEST(ProgramObject, ChangedBytesDoNoHarm) {
  const FakeTarget kernel{"new"};
  const auto file = object_bytes("kinds.bpf.o");
  for (std::size_t at = 0; at < file.size(); ++at)
    for (const unsigned change : {0x01U, 0x80U, 0xffU}) {
      auto changed = file;
      changed[at] ^= std::byte(change);
      if (const auto object = ProgramObject::parse(changed))
        static_cast<void>(object->link(kernel.target()));
    }
}

TEST(ProgramObject, OtherFilesAreNoPrograms) {
  EXPECT_EQ(ProgramObject::parse({}).error().code, ErrorCode::kTruncated);
  const std::vector<std::byte> zeros(4096);
  EXPECT_EQ(ProgramObject::parse(zeros).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(ProgramObject::load("/proc/self/exe").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(ProgramObject::load("/nowhere").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace sevmon::tests
