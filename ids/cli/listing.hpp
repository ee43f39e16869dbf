// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include <sevmon/list_program.hpp>
#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>
#include <sevmon/text.hpp>

#include "session.hpp"

// What commands that list things of the target's kernel have in common: ps, modules.
namespace sevmon::cli {

template <typename List>
struct Listing {
  List list;
  std::optional<std::string> fallback;    // why the list is by pages, when it was not to be
  std::uint64_t loading_round_trips = 0;  // to send the program to the agent
  std::uint64_t list_round_trips = 0;     // of the list itself
};

/// How to list one kind of things.
template <typename List>
struct ListWays {
  Session::FirstRanges first_ranges;
  std::function<common::Result<List>(ids::Kernel&)> by_pages;
  /// By program, alone or compared. Adds to the round trips that sent it.
  std::function<common::Result<List>(ids::Kernel&, std::uint64_t& loading_round_trips)> by_program;
};

/// Is it the program that cannot be used, rather than the channel or the target?
bool is_about_program(const common::Error& error);

/// Runs `program`, which must outlive it, over the session's channel and target. @return errors of
/// the channel.
common::Result<ids::RunProgram> runner(Session& session, const ids::Kernel& kernel,
                                       ids::ListProgram& program, bool atomic);

/// The method of --method, which is program unless it says otherwise.
/// @return kUsage for another than `known`, or for pages that shall be atomic.
common::Result<ids::ListMethod> parse_method(const std::optional<std::string>& option, bool atomic,
                                             std::initializer_list<ids::ListMethod> known);

/// What keeps the program from being used (the agent, or a kernel without what it needs) makes it a
/// list by pages.
template <typename List>
common::Result<Listing<List>> list_by_method(Session& session, ids::ListMethod method,
                                             const ListWays<List>& ways) {
  const auto kernel = session.kernel(ways.first_ranges);
  if (!kernel) return kernel.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto before = (*channel)->stats().round_trips;
  Listing<List> listing;
  const auto finish = [&](List list) {
    listing.list = std::move(list);
    listing.list_round_trips =
        (*channel)->stats().round_trips - before - listing.loading_round_trips;
    return std::move(listing);
  };
  if (method != ids::ListMethod::kPages) {
    auto list = ways.by_program(**kernel, listing.loading_round_trips);
    if (list) return finish(*std::move(list));
    if (!is_about_program(list.error())) return list.error();
    listing.fallback = list.error().message();
    session.output.warn("by pages, not by program: " + *listing.fallback);
  }
  auto list = ways.by_pages(**kernel);
  if (!list) return list.error();
  return finish(*std::move(list));
}

/// How the list was made: "consistency", "passes", "method", "program".
template <typename List>
void put_how(Json& result, const List& list) {
  result["consistency"] = ids::name(list.consistency);
  result["passes"] = list.passes;
  result["method"] = ids::name(list.method);
  result["program"] = nullptr;
  if (list.program.runs > 0)
    result["program"] = {{"runs", list.program.runs},
                         {"cost", list.program.cost},
                         {"slices", list.program.slices},
                         {"run_ns", list.program.run_ns},
                         {"paused_ns", list.program.paused_ns}};
}

/// kExitFindings when something is hidden or the methods differ, also if the list is torn: that
/// somebody tears it on purpose shall not help him. Else kExitUnknown when it is, or when it
/// `is_less` than what was asked for.
template <typename List>
int exit_code_of(const List& list, bool is_less = false) {
  const auto is_finding = [](const auto& note) { return note.kind != decltype(note.kind)::kTear; };
  if (std::ranges::any_of(list.notes, is_finding)) return kExitFindings;
  return is_less || list.consistency == ids::Consistency::kTorn ? kExitUnknown : kExitOk;
}

/// The end of such a command: `result` has what was found; notes and numbers, and its exit code.
/// `things`: "processes". `describe_note`: a note as a line.
template <typename List, typename Describe>
int finish_listing(Session& session, const Listing<List>& listing, ids::ListMethod wanted,
                   bool atomic, const std::string& things, Describe describe_note) {
  const auto& list = listing.list;
  auto& output = session.output;
  output.result()["fallback"] = listing.fallback ? Json(ids::escape(*listing.fallback)) : Json();
  session.command_stats = {{"loading_round_trips", listing.loading_round_trips},
                           {"list_round_trips", listing.list_round_trips}};
  for (const auto& note : list.notes)
    output.line(output.styled(Output::Style::kBad, describe_note(note)));
  if (list.consistency == ids::Consistency::kTorn)
    output.warn("the list is torn after " + std::to_string(list.passes) + " passes: " + things +
                " may be missing or wrong");
  // What was to be compared, or of one instant, was not.
  return exit_code_of(list, listing.fallback && (atomic || wanted != ids::ListMethod::kProgram));
}

}  // namespace sevmon::cli
