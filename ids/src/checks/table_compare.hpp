// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <sevmon/result.hpp>
#include <sevmon/translation.hpp>

#include "checks/page_tables.hpp"

namespace sevmon::ids {

struct AddressRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
};

/// What one table is compared with, and how.
struct Comparison {
  std::size_t space = 0;   // that findings are of
  std::uint64_t root = 0;  // of what is compared
  /// None: `first_frame` is mapped at `range`'s start and so on, page by page.
  std::optional<std::uint64_t> reference;
  std::uint64_t first_frame = 0;
  AddressRange range{0, UINT64_MAX};  // whole entries of the top level, if there is a reference
  bool same_tables = false;           // entries must lead to the reference's own tables
  bool same_access = false;
  bool must_map = false;  // without a reference: a hole is a finding
};

/// Compares tables, all of them level by level: as many waves of reads as there are levels.
class TableCompare {
 public:
  TableCompare(PageTables& tables, unsigned levels, std::size_t max_findings)
      : tables_{tables}, levels_{levels}, max_findings_{max_findings} {}

  void add(const Comparison& comparison);
  /// @return errors of the channel.
  common::Result<void> run();

  const std::vector<TranslationFinding>& findings() const { return findings_; }
  /// A bound was reached: what was not looked at can be anything.
  bool cut() const { return cut_; }

 private:
  struct Job {
    std::size_t comparison = 0;
    std::uint64_t address = 0;  // of the first entry
    Entry reference;            // kNothing when there is only a range
    Entry found;
    bool copied = false;  // that it has tables of its own was said
  };

  void expand(const Job& job, unsigned level);
  void compare(const Job& parent, std::uint64_t address, const Entry& reference, const Entry& found,
               unsigned level);
  void compare_linear(const Job& parent, std::uint64_t address, const Entry& found, unsigned level);
  void push(const Job& job);
  void report(TranslationFinding finding);

  PageTables& tables_;
  const unsigned levels_;
  const std::size_t max_findings_;
  std::vector<Comparison> comparisons_;
  std::vector<Job> next_;
  std::vector<TranslationFinding> findings_;
  bool cut_ = false;
};

}  // namespace sevmon::ids
