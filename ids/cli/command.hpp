// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

#include <sevmon/result.hpp>

#include "output.hpp"
#include "session.hpp"

namespace sevmon::cli {

/// What a subcommand does: fills session.output and says how it ended.
using Run = std::function<common::Result<int>(Session&)>;
/// Called by a subcommand that was chosen.
using Choose = std::function<void(std::string name, Run run)>;

// One per file: each adds its subcommand and options to `app`.
void add_check(CLI::App& app, const Choose& choose);
/// text, below `check`.
void add_check_text(CLI::App& check, const Choose& choose);
void add_dump(CLI::App& app, const Choose& choose);
void add_keygen(CLI::App& app, const Choose& choose);
void add_revoke(CLI::App& app, const Choose& choose);
void add_status(CLI::App& app, const Choose& choose);
void add_program(CLI::App& app, const Choose& choose);
/// run, list and unload, below `program`.
void add_program_run(CLI::App& program, const Choose& choose);
/// schedule, unschedule and results, below `program`.
void add_program_schedule(CLI::App& program, const Choose& choose);
/// `program run` in one word.
void add_run(CLI::App& app, const Choose& choose);
void add_profile(CLI::App& app, const Choose& choose);
void add_modules(CLI::App& app, const Choose& choose);
void add_os_version(CLI::App& app, const Choose& choose);
void add_ps(CLI::App& app, const Choose& choose);
void add_read(CLI::App& app, const Choose& choose);
void add_translate(CLI::App& app, const Choose& choose);
void add_vcpu(CLI::App& app, const Choose& choose);
void add_watch(CLI::App& app, const Choose& choose);

}  // namespace sevmon::cli
