// SPDX-License-Identifier: Apache-2.0
#include <sevmon/process_program.hpp>

#include <utility>

#include "programs/processes.h"

namespace sevmon::ids {
namespace {

using common::Result;

// In the library, so that no file can be missing or be another.
constexpr std::uint8_t kObject[] = {
#include "programs/processes.inc"
};

}  // namespace

Result<ProcessProgram> ProcessProgram::link(const ProgramTarget& target) {
  auto image = link_object(kObject, target);
  if (!image) return image.error();
  return ProcessProgram{*std::move(image)};
}

Result<ProcessProgram> ProcessProgram::link(const Kernel& kernel) {
  const auto target = target_of(kernel);
  if (!target) return target.error();
  return link(*target);
}

ProcessProgram::ProcessProgram(ProgramImage image)
    : ListProgram{std::move(image), SEVMON_PROCESSES_BUDGET} {}

}  // namespace sevmon::ids
