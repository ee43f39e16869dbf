// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include <sevmon/program.hpp>
#include <sevmon/result.hpp>

namespace sevmon::cli {

/// What a command line says of a program.
struct ProgramFile {
  std::string name;                   // NAME.bpf.c or NAME.bpf.o
  std::vector<std::string> includes;  // where its headers are, besides our own
};

/// @param name of the argument, as PROGRAM. @param help which files it may be.
void add_program_file(CLI::App& command, ProgramFile& file, const std::string& name = "PROGRAM",
                      const std::string& help = "NAME.bpf.c or NAME.bpf.o");

/// An object, or a source (its name ends in .c) that is compiled first. Before this process is
/// confined. @return errors of compile_program() and ProgramObject::load().
common::Result<ids::ProgramObject> load_program(const ProgramFile& file);

}  // namespace sevmon::cli
