// SPDX-License-Identifier: Apache-2.0
#include <sevmon/os_version.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "kernel_json.hpp"

namespace sevmon::cli {
namespace {

common::Result<int> run(Session& session) {
  const auto kernel = session.kernel(ids::first_os_version_ranges);
  if (!kernel) return kernel.error();
  const auto version = ids::read_os_version(**kernel);
  if (!version) return version.error();

  auto& output = session.output;
  auto& result = output.result();
  const auto field = [&](const char* name, const std::string& value) {
    result[name] = ids::escape(value);
    return ids::escape(value);
  };
  const auto banner = field("banner", version->banner);
  const auto sysname = field("sysname", version->sysname);
  const auto nodename = field("nodename", version->nodename);
  const auto release = field("release", version->release);
  const auto text = field("version", version->version);
  const auto machine = field("machine", version->machine);
  field("domainname", version->domainname);
  result["kernel"] = to_json(**kernel);
  output.line(banner);
  output.line("uname   " + sysname + ' ' + nodename + ' ' + release + ' ' + text + ' ' + machine);
  output.line("kernel  " + describe(**kernel));
  return kExitOk;
}

}  // namespace

void add_os_version(CLI::App& app, const Choose& choose) {
  auto* command = app.add_subcommand("os-version", "print the target's kernel version");
  command->callback([choose] { choose("os-version", run); });
}

}  // namespace sevmon::cli
