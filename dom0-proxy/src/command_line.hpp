// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>

#include "settings.hpp"

namespace sevmon::proxy {

struct CommandLine {
  Settings settings;
  std::string drop_to;      // "UID:GID", or empty
  bool check_only = false;  // --check-config
};

/// The program's arguments over the configuration file that they name. Prints help, version, and
/// what is wrong.
/// @return what to run with, or the exit code.
std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv);

}  // namespace sevmon::proxy
