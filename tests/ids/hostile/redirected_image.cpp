// SPDX-License-Identifier: Apache-2.0
// An intruder's page tables, put into the image of a real kernel: sevmon check translation has to
// find each, in the right table, at the right address.
//
//   redirected-image IMAGE PROFILE    ends with "Ok: N" and "Fail: N"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "checks/page_tables.hpp"
#include "image_session.hpp"

#include <sevmon/kernel.hpp>
#include <sevmon/translation.hpp>

namespace {

using namespace sevmon;
using ids::TranslationFinding;
using Kind = TranslationFinding::Kind;

class Machine {
 public:
  Machine(test::AlteredImage& image, const ids::KernelInfo& info) : image_{image}, info_{&info} {}

  /// What the command would report of the image as it is now.
  common::Result<ids::TranslationReport> check() {
    auto channel = test::open_session(image_);
    if (!channel) return channel.error();
    auto kernel = ids::Kernel::attach(**channel, std::span{&info_, 1});
    if (!kernel) return kernel.error();
    return ids::check_translation(**channel, {}, *kernel);
  }

  /// Learn where things are from the image as it was taken.
  common::Result<ids::TranslationReport> learn() {
    auto channel = test::open_session(image_);
    if (!channel) return channel.error();
    auto kernel = ids::Kernel::attach(**channel, std::span{&info_, 1});
    if (!kernel) return kernel.error();
    levels_ = kernel->root().levels;
    const auto text = kernel->symbol("_stext");
    const auto direct_map = kernel->symbol("page_offset_base");
    if (!text) return text.error();
    if (!direct_map) return direct_map.error();
    text_ = text->value + 0x200000;  // well within, and not in the first large page
    const auto base = kernel->next_epoch()->read_uint(*direct_map, 8);
    if (!base) return base.error();
    direct_map_ = *base;
    return ids::check_translation(**channel, {}, *kernel);
  }

  std::uint64_t text() const { return text_; }
  std::uint64_t direct_map() const { return direct_map_; }

  /// The entry by which `root` maps `address`, whatever its size.
  std::uint64_t& entry(std::uint64_t root, std::uint64_t address) {
    return walk(root, address, [](std::uint64_t& /*link*/) {});
  }

  /// The same, in tables that only `root` has: copies of what was there.
  std::uint64_t& own_entry(std::uint64_t root, std::uint64_t address) {
    return walk(root, address, [this](std::uint64_t& link) {
      const auto copy = image_.spare_frame();
      image_.edit(copy) = image_.edit(frame_of(link));
      link = (link & ~ids::kPteAddress) | copy << 12;
    });
  }

 private:
  static std::uint64_t frame_of(std::uint64_t link) { return (link & ids::kPteAddress) >> 12; }

  std::uint64_t& walk(std::uint64_t root, std::uint64_t address,
                      const std::function<void(std::uint64_t&)>& on_link) {
    for (unsigned level = levels_;; --level) {
      auto& here = image_.edit(root)[address >> ids::level_shift(level) & 511];
      if (level == 1 || (here & ids::kPteLarge) != 0 || (here & ids::kPtePresent) == 0) return here;
      on_link(here);
      root = frame_of(here);
    }
  }

  test::AlteredImage& image_;
  const ids::KernelInfo* info_;
  unsigned levels_ = 4;
  std::uint64_t text_ = 0, direct_map_ = 0;
};

struct Case {
  const char* name;
  std::function<void()> change;
  Kind kind;
  std::uint64_t root;     // of the table in which it has to be found
  std::uint64_t address;  // that has to be in what is found
};

bool is_found(const ids::TranslationReport& report, const Case& wanted) {
  return std::ranges::any_of(report.findings, [&](const TranslationFinding& finding) {
    return finding.kind == wanted.kind && wanted.address >= finding.address.value &&
           wanted.address - finding.address.value < finding.bytes &&
           report.spaces.at(finding.space).root.value == wanted.root;
  });
}

std::vector<Case> cases(Machine& machine, std::uint64_t master, std::uint64_t process) {
  const auto text = machine.text(), direct_map = machine.direct_map();
  const auto other_frame = [](std::uint64_t& entry) {
    entry ^= (entry & ids::kPteLarge) != 0 ? 1ULL << 21 : 1ULL << 12;
  };
  return {
      {"a process with tables of its own that say the same",
       [&machine, process, text] { machine.own_entry(process, text); }, Kind::kCopiedTable, process,
       text},
      {"a process with other kernel text",
       [=, &machine] { other_frame(machine.own_entry(process, text)); }, Kind::kRedirected, process,
       text},
      {"a process that may write kernel text",
       [=, &machine] { machine.own_entry(process, text) ^= SEVMON_PTE_WRITE; }, Kind::kAccess,
       process, text},
      {"a process with other data in the direct map",
       [=, &machine] { other_frame(machine.own_entry(process, direct_map + 0x8000000)); },
       Kind::kRedirected, process, direct_map + 0x8000000},
      {"other kernel text for everybody",
       [=, &machine] { other_frame(machine.entry(master, text)); }, Kind::kRedirected, master,
       text},
      {"kernel text that nobody has", [=, &machine] { machine.entry(master, text) = 0; },
       Kind::kMissing, master, text},
      {"another direct map for everybody",
       [=, &machine] { other_frame(machine.entry(master, direct_map + 0x8000000)); },
       Kind::kRedirected, master, direct_map + 0x8000000},
  };
}

int run(const char* image_path, const char* profile_path) {
  auto inputs = test::open_inputs(image_path, profile_path);
  if (!inputs) {
    std::printf("%s\n", inputs.error().message().c_str());
    return 2;
  }
  auto& image = inputs->image;
  image.record();
  Machine machine{image, inputs->profile};
  const auto clean = machine.learn();
  if (!clean || !clean->findings.empty()) {
    std::printf("the image as it was taken: %s\n",
                clean ? clean->findings[0].text.c_str() : clean.error().message().c_str());
    return 2;
  }
  image.collect_pointers();
  const auto process = std::ranges::find_if(clean->spaces, [](const ids::AddressSpace& space) {
    return !space.master && !space.user_half && !space.pids.empty();
  });
  unsigned failed = 0;
  const auto all = cases(machine, clean->spaces[0].root.value, process->root.value);
  for (const auto& wanted : all) {
    image.restore();
    wanted.change();
    const auto report = machine.check();
    const bool good = report && is_found(*report, wanted);
    std::printf("%s %s\n", good ? "found " : "MISSED", wanted.name);
    if (!report) std::printf("  %s\n", report.error().message().c_str());
    if (!good && report)
      for (const auto& finding : report->findings) std::printf("  %s\n", finding.text.c_str());
    failed += good ? 0 : 1;
  }
  std::printf("Ok: %zu\nFail: %u\n", all.size() - failed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: redirected-image IMAGE PROFILE\n");
    return 2;
  }
  return run(argv[1], argv[2]);
}
