// SPDX-License-Identifier: Apache-2.0
#include <sevmon/translation.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include <sevmon/text.hpp>

#include "checks/address_spaces.hpp"
#include "checks/entry_points.hpp"
#include "checks/page_tables.hpp"
#include "checks/table_compare.hpp"
#include "linux/hostile.hpp"
#include "linux/locate.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Frame;
using common::Gva;
using common::Result;
using Kind = TranslationFinding::Kind;

constexpr std::uint32_t kMaxVcpus = 1024;
constexpr std::uint64_t kMaxDirectMapFrames = 1ULL << 34;  // 64 TiB: as much as Linux maps

// Xen's own slots in a PV guest, 256 to 271 (HYPERVISOR_VIRT_START of Xen's public arch-x86/xen.h).
constexpr AddressRange kXenRange{0xffff800000000000, 0xffff87ffffffffff};
// EFI's run-time services: EFI_VA_END to EFI_VA_START (arch/x86/include/asm/efi.h). Mapped by
// efi_mm alone, in tables of its own.
constexpr AddressRange kEfiRange{0xffffffef00000000, 0xfffffffeffffffff};

/// Where page-table isolation maps each process's LDT: LDT_BASE_ADDR
/// (arch/x86/include/asm/pgtable_64_types.h).
AddressRange ldt_range(unsigned levels) {
  const std::uint64_t slot = 0 - (levels == 5 ? 112ULL : 240ULL);
  const auto first = slot << level_shift(levels);
  return {first, first + ((1ULL << level_shift(levels)) - 1)};
}

std::uint64_t upper_half(unsigned levels) {
  return levels == 5 ? 0xff00000000000000 : 0xffff800000000000;
}

// Whole sections of the kernel that are there for as long as it runs; what is between them
// (start-up code, gaps) is freed after the start.
constexpr std::array<std::pair<const char*, const char*>, 4> kSections{
    {{"_text", "_etext"},
     {"__start_rodata", "__end_rodata"},
     {"_sdata", "_edata"},
     {"__bss_start", "__bss_stop"}}};

/// One look at everything.
class Pass {
 public:
  Pass(Channel& channel, common::DomId domain, Kernel& kernel, const TranslationOptions& options)
      : channel_{channel},
        domain_{domain},
        kernel_{kernel},
        root_{kernel.root().frame.value},
        levels_{kernel.root().levels},
        tables_{channel, domain, kernel.facts().status.c_bit_mask, options.max_tables},
        compare_{tables_, levels_, options.max_findings},
        options_{options} {}

  Result<TranslationReport> run() {
    if (auto done = find_spaces(); !done) return done.error();
    if (auto done = add_kernel_image(); !done) return done.error();
    if (auto done = add_direct_map(); !done) return done.error();
    add_spaces();
    if (auto done = compare_.run(); !done) return done.error();
    auto entries = check_entry_points(kernel_, tables_, vcpus_);
    if (!entries) return entries.error();
    // Those of the entries first: they are few, and there is a bound for all together.
    report_.findings = *std::move(entries);
    report_.findings.insert(report_.findings.end(), compare_.findings().begin(),
                            compare_.findings().end());
    const bool over = report_.findings.size() > options_.max_findings;
    if (over) report_.findings.resize(options_.max_findings);
    for (auto& finding : report_.findings)
      if (finding.text.empty()) finding.text = describe(finding);
    report_.tables = tables_.size();
    report_.vcpus = vcpus_.size();
    if (over || compare_.cut() || tables_.full())
      note("over a bound of tables or findings: the rest was not looked at");
    return std::move(report_);
  }

 private:
  bool is_pv() const { return kernel_.facts().status.target_kind == SEVMON_TARGET_PV; }

  void note(std::string text) {
    report_.notes.push_back(std::move(text));
    report_.complete = false;
  }

  // ---- Which tables there are

  std::size_t space_of(std::uint64_t frame, bool user_half) {
    const auto [at, fresh] = by_root_.emplace(std::pair{frame, user_half}, report_.spaces.size());
    if (fresh)
      report_.spaces.push_back(
          {.root = {frame}, .master = false, .user_half = user_half, .vcpus = {}, .pids = {}});
    return at->second;
  }

  Result<void> find_spaces() {
    report_.spaces[space_of(root_, false)].master = true;
    if (auto done = find_isolation(); !done) return done;
    const auto processes = list_processes(kernel_, {.threads = true, .settle = options_.settle});
    if (!processes) return processes.error();
    if (processes->consistency == Consistency::kTorn) note("the list of processes is torn");
    report_.processes = processes->processes.size();
    auto roots = read_process_roots(kernel_, tables_, *processes);
    if (!roots) return roots.error();
    for (auto& text : roots->notes) note(std::move(text));
    efi_root_ = roots->efi;
    for (const auto& process : roots->roots) {
      report_.spaces[space_of(process.frame, false)].pids.push_back(process.pid);
      if (report_.isolation)
        report_.spaces[space_of(process.frame + 1, true)].pids.push_back(process.pid);
    }
    return find_vcpus();
  }

  /// With page-table isolation each table is followed by the one for user mode, the master's too.
  Result<void> find_isolation() {
    if (is_pv() || !kernel_.info().has_symbol("pti_init") || root_ % 2 != 0) return {};
    if (auto fetched = tables_.fetch(std::array{root_ + 1}); !fetched) return fetched;
    const auto* user = tables_.find(root_ + 1);
    report_.isolation = user != nullptr && (user->back() & kPtePresent) != 0;
    if (report_.isolation) report_.spaces[space_of(root_ + 1, true)].master = true;
    return {};
  }

  Result<void> find_vcpus() {
    const auto count = std::min(kernel_.facts().status.target_vcpus, kMaxVcpus);
    if (count == 0) return {};
    auto vcpus = read_vcpus(channel_, domain_, count);
    if (!vcpus) return vcpus.error();
    vcpus_ = std::move(*vcpus);
    for (const auto& vcpu : vcpus_) {
      auto frame = vcpu.state.kernel_root;
      if (frame == 0) continue;
      if (report_.isolation && frame % 2 != 0) {
        report_.spaces[space_of(frame, true)].vcpus.push_back(vcpu.vcpu);
        --frame;
      }
      report_.spaces[space_of(frame, false)].vcpus.push_back(vcpu.vcpu);
      if (vcpu.state.user_root != 0)
        report_.spaces[space_of(vcpu.state.user_root, true)].vcpus.push_back(vcpu.vcpu);
    }
    return {};
  }

  // ---- What they are compared with

  /// The kernel is in one piece: from where its master table is follows where all of it is.
  Result<void> add_kernel_image() {
    const auto table = kernel_.symbol("init_top_pgt");
    if (!table) return table.error();
    for (const auto& [first_name, end_name] : kSections) {
      const auto first = kernel_.symbol(first_name);
      if (!first) return first.error();
      const auto end = kernel_.symbol(end_name);
      if (!end) return end.error();
      if (*end <= *first) continue;
      compare_.add({.space = 0,
                    .root = root_,
                    .reference = {},
                    .first_frame = root_ + (first->value >> 12) - (table->value >> 12),
                    .range = {first->value, end->value - 1},
                    .must_map = true});
    }
    return {};
  }

  /// A PV guest's frames are scattered, and only Xen knows how.
  Result<void> add_direct_map() {
    if (is_pv()) return {};
    std::uint64_t base = levels_ == 5 ? 0xff11000000000000 : 0xffff888000000000;
    if (const auto symbol = kernel_.symbol("page_offset_base")) {
      const auto value = kernel_.next_epoch()->read_uint(*symbol, 8);
      if (!value && !is_about_data(value.error())) return value.error();
      if (!value || *value < upper_half(levels_) || *value >= kKernelMap || *value % (1 << 30)) {
        note("page_offset_base cannot be: the direct map was not looked at");
        return {};
      }
      base = *value;
    }
    const auto frames = std::min(
        {kernel_.facts().status.target_frames, kMaxDirectMapFrames, (kKernelMap - base) >> 12});
    if (frames > 0)
      compare_.add({.space = 0,
                    .root = root_,
                    .reference = {},
                    .first_frame = 0,
                    .range = {base, base + ((frames << 12) - 1)}});
    return {};
  }

  void add_spaces() {
    for (std::size_t i = 1; i < report_.spaces.size(); ++i) {
      const auto& space = report_.spaces[i];
      const bool is_efi = efi_root_ == space.root.value && space.pids.empty();
      // The user halves of page-table isolation have tables of their own, made once: all processes
      // share the master's.
      const bool isolated = report_.isolation && space.user_half && !space.master;
      Comparison comparison{.space = i,
                            .root = space.root.value,
                            .reference = isolated ? root_ + 1 : root_,
                            .range = {},
                            .same_tables = (!space.user_half || isolated) && !is_efi,
                            .same_access = !space.user_half};
      std::vector<AddressRange> skipped;
      if (is_pv()) skipped.push_back(kXenRange);
      if (report_.isolation && !space.master) skipped.push_back(ldt_range(levels_));
      if (is_efi) skipped.push_back(kEfiRange);
      std::uint64_t first = upper_half(levels_);
      for (const auto& range : skipped) {
        if (range.first > first) {
          comparison.range = {first, range.first - 1};
          compare_.add(comparison);
        }
        first = range.last + 1;
      }
      comparison.range = {first, UINT64_MAX};
      compare_.add(comparison);
    }
  }

  // ---- What to say of it

  std::string place(Gva address) const {
    const auto symbol = kernel_.describe(address);
    return hex_address(address.value) + (symbol ? " (" + escape(*symbol) + ')' : "");
  }

  std::string who(const AddressSpace& space) const {
    std::string text = space.master ? "the master table" : "the table";
    if (space.user_half) text += " for user mode";
    text += " at frame " + hex_address(space.root.value);
    constexpr std::size_t kNamed = 4;
    const auto list = [&](const char* what, const auto& numbers) {
      if (numbers.empty()) return;
      text += std::string{", "} + what;
      for (std::size_t i = 0; i < numbers.size() && i < kNamed; ++i)
        text += (i > 0 ? ", " : " ") + std::to_string(numbers[i]);
      if (numbers.size() > kNamed)
        text += " and " + std::to_string(numbers.size() - kNamed) + " more";
    };
    list("process", space.pids);
    list("vCPU", space.vcpus);
    return text;
  }

  std::string describe(const TranslationFinding& finding) const {
    const auto frame = [](const std::optional<Frame>& value) {
      return value ? "frame " + hex_address(value->value) : std::string{"nothing"};
    };
    const std::string where =
        place(finding.address) + ", " + std::to_string(finding.bytes) + " bytes: ";
    const std::string in = " in " + who(report_.spaces[finding.space]);
    switch (finding.kind) {
      case Kind::kRedirected:
      case Kind::kAdded:
      case Kind::kMissing:
        return where + frame(finding.found) + " instead of " + frame(finding.expected) + in;
      case Kind::kAccess:
        return where + "access rights " + hex_address(finding.found_access) + " instead of " +
               hex_address(finding.expected_access) + in;
      case Kind::kCopiedTable:
        return where + "a page table of its own, " + frame(finding.found) + ", instead of " +
               frame(finding.expected) + in;
      case Kind::kUnreadable:
        return place(finding.address) + ": the page table at " + frame(finding.found) +
               " is not the target's RAM" + in;
      default:
        return finding.text;
    }
  }

  Channel& channel_;
  const common::DomId domain_;
  Kernel& kernel_;
  const std::uint64_t root_;
  const unsigned levels_;
  PageTables tables_;
  TableCompare compare_;
  const TranslationOptions options_;
  std::vector<VcpuState> vcpus_;
  std::optional<std::uint64_t> efi_root_;
  std::map<std::pair<std::uint64_t, bool>, std::size_t> by_root_;
  TranslationReport report_;
};

/// What identifies a finding from one pass to the next.
auto key_of(const TranslationReport& report, const TranslationFinding& finding) {
  return std::pair{finding.key(), report.spaces[finding.space].root};
}

}  // namespace

std::string_view id(Kind kind) {
  switch (kind) {
    case Kind::kRedirected:
      return "translation-redirected";
    case Kind::kAdded:
      return "translation-added";
    case Kind::kMissing:
      return "translation-missing";
    case Kind::kAccess:
      return "translation-access";
    case Kind::kCopiedTable:
      return "translation-copied-table";
    case Kind::kUnreadable:
      return "translation-unreadable-table";
    case Kind::kEntryPoint:
      return "translation-entry-point";
    case Kind::kVectorTable:
      return "translation-vector-table";
  }
  return "translation";
}

Result<TranslationReport> check_translation(Channel& channel, common::DomId domain, Kernel& kernel,
                                            const TranslationOptions& options) {
  std::set<decltype(key_of({}, {}))> before;
  for (unsigned passes = 1;; ++passes) {
    auto report = Pass{channel, domain, kernel, options}.run();
    if (!report) return report.error();
    report->passes = passes;
    if (report->findings.empty()) {
      report->consistency = passes == 1 ? Consistency::kConsistent : Consistency::kRetried;
      return report;
    }
    // A process that ends while it is looked at leaves its tables to others: only what stays as it
    // is from one pass to the next is a finding.
    std::set<decltype(key_of({}, {}))> now;
    for (const auto& finding : report->findings) now.insert(key_of(*report, finding));
    std::erase_if(report->findings, [&](const TranslationFinding& finding) {
      return !before.contains(key_of(*report, finding));
    });
    if (!report->findings.empty() || passes >= options.max_passes) {
      report->consistency = report->findings.empty() ? Consistency::kTorn : Consistency::kRetried;
      if (report->findings.empty()) {
        report->complete = false;
        report->notes.push_back("no two passes agreed");
      }
      return report;
    }
    before = std::move(now);
  }
}

}  // namespace sevmon::ids
