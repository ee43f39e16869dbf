// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <sevmon/processes.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "process_json.hpp"
#include "process_listing.hpp"

namespace sevmon::cli {
namespace {

using ids::Process;
using ids::ProcessList;

std::string format_start(std::uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof(text), "%llu.%02llu",
                static_cast<unsigned long long>(ns / 1'000'000'000),
                static_cast<unsigned long long>(ns / 10'000'000 % 100));
  return text;
}

/// Kernel threads in brackets, as ps(1) shows what has no command line.
std::string shown_name(const Process& process) {
  const auto escaped = ids::escape(process.name);
  return process.kernel_thread ? '[' + escaped + ']' : escaped;
}

/// What the notes say of.
std::set<std::uint64_t> hidden_in(const ProcessList& list) {
  std::set<std::uint64_t> hidden;
  for (const auto& note : list.notes)
    if (note.kind == ids::ProcessNote::Kind::kHiddenFromPids ||
        note.kind == ids::ProcessNote::Kind::kHiddenFromTasks)
      hidden.insert(note.address.value);
  return hidden;
}

void print_row(Output& output, const Process& process, bool hidden, const std::string& indent) {
  char row[96];
  std::snprintf(row, sizeof(row), "%7d %7d %6s %c %11s ", process.pid, process.ppid,
                process.uid ? std::to_string(*process.uid).c_str() : "?", process.state,
                format_start(process.start_ns).c_str());
  const auto label = shown_name(process);
  const auto style = hidden                  ? Output::Style::kBad
                     : process.kernel_thread ? Output::Style::kDim
                                             : Output::Style::kPlain;
  output.line(row + indent + output.styled(style, label) + (hidden ? "  <- hidden" : ""));
}

/// Parents before children. Whatever parents the target claims, each process comes out once.
class Tree {
 public:
  explicit Tree(const ProcessList& list) : list_{list}, hidden_{hidden_in(list)} {
    std::set<std::int32_t> known;
    for (const auto& process : list.processes) known.insert(process.pid);
    for (const auto& process : list.processes)
      children_[known.contains(process.ppid) ? process.ppid : 0].push_back(&process);
  }

  void print(Output& output) {
    print_below(output, 0);
    for (const auto& process : list_.processes)  // who is its own ancestor hangs nowhere
      if (!printed_.contains(&process)) print_from(output, process, 0);
  }

 private:
  void print_below(Output& output, std::int32_t pid) {
    for (const auto* child : children_[pid])
      if (!printed_.contains(child)) print_from(output, *child, 0);
  }

  /// With a stack of its own: the target shapes the depth.
  void print_from(Output& output, const Process& top, unsigned top_depth) {
    constexpr unsigned kMaxIndent = 40;
    std::vector<std::pair<const Process*, unsigned>> stack{{&top, top_depth}};
    while (!stack.empty()) {
      const auto [process, depth] = stack.back();
      stack.pop_back();
      if (!printed_.insert(process).second) continue;
      print_row(output, *process, hidden_.contains(process->task.value),
                depth == 0 ? "" : std::string(2 * std::min(depth - 1, kMaxIndent), ' ') + "\\_ ");
      const auto found = children_.find(process->pid);
      if (process->pid == 0 || found == children_.end()) continue;
      for (auto child = found->second.rbegin(); child != found->second.rend(); ++child)
        stack.emplace_back(*child, depth + 1);
    }
  }

  const ProcessList& list_;
  const std::set<std::uint64_t> hidden_;
  std::map<std::int32_t, std::vector<const Process*>> children_;
  std::set<const Process*> printed_;
};

void print(Output& output, const ProcessList& list, bool tree) {
  output.line(output.styled(Output::Style::kBold, "    PID    PPID    UID S       START NAME"));
  if (tree) return Tree{list}.print(output);
  const auto hidden = hidden_in(list);
  for (const auto& process : list.processes)
    print_row(output, process, hidden.contains(process.task.value), "");
}

struct Flags {
  bool tree = false;
  bool threads = false;
  bool atomic = false;
  std::optional<std::string> method;
};

common::Result<ids::ListMethod> method_of(const Flags& flags) {
  using ids::ListMethod;
  if (!flags.threads)
    return parse_method(
        flags.method, flags.atomic,
        {ListMethod::kProgram, ListMethod::kPages, ListMethod::kBoth, ListMethod::kStanding});
  if (flags.method && *flags.method != ids::name(ListMethod::kPages))
    return common::Error{common::ErrorCode::kUsage, "--threads: threads are listed by pages"};
  if (flags.atomic)
    return common::Error{common::ErrorCode::kUsage, "--atomic: only a program can be"};
  return ListMethod::kPages;
}

common::Result<int> run(Session& session, const Flags& flags) {
  const auto method = method_of(flags);
  if (!method) return method.error();
  const auto listing = list_processes(
      session, {.method = *method, .threads = flags.threads, .atomic = flags.atomic});
  if (!listing) return listing.error();
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  session.output.result() = to_json(listing->list, **kernel);
  print(session.output, listing->list, flags.tree);
  return finish_listing(session, *listing, *method, flags.atomic, "processes",
                        [](const auto& note) { return describe(note); });
}

}  // namespace

void add_ps(CLI::App& app, const Choose& choose) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("ps", "list the target's processes");
  command->add_flag("--tree", flags->tree, "children below their parents");
  command->add_flag("--threads", flags->threads, "every thread, not only processes");
  command->add_flag("--atomic", flags->atomic,
                    "with the target's vCPUs paused while the program runs");
  command->add_option(
      "--method", flags->method,
      "program (unless for threads), pages, both, compared, or standing: by Xen itself,\n"
      "compared with requests");
  command->callback([flags, choose] {
    choose("ps", [flags](Session& session) { return run(session, *flags); });
  });
}

}  // namespace sevmon::cli
