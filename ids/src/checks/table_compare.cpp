// SPDX-License-Identifier: Apache-2.0
#include "checks/table_compare.hpp"

#include <algorithm>
#include <utility>

namespace sevmon::ids {

using common::Frame;
using common::Gva;
using common::Result;
using Kind = TranslationFinding::Kind;

namespace {

/// The bits above the top level's repeat its highest.
std::uint64_t canonical(std::uint64_t address, unsigned levels) {
  const unsigned spare = 64 - level_shift(levels + 1);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << spare) >> spare);
}

std::uint64_t last_of(std::uint64_t address, unsigned level) {
  return address + ((1ULL << level_shift(level)) - 1);
}

}  // namespace

void TableCompare::add(const Comparison& comparison) {
  comparisons_.push_back(comparison);
  push({.comparison = comparisons_.size() - 1,
        .address = 0,
        .reference = comparison.reference ? root_entry(*comparison.reference) : Entry{},
        .found = root_entry(comparison.root),
        .copied = false});
}

Result<void> TableCompare::run() {
  for (unsigned level = levels_; level > 0 && !next_.empty(); --level) {
    const auto jobs = std::exchange(next_, {});
    std::vector<std::uint64_t> frames;
    for (const auto& job : jobs)
      for (const auto& entry : {job.reference, job.found})
        if (entry.kind == Entry::Kind::kTable) frames.push_back(entry.frame);
    if (auto fetched = tables_.fetch(frames); !fetched) return fetched.error();
    if (tables_.full()) {
      cut_ = true;
      return {};
    }
    for (const auto& job : jobs) expand(job, level);
  }
  return {};
}

void TableCompare::expand(const Job& job, unsigned level) {
  const auto& comparison = comparisons_[job.comparison];
  if (job.found.kind == Entry::Kind::kTable && tables_.find(job.found.frame) == nullptr) {
    report({.kind = Kind::kUnreadable,
            .address = {std::max(job.address, comparison.range.first)},
            .found = Frame{job.found.frame},
            .space = comparison.space});
    return;
  }
  for (unsigned i = 0; i < kTableEntries; ++i) {
    std::uint64_t address = job.address + (std::uint64_t{i} << level_shift(level));
    if (level == levels_) address = canonical(address, levels_);
    if (last_of(address, level) < comparison.range.first || address > comparison.range.last)
      continue;
    const auto found = tables_.child(job.found, i, level);
    if (comparison.reference)
      compare(job, address, tables_.child(job.reference, i, level), found, level);
    else
      compare_linear(job, address, found, level);
  }
}

void TableCompare::compare(const Job& parent, std::uint64_t address, const Entry& reference,
                           const Entry& found, unsigned level) {
  const auto& comparison = comparisons_[parent.comparison];
  if (found.kind == Entry::Kind::kNothing) return;  // a fault leads nowhere
  const bool same_place = reference.kind == found.kind && reference.frame == found.frame;
  TranslationFinding finding{.kind = Kind::kRedirected,
                             .address = {address},
                             .bytes = 1ULL << level_shift(level),
                             .expected = Frame{reference.frame},
                             .found = Frame{found.frame},
                             .expected_access = reference.access,
                             .found_access = found.access,
                             .space = comparison.space};
  if (same_place) {
    if (!comparison.same_access || reference.access == found.access) return;
    finding.kind = Kind::kAccess;
    return report(std::move(finding));
  }
  Job job{.comparison = parent.comparison,
          .address = address,
          .reference = reference,
          .found = found,
          .copied = parent.copied};
  if (found.kind == Entry::Kind::kPage && reference.kind == Entry::Kind::kNothing) {
    finding.kind = Kind::kAdded;
    finding.expected.reset();
    return report(std::move(finding));
  }
  if (found.kind == Entry::Kind::kPage && reference.kind == Entry::Kind::kPage)
    return report(std::move(finding));
  if (comparison.same_tables && !job.copied && found.kind == Entry::Kind::kTable) {
    finding.kind = Kind::kCopiedTable;
    if (reference.kind != Entry::Kind::kTable) finding.expected.reset();
    report(std::move(finding));
    job.copied = true;
  }
  push(job);
}

void TableCompare::compare_linear(const Job& parent, std::uint64_t address, const Entry& found,
                                  unsigned level) {
  const auto& comparison = comparisons_[parent.comparison];
  if (found.kind == Entry::Kind::kTable)
    return push({.comparison = parent.comparison,
                 .address = address,
                 .reference = {},
                 .found = found,
                 .copied = false});
  const auto first = std::max(address, comparison.range.first);
  const auto last = std::min(last_of(address, level), comparison.range.last);
  const auto expected = comparison.first_frame + ((first - comparison.range.first) >> 12);
  TranslationFinding finding{.kind = Kind::kRedirected,
                             .address = {first},
                             .bytes = last - first + 1,
                             .expected = Frame{expected},
                             .space = comparison.space};
  if (found.kind == Entry::Kind::kNothing) {
    if (!comparison.must_map) return;
    finding.kind = Kind::kMissing;
    return report(std::move(finding));
  }
  finding.found = Frame{found.frame + ((first - address) >> 12)};
  if (finding.found != finding.expected) report(std::move(finding));
}

/// Tables that lead to themselves have more places than there are tables.
void TableCompare::push(const Job& job) {
  constexpr std::size_t kMaxJobs = 1 << 16;  // at one level
  if (next_.size() < kMaxJobs)
    next_.push_back(job);
  else
    cut_ = true;
}

/// One finding for neighbouring pages that go astray together.
void TableCompare::report(TranslationFinding finding) {
  if (!findings_.empty()) {
    auto& last = findings_.back();
    const auto follows = [&](const std::optional<Frame>& a, const std::optional<Frame>& b) {
      return a.has_value() == b.has_value() && (!a || a->value + (last.bytes >> 12) == b->value);
    };
    if (last.kind == finding.kind && last.space == finding.space && last.bytes > 0 &&
        last.address + last.bytes == finding.address && last.kind != Kind::kCopiedTable &&
        last.expected_access == finding.expected_access &&
        last.found_access == finding.found_access && follows(last.expected, finding.expected) &&
        follows(last.found, finding.found)) {
      last.bytes += finding.bytes;
      return;
    }
  }
  if (findings_.size() >= max_findings_) {
    cut_ = true;
    return;
  }
  findings_.push_back(std::move(finding));
}

}  // namespace sevmon::ids
