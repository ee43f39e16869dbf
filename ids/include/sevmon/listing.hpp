// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string_view>
#include <tuple>

#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

// What lists of things in the target's kernel have in common: processes.hpp, modules.hpp.
namespace sevmon::ids {

/// How far one can rely on something that was read from a running, perhaps hostile, system.
enum class Consistency : std::uint8_t {
  kConsistent,  // the first pass agreed with itself
  kRetried,     // a later pass did: the first ones saw changes under way
  kTorn,        // no pass did: the list may lack entries or hold wrong ones
};

/// "consistent", "retried", "torn".
std::string_view name(Consistency consistency);

/// How a list was made. Standing: by a program that Xen runs by itself, compared with requests.
enum class ListMethod : std::uint8_t { kProgram, kPages, kBoth, kStanding };

/// "program", "pages", "both", "standing".
std::string_view name(ListMethod method);

/// What the runs of a program took.
struct ProgramUse {
  unsigned runs = 0;
  std::uint64_t cost = 0;       // instructions of their budgets
  std::uint64_t slices = 0;     // between which the target could change
  std::uint64_t run_ns = 0;     // the host's clock
  std::uint64_t paused_ns = 0;  // of that, with the target's vCPUs paused

  ProgramUse& operator+=(const ProgramUse& more);
  /// One run more.
  ProgramUse& operator+=(const ProgramRun& run);
};

/// What lists of one boot showed hidden in one pass, so that a later list of it knows that it was
/// so before. The 1,024 that were seen last: a target that makes up as many between two sightings
/// of a hidden one has that forgotten.
class HiddenHistory {
 public:
  /// Kind of note, address, pid.
  using Identity = std::tuple<std::uint8_t, std::uint64_t, std::int32_t>;

  bool contains(const Identity& identity) const;
  void add(const Identity& identity);

 private:
  std::deque<Identity> latest_;
};

/// Runs a list's own program in the target with this input: see ListProgram.
using RunProgram = std::function<common::Result<ProgramRun>(std::span<const std::byte> input)>;

}  // namespace sevmon::ids
