// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sevmon/program.hpp>

#include "output.hpp"

namespace sevmon::cli {

/// What `image` is, and what the check found: into the document, and as lines; notes only if
/// wanted.
void report_program(Output& output, const std::string& file, const std::string& release,
                    const ids::ProgramImage& image, const ids::ProgramCheck& check, bool notes);
/// Each instruction below the line of the source that it is of.
void report_listing(Output& output, const ids::ProgramImage& image, const ids::ProgramCheck& check);

}  // namespace sevmon::cli
