// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sevmon/program.hpp>

#include "bpf-run.h"
#include "profile/file_io.hpp"
#include "program/elf_object.hpp"

namespace sevmon::tests {

inline std::vector<std::byte> object_bytes(const std::string& name) {
  auto file = ids::read_file(std::string{SEVMON_TEST_OBJECTS} + '/' + name, 1U << 20);
  EXPECT_TRUE(file) << file.error().message();
  return file ? *file : std::vector<std::byte>{};
}

inline common::Result<ids::ProgramObject> load_object(const std::string& name) {
  return ids::ProgramObject::load(std::string{SEVMON_TEST_OBJECTS} + '/' + name + ".bpf.o");
}

/// A kernel: the types that clang wrote for kernel_NAME.c, and symbols.
struct FakeTarget {
  std::vector<std::byte> btf;
  std::map<std::string, std::uint64_t, std::less<>> symbols;
  std::string release;

  explicit FakeTarget(const std::string& name) : release{"kernel-" + name} {
    const auto file = object_bytes("kernel_" + name + ".o");
    const auto elf = ids::ElfObject::parse(file);
    EXPECT_TRUE(elf) << elf.error().message();
    const auto* section = elf ? elf->find(".BTF") : nullptr;
    EXPECT_NE(section, nullptr);
    if (section != nullptr) btf.assign(section->data.begin(), section->data.end());
  }

  ids::ProgramTarget target() const {
    return {release, btf, [this](std::string_view name) -> common::Result<common::Gva> {
              const auto found = symbols.find(name);
              if (found == symbols.end())
                return common::Error{common::ErrorCode::kNotFound,
                                     "no symbol " + std::string{name} + " in " + release};
              return common::Gva{found->second};
            }};
  }
};

/// A run of an image by the agent's own interpreter, over memory made up in code.
class ImageRun {
 public:
  explicit ImageRun(const ids::ProgramImage& image, std::vector<std::uint8_t> input = {})
      : input_{std::move(input)} {
    const auto head = image.head();
    const auto code = image.instructions();
    insns_.resize(head.insns);
    std::memcpy(insns_.data(), code.data(), code.size());
    const auto* after = image.bytes.data() + sizeof head + code.size();
    data_.assign(after, after + head.data_bytes);
    map_.assign(after + head.data_bytes, after + head.data_bytes + head.init_bytes);
    map_.resize(head.map_bytes);
  }

  void write(std::uint64_t address, const void* from, std::size_t bytes) {
    const auto* begin = static_cast<const std::uint8_t*>(from);
    for (std::size_t i = 0; i < bytes; ++i) memory[address + i] = begin[i];
  }
  template <typename T>
  void put(std::uint64_t address, const T& value) {
    write(address, &value, sizeof value);
  }

  /// To its end. @return how it ended; r0 is in `r0`.
  std::uint32_t run(std::uint64_t budget = 10'000'000) {
    auto state = std::make_unique<sevmon_bpf_run>();
    sevmon_bpf_start(state.get(), insns_.data(), static_cast<std::uint32_t>(insns_.size()),
                     input_.data(), static_cast<std::uint32_t>(input_.size()), budget);
    state->region[SEVMON_REGION_MAP] = {map_.data(), static_cast<std::uint32_t>(map_.size()), true};
    state->region[SEVMON_REGION_DATA] = {data_.data(), static_cast<std::uint32_t>(data_.size()),
                                         false};
    state->context = this;
    state->helper = [](sevmon_bpf_run* run, std::int32_t number) {
      run->reg[0] =
          static_cast<std::uint64_t>(static_cast<ImageRun*>(run->context)->help(*run, number));
      return 1U;
    };
    while (sevmon_bpf_continue(state.get(), 1000) == SEVMON_RUN_RUNNING) {
    }
    r0 = state->reg[0];
    cost = budget - state->budget;
    return state->state;
  }

  std::map<std::uint64_t, std::uint8_t> memory;  // the target's
  /// Where what `memory` has not is looked up.
  std::function<std::optional<std::uint8_t>(std::uint64_t)> look;
  std::vector<std::uint8_t> result;
  std::size_t capacity = 1U << 20;
  std::uint64_t r0 = 0;
  std::uint64_t cost = 0;

  template <typename T>
  T result_at(std::size_t offset) const {
    T value{};
    EXPECT_LE(offset + sizeof value, result.size());
    if (offset + sizeof value <= result.size())
      std::memcpy(&value, result.data() + offset, sizeof value);
    return value;
  }

 private:
  std::optional<std::uint8_t> byte_at(std::uint64_t address) const {
    const auto at = memory.find(address);
    if (at != memory.end()) return at->second;
    return look ? look(address) : std::nullopt;
  }

  std::int64_t help(sevmon_bpf_run& run, std::int32_t number) {
    const auto bytes = run.reg[2];
    const bool is_append = number == SEVMON_HELPER_APPEND;
    std::uint8_t* place = sevmon_bpf_memory(&run, run.reg[1], bytes, !is_append);
    if (place == nullptr || bytes > SEVMON_HELPER_MAX_BYTES) {
      run.state = SEVMON_RUN_FAULT;
      return 0;
    }
    if (is_append) {
      if (result.size() + bytes > capacity) return -SEVMON_STATUS_NO_SPACE;
      result.insert(result.end(), place, place + bytes);
      return 0;
    }
    EXPECT_EQ(number, SEVMON_HELPER_READ);
    std::vector<std::uint8_t> found;
    for (std::uint64_t i = 0; i < bytes; ++i) {
      const auto byte = byte_at(run.reg[3] + i);
      if (!byte) break;
      found.push_back(*byte);
    }
    const bool whole = found.size() == bytes;
    if (!whole) found.assign(bytes, 0);
    std::ranges::copy(found, place);
    return whole ? 0 : -SEVMON_STATUS_NOT_MAPPED;
  }

  std::vector<sevmon_bpf_insn> insns_;
  std::vector<std::uint8_t> data_, map_, input_;
};

}  // namespace sevmon::tests
