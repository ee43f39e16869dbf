// SPDX-License-Identifier: Apache-2.0
//
// A raw memory image of a made-up kernel with as many processes as one likes, laid out as a profile
// says; nothing else is in it. For scripts/bench --ps.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <sevmon/profile.hpp>

#include "ids/linux/fake_kernel.hpp"

namespace sevmon::bench {

/// Where the master page table of each such image is.
inline constexpr std::uint64_t kImageRoot = 1;

/// The members that process lists need, where `profile` has them.
inline ids::test::FakeInfo layout_of(const ids::Profile& profile) {
  const auto take = [](auto result) {
    if (!result) throw std::runtime_error{result.error().message()};
    return *std::move(result);
  };
  auto info = ids::test::make_info({});
  for (auto& [names, member] : info.members_)
    member = take(profile.member(names.first, names.second));
  for (auto& [type, bytes] : info.sizes_) bytes = take(profile.size_of(type));
  info.enumerators_["PIDTYPE_TGID"] = take(profile.enumerator("PIDTYPE_TGID"));
  for (auto& [name, address] : info.symbols_) address = take(profile.symbol(name)).value;
  return info;
}

class ProcessImage {
 public:
  ProcessImage(const ids::Profile& profile, std::int32_t count)
      : processes_{{}, layout_of(profile), 0, task_bytes(profile)}, frames_(kImageRoot + 1) {
    for (std::int32_t pid = 1; pid <= count; ++pid)
      processes_.add({.pid = pid, .parent = pid == 1 ? 0 : 1, .comm = "p" + std::to_string(pid)});
    processes_.bytes.for_each_page([this](std::uint64_t page, const auto& bytes) {
      const auto frame = add_frame();
      std::memcpy(frames_[frame].data(), bytes.data(), sizeof(Frame));
      map(page << 12, frame);
    });
  }

  void save(const std::string& path) const {
    std::FILE* const file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) throw std::runtime_error{"cannot write " + path};
    const bool done =
        std::fwrite(frames_.data(), sizeof(Frame), frames_.size(), file) == frames_.size();
    if (std::fclose(file) != 0 || !done) throw std::runtime_error{"cannot write " + path};
  }

 private:
  using Frame = std::array<std::uint64_t, 512>;

  static std::uint32_t task_bytes(const ids::Profile& profile) {
    const auto bytes = profile.size_of("task_struct");
    if (!bytes) throw std::runtime_error{bytes.error().message()};
    return *bytes;
  }
  std::uint64_t add_frame() {
    frames_.emplace_back();
    return frames_.size() - 1;
  }
  void map(std::uint64_t gva, std::uint64_t frame) {
    std::uint64_t at = kImageRoot;
    for (unsigned level = 4; level > 1; --level) {
      const auto index = gva >> (12 + 9 * (level - 1)) & 511;
      if (frames_[at][index] == 0) {
        const auto made = add_frame();
        frames_[at][index] = made << 12 | 3;
      }
      at = frames_[at][index] >> 12;
    }
    frames_[at][gva >> 12 & 511] = frame << 12 | 3;
  }

  ids::test::FakeProcesses processes_;
  std::vector<Frame> frames_;
};

}  // namespace sevmon::bench
