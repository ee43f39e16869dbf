// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sevmon/program.hpp>
#include <sevmon/result.hpp>

namespace sevmon::cli {

/// An object, or a source (its name ends in .c) that is compiled first. Before this process is
/// confined. @return errors of compile_program() and ProgramObject::load().
common::Result<ids::ProgramObject> load_program(const std::string& file,
                                                const std::vector<std::string>& includes);

}  // namespace sevmon::cli
