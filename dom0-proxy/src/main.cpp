// SPDX-License-Identifier: Apache-2.0
// dom0-proxy: moves frames between TCP connections and a backend. Understands none of them.
#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <memory>

#include "command_line.hpp"
#include "process/notify.hpp"
#include "process/privileges.hpp"
#include "server.hpp"
#include "xen_backend.hpp"
#ifdef SEVMON_WITH_IMAGE
#include "image_backend.hpp"
#endif

#include <sevmon/heap.hpp>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Result<std::shared_ptr<Backend>> make_backend(asio::io_context& io, const Settings& settings) {
  if (settings.backend == BackendKind::kXen)
    return make_xen_backend(io.get_executor(), settings.helper_socket, settings.limits.frames);
#ifdef SEVMON_WITH_IMAGE
  return make_image_backend(settings);
#else
  return Error{ErrorCode::kUsage, "this build has no image backend"};
#endif
}

// Stop once nicely; a second signal ends at once.
asio::awaitable<void> wait_for_signals(asio::signal_set& signals, Server& server) {
  auto [error, number] = co_await signals.async_wait(kTuple);
  if (error) co_return;
  notify_manager("STOPPING=1");
  server.stop();
  auto [again, second] = co_await signals.async_wait(kTuple);
  if (!again) log(LogLevel::kWarning, "second signal: leaving without draining");
  if (!again) static_cast<asio::io_context&>(signals.get_executor().context()).stop();
}

asio::awaitable<void> serve(Server& server, asio::signal_set& signals, Backend& backend) {
  co_await server.run();
  backend.stop();
  signals.cancel();
}

Result<void> run(const CommandLine& line) {
  asio::io_context io{1};
  asio::signal_set signals{io, SIGTERM, SIGINT};
  const auto backend = make_backend(io, line.settings);
  if (!backend) return backend.error();
  const auto server = std::make_shared<Server>(io.get_executor(), line.settings, *backend);
  if (auto listening = server->listen(); !listening) return listening;
  if (!line.drop_to.empty())
    if (auto became = become(*parse_user_and_group(line.drop_to)); !became) return became;
  if (auto forbidden = forbid_new_privileges(); !forbidden) return forbidden;
  for (const auto& endpoint : server->endpoints())
    log(LogLevel::kInfo, "listening on tcp:" + to_text(endpoint));
  log(LogLevel::kInfo, "backend: " + (*backend)->describe());
  asio::co_spawn(io, wait_for_signals(signals, *server), ReportException{"signals"});
  asio::co_spawn(io, serve(*server, signals, **backend), ReportException{"serving"});
  notify_manager("READY=1");
  io.run();
  // Coroutines that a second signal left behind hold references to the server; let them go first.
  (*backend)->stop();
  return {};
}

/// The answers of a few busy IDSs.
constexpr int kHeapBytes = 8 << 20;

int main(int argc, char** argv) {
  common::keep_freed_memory(kHeapBytes);
  const auto parsed = parse_command_line(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& line = std::get<CommandLine>(parsed);
  if (line.check_only) return 0;
  set_log_level(line.settings.log_level);
  const auto ran = run(line);
  if (ran) return 0;
  log(LogLevel::kError, ran.error().message());
  const auto code = ran.error().code;
  return code == ErrorCode::kUsage || code == ErrorCode::kKey ? 2 : 3;
}

}  // namespace

}  // namespace sevmon::proxy

int main(int argc, char** argv) {
  return sevmon::proxy::main(argc, argv);
}
