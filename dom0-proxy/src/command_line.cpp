// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <vector>

#include "config.hpp"
#include "process/privileges.hpp"

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// As given: empty means "not given", and then the file's value stays.
struct Flags {
  std::string config;
  std::vector<std::string> listen;
  std::string backend;
  std::string helper;
  std::string image;
  std::string image_format;
  std::string key;
  std::string lanes;
  std::string log_level;
  std::string drop_to;
  bool check_only = false;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", SEVMON_VERSION);
  app.add_option("-c,--config", flags.config, "configuration file, dom0-proxy.toml(5)");
  app.add_flag("--check-config", flags.check_only, "say whether the settings are right, and exit");
  app.add_option("-l,--listen", flags.listen, "ADDRESS:PORT in numbers; may be repeated");
  app.add_option("--backend", flags.backend, "where the agent is: xen (default) or image")
      ->check(CLI::IsMember({"xen", "image"}));
  app.add_option("--helper", flags.helper, "xen: the helper's socket");
  app.add_option("--image", flags.image, "image: the memory image to serve");
  app.add_option("--image-format", flags.image_format, "image: auto (default), elf, lime or raw")
      ->check(CLI::IsMember({"auto", "elf", "lime", "raw"}));
  app.add_option("--key", flags.key, "image: the agent's key file");
  app.add_option("--lanes", flags.lanes, "image: serve lanes of shared memory in this file, too");
  app.add_option("--log-level", flags.log_level, "error, warning, info (default) or debug")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}));
  app.add_option("--drop-to", flags.drop_to, "UID:GID to become before the first connection");
}

void set_if_given(std::string& place, const std::string& flag) {
  if (!flag.empty()) place = flag;
}

Result<CommandLine> combine(const Flags& flags) {
  CommandLine line{.settings = {}, .drop_to = flags.drop_to, .check_only = flags.check_only};
  Settings& settings = line.settings;
  if (!flags.config.empty())
    if (auto loaded = load_config(flags.config, settings); !loaded) return loaded.error();
  if (!flags.listen.empty()) settings.listen.clear();
  for (const auto& text : flags.listen) {
    const auto endpoint = parse_endpoint(text);
    if (!endpoint) return endpoint.error();
    settings.listen.push_back(*endpoint);
  }
  if (!flags.backend.empty())
    settings.backend = flags.backend == "image" ? BackendKind::kImage : BackendKind::kXen;
  set_if_given(settings.helper_socket, flags.helper);
  set_if_given(settings.image_file, flags.image);
  set_if_given(settings.image_format, flags.image_format);
  set_if_given(settings.image_key_file, flags.key);
  set_if_given(settings.image_lanes, flags.lanes);
  if (!flags.log_level.empty()) settings.log_level = *parse_log_level(flags.log_level);
  if (!flags.drop_to.empty() && !parse_user_and_group(flags.drop_to))
    return Error{ErrorCode::kUsage, "--drop-to wants UID:GID, both numbers over 0"};
  if (auto checked = check_settings(settings); !checked) return checked.error();
  return line;
}

}  // namespace

std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv) {
  Flags flags;
  CLI::App app{
      "Relays sealed frames between an IDS and the agent in Xen (or over a memory image).\n",
      "dom0-proxy"};
  add_flags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto line = combine(flags);
  if (line) return *std::move(line);
  std::cerr << "dom0-proxy: " << line.error().message() << '\n';
  return line.error().code == ErrorCode::kUsage ? 2 : 3;
}

}  // namespace sevmon::proxy
