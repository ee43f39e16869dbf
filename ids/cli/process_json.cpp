// SPDX-License-Identifier: Apache-2.0
#include "process_json.hpp"

#include <sevmon/text.hpp>

#include "kernel_json.hpp"
#include "listing.hpp"

namespace sevmon::cli {
namespace {

using ids::Process;
using ids::ProcessList;
using Kind = ids::ProcessNote::Kind;

const char* name(Kind kind) {
  switch (kind) {
    case Kind::kHiddenFromPids:
      return "hidden-from-pids";
    case Kind::kHiddenFromTasks:
      return "hidden-from-tasks";
    case Kind::kTear:
      return "tear";
    case Kind::kDifference:
      return "difference";
  }
  return "tear";
}

Json process_json(const Process& process, const ProcessList& list) {
  const auto optional = [](const auto& value) { return value ? Json(*value) : Json(); };
  Json json = {{"pid", process.pid},
               {"tgid", process.tgid},
               {"ppid", process.ppid},
               {"uid", optional(process.uid)},
               {"euid", optional(process.euid)},
               {"state", std::string(1, process.state)},
               {"start_ns", process.start_ns},
               {"start_unix_ns", nullptr},
               {"name", ids::escape(process.name)},
               {"kernel_thread", process.kernel_thread},
               {"threads", optional(process.threads)},
               {"task", ids::hex_address(process.task.value)},
               {"in_pids", process.in_pids},
               {"in_tasks", process.in_tasks}};
  // The target says when it started: what no clock can show is left out.
  std::int64_t start_unix_ns = 0;
  if (list.boot_unix_ns &&
      !__builtin_add_overflow(*list.boot_unix_ns, process.start_ns, &start_unix_ns))
    json["start_unix_ns"] = start_unix_ns;
  return json;
}

}  // namespace

Json to_json(const ProcessList& list, const ids::Kernel& kernel) {
  Json result;
  result["kernel"] = to_json(kernel);
  put_how(result, list);
  if (list.standing) {
    result["number"] = list.standing->number;
    result["age_ns"] = list.standing->age_ns;
  }
  result["boot_unix_ns"] = list.boot_unix_ns ? Json(*list.boot_unix_ns) : Json();
  auto& processes = result["processes"] = Json::array();
  for (const auto& process : list.processes) processes.push_back(process_json(process, list));
  auto& notes = result["notes"] = Json::array();
  for (const auto& note : list.notes)
    notes.push_back({{"kind", name(note.kind)},
                     {"address", ids::hex_address(note.address.value)},
                     {"pid", note.pid},
                     {"text", note.text}});
  return result;
}

std::string describe(const ids::ProcessNote& note) {
  return std::string{name(note.kind)} + ": pid " + std::to_string(note.pid) + " at " +
         ids::hex_address(note.address.value) + ": " + note.text;
}

int exit_code(const ProcessList& list) {
  return exit_code_of(list);
}

}  // namespace sevmon::cli
