// SPDX-License-Identifier: Apache-2.0
#include <sevmon/process_program.hpp>

#include <utility>

#include <sevmon/profile.hpp>

#include "programs/processes.h"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// In the library, so that no file can be missing or be another.
constexpr std::uint8_t kObject[] = {
#include "programs/processes.inc"
};

}  // namespace

Result<ProcessProgram> ProcessProgram::link(const ProgramTarget& target) {
  const auto object = ProgramObject::parse(std::as_bytes(std::span{kObject}));
  if (!object) return object.error();
  auto image = object->link(target);
  if (!image) return image.error();
  return ProcessProgram{*std::move(image)};
}

Result<ProcessProgram> ProcessProgram::link(const Kernel& kernel) {
  const auto* profile = dynamic_cast<const Profile*>(&kernel.info());
  if (profile == nullptr)
    return Error{ErrorCode::kUnsupported, "no types are known of " + kernel.info().release()};
  return link(program_target(*profile, [&](std::string_view name) { return kernel.symbol(name); }));
}

Result<ProgramRun> ProcessProgram::run(Channel& channel, std::span<const std::byte> input,
                                       ProgramRunOptions options) {
  options.budget = SEVMON_PROCESSES_BUDGET;
  const auto before = channel.stats().round_trips;
  auto run = Programs{channel}.run(std::as_bytes(std::span{image_.bytes}), input, options);
  if (run && run->was_loaded) loading_round_trips_ += channel.stats().round_trips - before - 1;
  return run;
}

}  // namespace sevmon::ids
