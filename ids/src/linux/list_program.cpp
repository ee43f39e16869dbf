// SPDX-License-Identifier: Apache-2.0
#include <sevmon/list_program.hpp>

#include <string_view>

#include <sevmon/profile.hpp>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

Result<ProgramImage> ListProgram::link_object(std::span<const std::uint8_t> bytes,
                                              const ProgramTarget& target) {
  const auto object = ProgramObject::parse(std::as_bytes(bytes));
  if (!object) return object.error();
  return object->link(target);
}

Result<ProgramTarget> ListProgram::target_of(const Kernel& kernel) {
  const auto* profile = dynamic_cast<const Profile*>(&kernel.info());
  if (profile == nullptr)
    return Error{ErrorCode::kUnsupported, "no types are known of " + kernel.info().release()};
  return program_target(*profile, [&](std::string_view name) { return kernel.symbol(name); });
}

Result<ProgramRun> ListProgram::run(Channel& channel, std::span<const std::byte> input,
                                    ProgramRunOptions options) {
  options.budget = budget_;
  const auto before = channel.stats().round_trips;
  auto run = Programs{channel}.run(std::as_bytes(std::span{image_.bytes}), input, options);
  if (run && run->was_loaded) loading_round_trips_ += channel.stats().round_trips - before - 1;
  return run;
}

}  // namespace sevmon::ids
