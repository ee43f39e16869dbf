// SPDX-License-Identifier: Apache-2.0
//
// What the commands that run programs have in common.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

#include "program_file.hpp"
#include "session.hpp"

namespace sevmon::cli {

/// What a command was given of a program.
struct LoadedProgram {
  ids::ProgramObject object;
  std::vector<std::byte> input;
};

/// PROGRAM and its options.
struct ProgramOptions {
  ProgramFile file;
  std::string input;  // hexadecimal
  std::uint64_t budget = ids::ProgramRunOptions{}.budget;
  double pause_ms = 0;  // 0: not given

  void add_to(CLI::App& command);
  /// Before anything is read that comes from outside: a confined process opens no file.
  common::Result<LoadedProgram> load() const;
  /// With the session's domain and its kernel's root.
  /// @return kUsage: a pause without `atomic`; errors of Session::kernel().
  common::Result<ids::ProgramRunOptions> run_options(Session& session, bool atomic) const;
};

/// Linked for the kernel that runs, and checked as `program verify` does, which is reported.
/// @return kUsage when the check refuses it; errors of Session::kernel() and ProgramObject::link().
common::Result<ids::ProgramImage> link_here(Session& session, const std::string& file,
                                            const ids::ProgramObject& object);

/// Programs as `program list` names them. @return kUsage.
common::Result<std::vector<std::uint64_t>> parse_names(const std::vector<std::string>& texts);

}  // namespace sevmon::cli
