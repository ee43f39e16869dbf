// SPDX-License-Identifier: Apache-2.0
// dom0-proxy-helper: the only process that holds /dev/xen/privcmd.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <string>

#include "helper/sandbox.hpp"
#include "helper/server.hpp"
#include "helper/xen_call.hpp"
#include "process/log.hpp"
#include "process/notify.hpp"
#include "process/privileges.hpp"

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct Options {
  std::string socket = "/run/dom0-proxy/helper.sock";
  long socket_gid = -1;
  std::string drop_to;
  std::string log_level = "info";
  unsigned workers = 4;
};

Result<Descriptor> stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (sigprocmask(SIG_BLOCK, &set, nullptr))
    return Error{ErrorCode::kIo, std::string{"sigprocmask: "} + std::strerror(errno)};
  Descriptor fd{signalfd(-1, &set, SFD_CLOEXEC)};
  if (!fd) return Error{ErrorCode::kIo, std::string{"signalfd: "} + std::strerror(errno)};
  return fd;
}

Result<Descriptor> listener(const Options& options) {
  const auto passed = passed_sockets();
  if (passed.empty()) return listen_seqpacket(options.socket, options.socket_gid);
  int type = 0;
  socklen_t type_bytes = sizeof(type);
  if (passed.size() != 1 || ::getsockopt(passed[0], SOL_SOCKET, SO_TYPE, &type, &type_bytes) ||
      type != SOCK_SEQPACKET)
    return Error{ErrorCode::kUsage, "the service manager shall pass one SOCK_SEQPACKET socket"};
  return Descriptor{passed[0]};
}

void log_probe(int error) {
  if (error == 0) return log(LogLevel::kInfo, "this Xen has an agent");
  if (error == -ENOSYS)
    return log(LogLevel::kWarning, "this Xen does not know the agent's hypercall");
  if (error == -ENODEV) return log(LogLevel::kWarning, "the agent is off; Xen's console says why");
  log(LogLevel::kWarning, std::string{"the agent cannot be called: "} + std::strerror(-error));
}

Result<void> run(const Options& options) {
  const auto stop = stop_signals();
  if (!stop) return stop.error();
  const auto xen = XenCall::open(options.workers);
  if (!xen) return xen.error();
  const auto listen = listener(options);
  if (!listen) return listen.error();
  if (!options.drop_to.empty()) {
    const auto who = parse_user_and_group(options.drop_to);
    if (!who) return Error{ErrorCode::kUsage, "--drop-to wants UID:GID, both numbers over 0"};
    if (auto became = become(*who); !became) return became;
  }
  if (auto forbidden = forbid_new_privileges(); !forbidden) return forbidden;
  if (auto entered = enter_sandbox(); !entered) return entered;
  log_probe((*xen)->probe());
  log(LogLevel::kInfo, "ready, " + std::to_string(options.workers) + " workers");
  notify_manager("READY=1");
  HelperServer server{**xen, options.workers};
  auto served = server.run(listen->get(), stop->get());
  notify_manager("STOPPING=1");
  return served;
}

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Makes SEVmonitor's hypercall for dom0-proxy, and nothing else.\n",
               "dom0-proxy-helper"};
  app.set_version_flag("--version", SEVMON_VERSION);
  app.add_option("--socket", options.socket, "listen on this path, unless the manager passes one")
      ->capture_default_str();
  app.add_option("--socket-gid", options.socket_gid, "group that may connect (number)")
      ->check(CLI::Range(0L, 0xfffffffeL));
  app.add_option("--drop-to", options.drop_to, "UID:GID to become once the device is open");
  app.add_option("--workers", options.workers, "calls at a time")
      ->check(CLI::Range(1U, 64U))
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "error, warning, info or debug")
      ->check([](const std::string& name) {
        return parse_log_level(name) ? std::string{} : "'" + name + "' is no log level";
      })
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  set_log_level(*parse_log_level(options.log_level));
  const auto ran = run(options);
  if (ran) return 0;
  log(LogLevel::kError, ran.error().message());
  return ran.error().code == ErrorCode::kUsage ? 2 : 3;
}

}  // namespace

}  // namespace sevmon::proxy

int main(int argc, char** argv) {
  return sevmon::proxy::main(argc, argv);
}
