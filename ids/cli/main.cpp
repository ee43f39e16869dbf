// SPDX-License-Identifier: Apache-2.0
// sevmon: arguments, dispatch, exit codes. The only file here that exits.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string_view>

#include <sevmon/heap.hpp>
#include <sevmon/secrets.hpp>

#include "command.hpp"
#include "confinement.hpp"

namespace sevmon::cli {
namespace {

/// Global options as text: an option that was not given leaves the configuration file's value.
struct Globals {
  std::string connect, config, profile, domain, timeout, color, user;
  std::vector<std::string> keys;
  bool json = false, stats = false, verbose = false, development = false;
};

void add_globals(CLI::App& app, Globals& globals) {
  app.add_option("--connect", globals.connect, "the target: tcp:HOST:PORT, shm:FILE or image:FILE");
  app.add_option("--key", globals.keys,
                 "this IDS's key file; given twice: the second if the first fails")
      ->allow_extra_args(false)
      ->expected(1, kMaxKeys);
  app.add_option("--config", globals.config, "configuration file, sevmon.toml(5)");
  app.add_option("--profile", globals.profile, "profile, or directory of profiles");
  app.add_option("--domain", globals.domain, "dom0 (default) or a domain's number");
  app.add_option("--timeout", globals.timeout, "wait that long for each answer: 250ms, 5s");
  app.add_option("--color", globals.color, "auto (default), always or never");
  app.add_option("--user", globals.user, "when root: become that user (nobody) once connected");
  app.add_flag("--json", globals.json, "print one JSON document");
  app.add_flag("--stats", globals.stats, "say how many round trips and bytes it took");
  app.add_flag("--development", globals.development, "status: accept what production must not");
  app.add_flag("-v,--verbose", globals.verbose, "more messages on stderr");
  app.set_version_flag("--version", SEVMON_VERSION);
}

template <typename T, typename Parse>
common::Result<void> set_parsed(std::optional<T>& option, const std::string& text, Parse parse) {
  if (text.empty()) return {};
  auto parsed = parse(text);
  if (!parsed) return parsed.error();
  option = *parsed;
  return {};
}

common::Result<void> take_globals(const Globals& globals, Options& options) {
  const auto set = [](auto& option, const std::string& text) {
    if (!text.empty()) option = text;
  };
  set(options.connect, globals.connect);
  options.keys = globals.keys;
  set(options.config, globals.config);
  set(options.profile, globals.profile);
  set(options.user, globals.user);
  options.json = globals.json;
  options.stats = globals.stats;
  options.verbose = globals.verbose;
  if (globals.development) options.development = true;
  if (auto ok = set_parsed(options.domain, globals.domain, parse_domain); !ok) return ok;
  if (auto ok = set_parsed(options.timeout, globals.timeout, parse_timeout); !ok) return ok;
  if (auto ok = set_parsed(options.color, globals.color, parse_color); !ok) return ok;
  return apply_config(options);
}

int run(int argc, char** argv) {
  CLI::App app{"Monitor a machine through the agent in its hypervisor.", "sevmon"};
  app.require_subcommand(1);
  app.fallthrough();
  app.failure_message(CLI::FailureMessage::simple);
  Session session;
  // Known before anything can fail, so that a usage error is a document too.
  for (int i = 1; i < argc; ++i)
    if (std::string_view{argv[i]} == "--json") session.output.set_json(true);

  Globals globals;
  add_globals(app, globals);
  Run chosen;
  const Choose choose = [&](std::string name, Run command) {
    session.output.set_command(std::move(name));
    chosen = std::move(command);
  };
  add_keygen(app, choose);
  add_revoke(app, choose);
  add_status(app, choose);
  add_profile(app, choose);
  add_program(app, choose);
  add_run(app, choose);
  add_os_version(app, choose);
  add_ps(app, choose);
  add_modules(app, choose);
  add_read(app, choose);
  add_translate(app, choose);
  add_vcpu(app, choose);
  add_watch(app, choose);
  add_check(app, choose);
  add_dump(app, choose);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return session.output.fail({common::ErrorCode::kUsage, error.what()});
  }
  if (auto taken = take_globals(globals, session.options); !taken)
    return session.output.fail(taken.error());
  session.output.set_color(session.options.color.value_or(Color::kAuto));
  if (!ids::lock_secrets() && session.options.verbose)
    session.output.warn("keys are not locked in memory: RLIMIT_MEMLOCK is too low");
  const auto code = chosen(session);
  session.collect_stats();
  return code ? session.output.finish(*code) : session.output.fail(code.error());
}

}  // namespace
}  // namespace sevmon::cli

int main(int argc, char** argv) {
  sevmon::cli::protect_memory();
  sevmon::common::keep_freed_memory(sevmon::common::kIdsHeapBytes);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error to report, not a death
  try {
    return sevmon::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sevmon: internal: %s\n", error.what());
    return sevmon::cli::kExitUnknown;
  }
}
