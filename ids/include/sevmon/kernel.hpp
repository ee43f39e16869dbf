// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/wire.h>
#include <sevmon/channel.hpp>
#include <sevmon/kernel_info.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// What the agent says of a target and of itself, from one sealed answer.
struct TargetFacts {
  sevmon_status status{};
  std::optional<sevmon_boot_record> boot_record;  // none: not for this target
  sevmon_response_head head{};
};

/// One round trip. @return kRefused when there is no such domain; errors of the channel.
common::Result<TargetFacts> read_facts(Channel& channel, common::DomId domain);

struct AttachOptions {
  common::DomId domain{};
  /// What the caller will read first, in addresses as linked. It travels with the read that
  /// verifies the kernel and so costs no round trip of its own.
  std::function<std::vector<Range>(const KernelInfo&)> first_ranges;
  /// Called now and then while an image is searched.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// The kernel that a target runs: its profile, its master page table and its slide, all verified.
class Kernel {
 public:
  using EpochFactory = std::function<std::unique_ptr<Memory>()>;

  /// Find out which of `candidates` runs in the target and where.
  ///
  /// Xen's digest of the kernel that it booted chooses the candidate, and where Xen put that kernel
  /// gives the master page table (init_top_pgt). For memory images the candidate is chosen by
  /// build id or banner, found in physical memory, and the slide is the one under which the master
  /// table maps the banner to where it was found. No CR3 of the target is ever followed. Whatever
  /// was found is verified by reading the banner through it.
  ///
  /// `channel` and the chosen candidate must outlive the Kernel.
  /// @return kMismatch naming what runs and what the candidates are; kNotFound when nothing in the
  ///         target looks like a candidate; errors of the channel.
  static common::Result<Kernel> attach(Channel& channel,
                                       std::span<const KernelInfo* const> candidates,
                                       const AttachOptions& options = {});

  /// A kernel whose whereabouts are known otherwise: nothing is verified.
  Kernel(const KernelInfo& info, Root root, std::uint64_t slide_bytes, EpochFactory epochs);

  const KernelInfo& info() const { return *info_; }
  const Root& root() const { return root_; }
  std::uint64_t slide_bytes() const { return slide_bytes_; }
  /// What attach() learnt on its way.
  const TargetFacts& facts() const { return facts_; }
  /// "file digest", "build id", "banner": what chose the profile.
  const std::string& matched_by() const { return matched_by_; }

  /// Fresh memory for the next pass. The first epoch after attach() already holds first_ranges.
  std::unique_ptr<Memory> next_epoch();

  /// Where `name` is in the running kernel. @return kNotFound.
  common::Result<common::Gva> symbol(std::string_view name) const;
  /// `linked` moved by the slide; per-CPU offsets and other absolutes stay.
  common::Gva relocate(common::Gva linked) const;
  /// "linux_banner+0x10", if a symbol is near.
  std::optional<std::string> describe(common::Gva address) const;

 private:
  const KernelInfo* info_;
  Root root_;
  std::uint64_t slide_bytes_;
  EpochFactory epochs_;
  std::unique_ptr<Memory> first_epoch_;
  TargetFacts facts_;
  std::string matched_by_;
};

}  // namespace sevmon::ids
