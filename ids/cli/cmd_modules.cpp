// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <sevmon/modules.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "kernel_json.hpp"
#include "listing.hpp"

namespace sevmon::cli {
namespace {

using common::Result;
using ids::ListMethod;
using ids::Module;
using ids::ModuleList;
using Kind = ids::ModuleNote::Kind;

const char* name(Kind kind) {
  switch (kind) {
    case Kind::kHiddenFromList:
      return "hidden-from-list";
    case Kind::kHiddenFromSysfs:
      return "hidden-from-sysfs";
    case Kind::kHiddenFromTree:
      return "hidden-from-tree";
    case Kind::kHiddenByState:
      return "hidden-by-state";
    case Kind::kTear:
      return "tear";
    case Kind::kDifference:
      return "difference";
  }
  return "tear";
}

Json module_json(const Module& module) {
  Json json = {{"name", ids::escape(module.name)},
               {"address", ids::hex_address(module.address.value)},
               {"base", ids::hex_address(module.base.value)},
               {"size_bytes", module.size_bytes},
               {"state", ids::name_of_state(module.state)},
               {"refcount", module.refcount},
               {"used_by", Json::array()},
               {"taints", module.taints},
               {"in_list", module.in_list},
               {"in_sysfs", module.in_sysfs},
               {"in_tree", module.in_tree}};
  for (const auto& user : module.used_by) json["used_by"].push_back(ids::escape(user));
  return json;
}

Json list_json(const ModuleList& list, const ids::Kernel& kernel) {
  Json result;
  result["kernel"] = to_json(kernel);
  put_how(result, list);
  auto& modules = result["modules"] = Json::array();
  for (const auto& module : list.modules) modules.push_back(module_json(module));
  auto& notes = result["notes"] = Json::array();
  for (const auto& note : list.notes)
    notes.push_back({{"kind", name(note.kind)},
                     {"address", ids::hex_address(note.address.value)},
                     {"text", note.text}});
  return result;
}

/// As lsmod(8), and what /proc/modules says besides.
void print_row(Output& output, const Module& module, const ModuleList& list) {
  const bool hidden = std::ranges::any_of(list.notes, [&](const auto& note) {
    return note.address == module.address && note.kind != Kind::kTear &&
           note.kind != Kind::kDifference;
  });
  const auto label = ids::escape(module.name);
  const std::string gap(label.size() < 24 ? 24 - label.size() : 1, ' ');
  char row[96];
  std::snprintf(row, sizeof(row), "%9llu %4d %-9s %s ",
                static_cast<unsigned long long>(module.size_bytes), module.refcount,
                std::string{ids::name_of_state(module.state)}.c_str(),
                ids::hex_address(module.base.value).c_str());
  std::string users;
  for (const auto& user : module.used_by) users += (users.empty() ? "" : ",") + ids::escape(user);
  const auto taints = ids::taint_letters(module.taints);
  output.line(output.styled(hidden ? Output::Style::kBad : Output::Style::kPlain, label) + gap +
              row + (users.empty() ? "-" : users) + (taints.empty() ? "" : " (" + taints + ')') +
              (hidden ? "  <- hidden" : ""));
}

void print(Output& output, const ModuleList& list) {
  output.line(output.styled(
      Output::Style::kBold,
      "NAME                          SIZE REFS STATE     ADDRESS            USED BY"));
  for (const auto& module : list.modules) print_row(output, module, list);
}

Result<ModuleList> list_by_program(Session& session, ids::Kernel& kernel, bool both, bool atomic,
                                   std::uint64_t& loading_round_trips) {
  auto program = ids::ModuleProgram::link(kernel);
  if (!program) return program.error();
  auto run = runner(session, kernel, *program, atomic);
  if (!run) return run.error();
  ids::ModuleOptions options;
  options.run_program = *std::move(run);
  auto list = both ? ids::compare_modules(kernel, options) : ids::list_modules(kernel, options);
  loading_round_trips = program->loading_round_trips();
  return list;
}

struct Flags {
  bool atomic = false;
  std::optional<std::string> method;
};

Result<int> run(Session& session, const Flags& flags) {
  const auto method = parse_method(flags.method, flags.atomic,
                                   {ListMethod::kProgram, ListMethod::kPages, ListMethod::kBoth});
  if (!method) return method.error();
  const auto listing = list_by_method<ModuleList>(
      session, *method,
      {.first_ranges = ids::first_module_ranges,
       .by_pages = [](ids::Kernel& kernel) { return ids::list_modules(kernel); },
       .by_program =
           [&](ids::Kernel& kernel, std::uint64_t& loading) {
             return list_by_program(session, kernel, *method == ListMethod::kBoth, flags.atomic,
                                    loading);
           }});
  if (!listing) return listing.error();
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  session.output.result() = list_json(listing->list, **kernel);
  print(session.output, listing->list);
  return finish_listing(session, *listing, *method, flags.atomic, "modules", [](const auto& note) {
    return std::string{name(note.kind)} + ": at " + ids::hex_address(note.address.value) + ": " +
           note.text;
  });
}

}  // namespace

void add_modules(CLI::App& app, const Choose& choose) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("modules", "list the modules of the target's kernel");
  command->add_flag("--atomic", flags->atomic,
                    "with the target's vCPUs paused while the program runs");
  command->add_option("--method", flags->method, "program, pages, or both, compared");
  command->callback([flags, choose] {
    choose("modules", [flags](Session& session) { return run(session, *flags); });
  });
}

}  // namespace sevmon::cli
