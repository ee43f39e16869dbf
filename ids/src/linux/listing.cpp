// SPDX-License-Identifier: Apache-2.0
#include <sevmon/listing.hpp>

#include <algorithm>

namespace sevmon::ids {
namespace {

// Each is a process that began or ended just then, or a hidden one.
constexpr std::size_t kMaxHistory = 1024;

}  // namespace

std::string_view name(Consistency consistency) {
  switch (consistency) {
    case Consistency::kConsistent:
      return "consistent";
    case Consistency::kRetried:
      return "retried";
    case Consistency::kTorn:
      return "torn";
  }
  return "torn";
}

std::string_view name(ListMethod method) {
  switch (method) {
    case ListMethod::kProgram:
      return "program";
    case ListMethod::kPages:
      return "pages";
    case ListMethod::kBoth:
      return "both";
    case ListMethod::kStanding:
      return "standing";
  }
  return "pages";
}

bool HiddenHistory::contains(const Identity& identity) const {
  return std::ranges::find(latest_, identity) != latest_.end();
}

void HiddenHistory::add(const Identity& identity) {
  std::erase(latest_, identity);  // what is seen again stays longest
  latest_.push_back(identity);
  if (latest_.size() > kMaxHistory) latest_.pop_front();
}

ProgramUse& ProgramUse::operator+=(const ProgramUse& more) {
  runs += more.runs;
  cost += more.cost;
  slices += more.slices;
  run_ns += more.run_ns;
  paused_ns += more.paused_ns;
  return *this;
}

ProgramUse& ProgramUse::operator+=(const ProgramRun& run) {
  return *this += ProgramUse{.runs = 1,
                             .cost = run.report.cost,
                             .slices = run.report.slices,
                             .run_ns = run.report.ended_ns - run.report.started_ns,
                             .paused_ns = run.report.paused_ns};
}

}  // namespace sevmon::ids
