// SPDX-License-Identifier: Apache-2.0
// A kernel that kernel_new.c or kernel_old.c describes, whose lists the library's programs make in
// the agent's own interpreter.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/listing.hpp>

#include "ids/linux/fake_kernel.hpp"
#include "profile/btf.hpp"
#include "program_support.hpp"

namespace sevmon::tests {

/// What an answer of the largest size class has for a program's result.
constexpr std::size_t kAnswerBytes =
    SEVMON_PAGE_BYTES * SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) - sizeof(sevmon_run_report);

/// `info` with its members where the compiler put them.
inline ids::test::FakeInfo with_types_of(const FakeTarget& target, ids::test::FakeInfo info) {
  const auto btf = ids::Btf::parse(target.btf);
  EXPECT_TRUE(btf) << btf.error().message();
  for (auto& [names, member] : info.members_) {
    const auto found = btf->member(names.first, names.second);
    EXPECT_TRUE(found) << found.error().message();
    if (found) member = *found;
  }
  for (auto& [type, bytes] : info.sizes_) bytes = *btf->size_of(type);
  return info;
}

/// `Program` for `target`, linked once for each kernel: that takes longer than most tests.
template <typename Program>
const ids::ProgramImage& image_of(const std::string& kernel, const FakeTarget& target) {
  static std::map<std::string, ids::ProgramImage> images;
  if (!images.contains(kernel)) {
    const auto program = Program::link(target.target());
    EXPECT_TRUE(program) << program.error().message();
    if (program) images[kernel] = program->image();
  }
  return images[kernel];
}

/// One run over `memory`, with `capacity` bytes for its result.
inline ids::ProgramRun run_over(const ids::test::FakeBytes& memory, const ids::ProgramImage& image,
                                std::span<const std::byte> input, std::uint64_t budget,
                                std::size_t capacity) {
  std::vector<std::uint8_t> bytes(input.size());
  std::memcpy(bytes.data(), input.data(), input.size());
  ImageRun run{image, std::move(bytes)};
  run.capacity = capacity;
  run.look = [&](std::uint64_t address) -> std::optional<std::uint8_t> {
    const auto* byte = memory.find(address);
    if (byte == nullptr) return std::nullopt;
    return std::to_integer<std::uint8_t>(*byte);
  };
  ids::ProgramRun done;
  done.report.state = run.run(budget);
  done.report.cost = run.cost;
  const auto result = std::as_bytes(std::span{run.result});
  done.result.assign(result.begin(), result.end());
  return done;
}

}  // namespace sevmon::tests
