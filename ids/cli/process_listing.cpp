// SPDX-License-Identifier: Apache-2.0
#include "process_listing.hpp"

#include <span>
#include <utility>

#include <sevmon/process_program.hpp>

namespace sevmon::cli {
namespace {

using common::ErrorCode;
using common::Result;
using ids::ProcessMethod;

/// Is it the program that cannot be used, rather than the channel or the target?
bool is_about_program(const common::Error& error) {
  return error.code == ErrorCode::kRefused || error.code == ErrorCode::kUnsupported ||
         error.code == ErrorCode::kNotFound || error.code == ErrorCode::kTooLarge;
}

/// What Xen lists by itself, compared with what requests list meanwhile.
Result<ids::ProcessList> list_standing(Session& session, ids::Kernel& kernel,
                                       const ids::ProcessProgram& program,
                                       const ids::ProcessOptions& by_program) {
  ids::ProgramSchedule schedule;
  schedule.run.domain = session.domain();
  schedule.run.root = kernel.root();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  auto standing = ids::StandingProcesses::start(**channel, program, schedule);
  if (!standing) return standing.error();
  ids::ProcessOptions unasked;
  unasked.run_program = [&](std::span<const std::byte> input) { return standing->next(input); };
  ids::ProcessOptions asked = by_program;
  asked.run_program = [&](std::span<const std::byte> input) {
    standing->restart();
    return by_program.run_program(input);
  };
  return ids::compare_processes(kernel, unasked, asked);
}

Result<ids::ProcessList> list_by_program(Session& session, ids::Kernel& kernel,
                                         const ListingOptions& options, Listing& listing) {
  auto program = ids::ProcessProgram::link(kernel);
  if (!program) return program.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  ids::ProcessOptions by_program;
  by_program.run_program = [&](std::span<const std::byte> input) {
    ids::ProgramRunOptions run;
    run.domain = session.domain();
    run.root = kernel.root();
    if (options.atomic) run.pause = ids::kDefaultPause;
    return program->run(**channel, input, run);
  };
  auto list = options.method == ProcessMethod::kStanding
                  ? list_standing(session, kernel, *program, by_program)
              : options.method == ProcessMethod::kBoth ? ids::compare_processes(kernel, by_program)
                                                       : ids::list_processes(kernel, by_program);
  listing.loading_round_trips = program->loading_round_trips();
  return list;
}

}  // namespace

Result<Listing> list_by_method(Session& session, const ListingOptions& options) {
  const auto kernel = session.kernel(ids::first_process_ranges);
  if (!kernel) return kernel.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto before = (*channel)->stats().round_trips;
  Listing listing;
  const auto finish = [&](ids::ProcessList list) {
    listing.list = std::move(list);
    listing.list_round_trips =
        (*channel)->stats().round_trips - before - listing.loading_round_trips;
    return std::move(listing);
  };
  if (options.method != ProcessMethod::kPages) {
    auto list = list_by_program(session, **kernel, options, listing);
    if (list) return finish(*std::move(list));
    if (!is_about_program(list.error())) return list.error();
    listing.fallback = list.error().message();
    session.output.warn("by pages, not by program: " + *listing.fallback);
  }
  auto list = ids::list_processes(**kernel, {.threads = options.threads});
  if (!list) return list.error();
  return finish(*std::move(list));
}

}  // namespace sevmon::cli
