// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include <sevmon/processes.hpp>
#include <sevmon/text.hpp>

#include "linux/passes.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;

struct ProcessTraits {
  using List = ProcessList;
  using Entry = Process;
  using Place = std::pair<Gva, std::int32_t>;
  static constexpr std::string_view kNoun = "process";

  static const auto& entries(const List& list) { return list.processes; }
  static Place place(const Process& process) { return {process.task, process.pid}; }
  static std::string title(const Process& process) { return escape(process.name); }
  static Fields fields(const Process& process) {
    const auto number = [](const auto& value) {
      return value ? std::to_string(*value) : "unknown";
    };
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
  static ProcessNote difference(const Place& place, std::string text) {
    return {ProcessNote::Kind::kDifference, place.first, place.second, std::move(text)};
  }
};

}  // namespace

Result<ProcessList> compare_processes(Kernel& kernel, const ProcessOptions& options,
                                      const ProcessOptions& other_options) {
  const bool is_standing = other_options.run_program != nullptr;
  const Ways ways =
      is_standing ? Ways{"the standing program", "requests"} : Ways{"the program", "pages"};
  return compare_until_stable<ProcessTraits>(
      options.max_passes, is_standing ? ListMethod::kStanding : ListMethod::kBoth, ways,
      [&] { return list_processes(kernel, options); },
      [&] { return list_processes(kernel, other_options); });
}

}  // namespace sevmon::ids
