// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <sevmon/processes.hpp>
#include <sevmon/text.hpp>

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;

/// What of a process does not change while it is listed twice, or hardly ever.
using Fields = std::vector<std::pair<std::string_view, std::string>>;

Fields fields_of(const Process& process) {
  const auto number = [](const auto& value) { return value ? std::to_string(*value) : "unknown"; };
  return {{"tgid", std::to_string(process.tgid)},
          {"ppid", std::to_string(process.ppid)},
          {"uid", number(process.uid)},
          {"euid", number(process.euid)},
          {"start", std::to_string(process.start_ns)},
          {"name", escape(process.name)},
          {"kernel thread", process.kernel_thread ? "yes" : "no"},
          {"in the table of ids", process.in_pids ? "yes" : "no"},
          {"in the ring of tasks", process.in_tasks ? "yes" : "no"}};
}

/// By process and what differs, so that two comparisons can be held against each other.
using Differences = std::map<std::tuple<Gva, std::int32_t, std::string_view>, std::string>;

/// The two ways, in a note's words.
struct Ways {
  std::string_view ours, theirs;
};

Differences differences(const ProcessList& our_list, const ProcessList& their_list,
                        const Ways& ways) {
  const std::string ours_by{ways.ours}, theirs_by{ways.theirs};
  std::map<std::pair<Gva, std::int32_t>, const Process*> others;
  for (const auto& process : their_list.processes) others[{process.task, process.pid}] = &process;
  Differences found;
  for (const auto& process : our_list.processes) {
    const auto other = others.extract({process.task, process.pid});
    if (other.empty()) {
      found[{process.task, process.pid, "process"}] =
          '"' + escape(process.name) + "\" is found by " + ours_by + " and not by " + theirs_by;
      continue;
    }
    const auto ours = fields_of(process), theirs = fields_of(*other.mapped());
    for (std::size_t i = 0; i < ours.size(); ++i)
      if (ours[i].second != theirs[i].second)
        found[{process.task, process.pid, ours[i].first}] =
            std::string{ours[i].first} + ": " + ours[i].second + " by " + ours_by + ", " +
            theirs[i].second + " by " + theirs_by;
  }
  for (const auto& [place, process] : others)
    found[{place.first, place.second, "process"}] =
        '"' + escape(process->name) + "\" is found by " + theirs_by + " and not by " + ours_by;
  return found;
}

}  // namespace

Result<ProcessList> compare_processes(Kernel& kernel, const ProcessOptions& options,
                                      const ProcessOptions& other_options) {
  const bool is_standing = other_options.run_program != nullptr;
  const Ways ways =
      is_standing ? Ways{"the standing program", "requests"} : Ways{"the program", "pages"};
  Differences before;
  unsigned passes = 0;
  ProgramUse use;
  for (unsigned tries = 1;; ++tries) {
    auto list = list_processes(kernel, options);
    if (!list) return list.error();
    const auto other = list_processes(kernel, other_options);
    if (!other) return other.error();
    list->method = is_standing ? ProcessMethod::kStanding : ProcessMethod::kBoth;
    list->passes = passes += list->passes + other->passes;
    list->program = use += list->program;
    if (other->consistency == Consistency::kTorn) {
      list->consistency = Consistency::kTorn;
      list->notes.insert(list->notes.end(), other->notes.begin(), other->notes.end());
    }
    if (list->consistency == Consistency::kTorn) return list;

    // What came or went between the two lists differs once, not twice.
    auto now = differences(*list, *other, ways);
    if (tries > 1)
      std::erase_if(now, [&](const auto& each) { return !before.contains(each.first); });
    if (!now.empty() && tries < options.max_passes) {
      before = std::move(now);
      continue;
    }
    for (auto& [place, text] : now)
      list->notes.push_back({ProcessNote::Kind::kDifference, std::get<0>(place), std::get<1>(place),
                             std::move(text)});
    if (tries > 1) list->consistency = Consistency::kRetried;
    return list;
  }
}

}  // namespace sevmon::ids
