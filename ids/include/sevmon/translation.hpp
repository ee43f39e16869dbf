// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// A page table by which something in the target runs, and who does.
struct AddressSpace {
  common::Frame root{};
  bool master = false;     // the kernel's own, init_top_pgt
  bool user_half = false;  // what the CPU has in user mode: with page-table isolation, or under PV
  std::vector<std::uint32_t> vcpus;  // that Xen has on it
  std::vector<std::int32_t> pids;    // of processes and threads whose memory it is, or is borrowed
};

/// A place where an address of the kernel's does not lead where it has to.
struct TranslationFinding {
  enum class Kind : std::uint8_t {
    kRedirected,   // to another frame than in the master table, or than where Xen put the kernel
    kAdded,        // something, where the master table has nothing
    kMissing,      // the master table does not map a part of the kernel
    kAccess,       // the same frame, but other rights
    kCopiedTable,  // a table of its own instead of the shared one, whatever it says now
    kUnreadable,   // a table that is not the target's RAM
    kEntryPoint,   // a vCPU enters the kernel outside of the kernel's text
    kVectorTable,  // a vCPU's IDT is not the kernel's
  } kind = Kind::kRedirected;
  common::Gva address{};
  std::uint64_t bytes = 0;
  std::optional<common::Frame> expected{};  // of the first page; with kCopiedTable: of the table
  std::optional<common::Frame> found{};
  std::uint64_t expected_access = 0;  // SEVMON_PTE_*, with kAccess
  std::uint64_t found_access = 0;
  std::size_t space = 0;  // in TranslationReport::spaces
  std::string text{};     // for people; escaped

  auto key() const { return std::tuple{kind, address, bytes, found}; }
};

/// "translation-redirected", …: stable.
std::string_view id(TranslationFinding::Kind kind);

struct TranslationReport {
  std::vector<AddressSpace> spaces;  // [0] is the master
  std::vector<TranslationFinding> findings;
  std::vector<std::string> notes;  // why it is not complete
  Consistency consistency = Consistency::kConsistent;
  unsigned passes = 0;
  std::size_t tables = 0;  // pages of page tables that the last pass read
  std::size_t vcpus = 0;
  std::size_t processes = 0;
  bool isolation = false;  // the target has user halves (page-table isolation)
  bool complete = true;    // false: a bound was reached, or the list of processes is torn
};

struct TranslationOptions {
  unsigned max_passes = 4;           // then what no two passes agreed on is torn
  std::size_t max_tables = 1 << 14;  // pages of tables that one pass reads
  std::size_t max_findings = 256;
  std::chrono::milliseconds settle{100};  // as of ProcessOptions
};

/// Does every page table lead the kernel's addresses to where they have to lead?
///
/// The master table must map the kernel's text and data to the frames where Xen put the kernel (or
/// where the image was found), and, but for PV, the direct map to the frame that its address says.
/// Every vCPU's table as Xen holds it, and every process's, must have the master's upper half,
/// entry by entry; where an entry differs, the tables below are compared down to the pages. What
/// the vCPUs registered as entries must lie in the kernel's text, under PV also the trap table's;
/// the IDT must be the kernel's. What differs for good reasons does not count: the range that Xen
/// keeps in a PV guest, the slot for a process's LDT, the user halves of page-table isolation as
/// far as they say the same, the range of EFI's run-time services under efi_mm.
///
/// A finding is reported when two passes agree on it.
/// @return kNotFound when the profile lacks what this needs; errors of the channel.
common::Result<TranslationReport> check_translation(Channel& channel, common::DomId domain,
                                                    Kernel& kernel,
                                                    const TranslationOptions& options = {});

}  // namespace sevmon::ids
