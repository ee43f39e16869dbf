// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
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

/// Bytes, 16 a line; text only.
void report_bytes(Output& output, std::span<const std::byte> bytes);

}  // namespace sevmon::cli
