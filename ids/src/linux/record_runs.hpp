// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

// What a list's program gives: records of one size, then a trailer of another.
namespace sevmon::ids {

struct RecordTear {
  common::Gva address{};
  std::string text;
};

/// ", and 2 more places": of several tears that a trailer counts, after the first.
inline std::string more_places(std::uint32_t tears) {
  return tears == 1 ? "" : ", and " + std::to_string(tears - 1) + " more places";
}

template <typename Record, typename Trailer>
struct RunRecords {
  std::vector<Record> records;
  std::optional<Trailer> trailer;  // none: no space for it, so none for another record either
  bool is_cut = false;             // its run ended early: there may be any number of others
};

/// Why a run was cut.
inline std::string describe_cut(const ProgramRun& run) {
  return "its run ended early: " + describe_run(run.report.state);
}

/// One run's result. What it is made of is the target's data: nothing is believed but its sizes,
/// and that the trailer begins with a 0 and counts the records. A run that was out of budget or of
/// time gave what it had come to.
/// @return kTorn saying why it is none.
template <typename Record, typename Trailer>
common::Result<RunRecords<Record, Trailer>> split_result(const ProgramRun& run) {
  using common::Error;
  using common::ErrorCode;
  static_assert(sizeof(Trailer) < sizeof(Record));
  RunRecords<Record, Trailer> split;
  split.is_cut = is_truncated(run.report);
  if (run.report.state != SEVMON_RUN_DONE && !split.is_cut)
    return Error{ErrorCode::kTorn, describe_cut(run)};
  const auto count = run.result.size() / sizeof(Record);
  const auto rest = split.is_cut ? 0 : run.result.size() % sizeof(Record);
  if ((rest != 0 && rest != sizeof(Trailer)) || (run.result.empty() && !split.is_cut))
    return Error{ErrorCode::kTorn, "a result of " + std::to_string(run.result.size()) + " bytes"};
  split.records.resize(count);
  if (count != 0) std::memcpy(split.records.data(), run.result.data(), count * sizeof(Record));
  if (rest == 0) return split;
  std::memcpy(&split.trailer.emplace(), run.result.data() + count * sizeof(Record),
              sizeof(Trailer));
  if (split.trailer->zero != 0 || split.trailer->records != count)
    return Error{ErrorCode::kTorn, "it counts other records than it gave"};
  return split;
}

}  // namespace sevmon::ids
