// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sevmon/kernel.hpp>

#include "output.hpp"

namespace sevmon::cli {

/// Which kernel was found, and how it was verified.
Json to_json(const ids::Kernel& kernel);
/// The same in one line.
std::string describe(const ids::Kernel& kernel);

}  // namespace sevmon::cli
