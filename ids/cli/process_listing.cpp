// SPDX-License-Identifier: Apache-2.0
#include "process_listing.hpp"

#include <span>
#include <utility>

#include <sevmon/process_program.hpp>

namespace sevmon::cli {
namespace {

using common::Result;
using ids::ListMethod;
using ids::ProcessList;

/// What Xen lists by itself, compared with what requests list meanwhile.
Result<ProcessList> list_standing(Session& session, ids::Kernel& kernel,
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

Result<ProcessList> list_by_program(Session& session, ids::Kernel& kernel,
                                    const ProcessListingOptions& options,
                                    std::uint64_t& loading_round_trips) {
  auto program = ids::ProcessProgram::link(kernel);
  if (!program) return program.error();
  auto run = runner(session, kernel, *program, options.atomic);
  if (!run) return run.error();
  ids::ProcessOptions by_program;
  by_program.run_program = *std::move(run);
  auto list = options.method == ListMethod::kStanding
                  ? list_standing(session, kernel, *program, by_program)
              : options.method == ListMethod::kBoth ? ids::compare_processes(kernel, by_program)
                                                    : ids::list_processes(kernel, by_program);
  loading_round_trips = program->loading_round_trips();
  return list;
}

}  // namespace

Result<Listing<ProcessList>> list_processes(Session& session,
                                            const ProcessListingOptions& options) {
  return list_by_method<ProcessList>(
      session, options.method,
      {.first_ranges = ids::first_process_ranges,
       .by_pages =
           [&](ids::Kernel& kernel) {
             return ids::list_processes(kernel, {.threads = options.threads});
           },
       .by_program =
           [&](ids::Kernel& kernel, std::uint64_t& loading) {
             return list_by_program(session, kernel, options, loading);
           }});
}

}  // namespace sevmon::cli
