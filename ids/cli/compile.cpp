// SPDX-License-Identifier: Apache-2.0
#include "compile.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace sevmon::cli {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

constexpr std::array kCompilers = {"clang",    "clang-14", "clang-15", "clang-16",
                                   "clang-17", "clang-18", "clang-19"};

/// @return the exit status; nothing when there is no such program. kIo.
Result<int> run(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (const auto& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  // Its words are for people: stdout may be a document's.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t child = -1;
  const int error = posix_spawnp(&child, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return Error{ErrorCode::kNotFound, arguments[0]};
  if (error != 0) return Error{ErrorCode::kIo, arguments[0] + ": " + std::strerror(error)};
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return Error{ErrorCode::kIo, std::strerror(errno)};
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<void> compile_program(const std::string& source, const std::string& object,
                             const std::vector<std::string>& includes) {
  if (access(source.c_str(), R_OK) != 0)
    return Error{ErrorCode::kIo, source + ": " + std::strerror(errno)};
  std::vector<std::string> arguments = {"", "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall",
                                        // Names as they were given, not with this directory.
                                        "-fdebug-compilation-dir=."};
  for (const auto& directory : includes) arguments.push_back("-I" + directory);
  const auto own = std::filesystem::path{source}.parent_path();
  arguments.push_back("-I" + (own.empty() ? std::string{"."} : own.string()));
  arguments.push_back("-I" SEVMON_DATA_DIR "/include");
  for (const auto& last : {std::string{"-c"}, source, std::string{"-o"}, object})
    arguments.push_back(last);
  for (const char* compiler : kCompilers) {
    arguments[0] = compiler;
    const auto status = run(arguments);
    if (!status && status.error().code == ErrorCode::kNotFound) continue;
    if (!status) return status.error();
    if (*status == 0) return {};
    return Error{ErrorCode::kMalformed, std::string{compiler} + " does not take " + source +
                                            " (exit code " + std::to_string(*status) + ")"};
  }
  return Error{ErrorCode::kNotFound,
               "no clang here to compile with: install clang, 14 or newer, and libbpf-dev"};
}

}  // namespace sevmon::cli
