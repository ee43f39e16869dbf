// SPDX-License-Identifier: Apache-2.0
#include <sevmon/processes.hpp>

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "linux/clock.hpp"
#include "linux/process_pass.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;
using Kind = ProcessNote::Kind;

using Hidden = std::set<std::pair<Kind, Gva>>;

Hidden hidden_of(const ProcessList& list) {
  Hidden hidden;
  for (const auto& note : list.notes)
    if (note.kind != Kind::kTear) hidden.emplace(note.kind, note.address);
  return hidden;
}

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

std::string_view name(ProcessMethod method) {
  switch (method) {
    case ProcessMethod::kProgram:
      return "program";
    case ProcessMethod::kPages:
      return "pages";
    case ProcessMethod::kBoth:
      return "both";
    case ProcessMethod::kStanding:
      return "standing";
  }
  return "pages";
}

ProgramUse& ProgramUse::operator+=(const ProgramUse& more) {
  runs += more.runs;
  cost += more.cost;
  slices += more.slices;
  run_ns += more.run_ns;
  paused_ns += more.paused_ns;
  return *this;
}

std::vector<Range> first_process_ranges(const KernelInfo& info) {
  std::vector<Range> ranges = clock_ranges(info);
  if (const auto layouts = ProcessLayouts::resolve(info)) {
    ranges.push_back({layouts->idr + layouts->ids.head_offset, 8});
    layouts->task.append_ranges(layouts->init_task, ranges);
  }
  return ranges;
}

Result<ProcessList> list_processes(Kernel& kernel, const ProcessOptions& options) {
  const auto layouts = ProcessLayouts::resolve(kernel.info());
  if (!layouts) return layouts.error();
  if (options.threads && options.run_program)
    return common::Error{common::ErrorCode::kUsage, "threads are listed by pages"};
  Hidden before;
  ProgramUse use;
  std::optional<std::int64_t> boot_unix_ns;
  for (unsigned passes = 1;; ++passes) {
    const auto memory = kernel.next_epoch();
    auto pass = run_process_pass(kernel, *layouts, *memory, options);
    if (!pass) return pass.error();
    auto* list = &pass->list;
    list->passes = passes;
    // Once: the first epoch has it already.
    if (!boot_unix_ns) boot_unix_ns = read_boot_time(kernel, *memory);
    list->boot_unix_ns = boot_unix_ns;
    list->program = use += list->program;
    list->method = options.run_program ? ProcessMethod::kProgram : ProcessMethod::kPages;

    // A process that comes or goes during a pass is seen by one way and not by the other; one that
    // two passes see so is hidden. What is torn is never believed.
    const Hidden hidden = hidden_of(*list);
    const bool stable = hidden.empty() || hidden == before;
    if (!pass->torn && stable) {
      list->consistency = passes == 1 ? Consistency::kConsistent : Consistency::kRetried;
      return std::move(*list);
    }
    if (passes >= options.max_passes) {
      list->consistency = Consistency::kTorn;
      std::erase_if(list->notes, [&](const ProcessNote& note) {
        return note.kind != Kind::kTear && !before.contains({note.kind, note.address});
      });
      return std::move(*list);
    }
    before = hidden;
  }
}

}  // namespace sevmon::ids
