// SPDX-License-Identifier: Apache-2.0
#include "listing.hpp"

#include <span>

#include <sevmon/text.hpp>

namespace sevmon::cli {

using common::Error;
using common::ErrorCode;
using common::Result;
using ids::ListMethod;

bool is_about_program(const Error& error) {
  return error.code == ErrorCode::kRefused || error.code == ErrorCode::kUnsupported ||
         error.code == ErrorCode::kNotFound || error.code == ErrorCode::kTooLarge;
}

Result<ids::RunProgram> runner(Session& session, const ids::Kernel& kernel,
                               ids::ListProgram& program, bool atomic) {
  const auto channel = session.channel();
  if (!channel) return channel.error();
  ids::ProgramRunOptions run;
  run.domain = session.domain();
  run.root = kernel.root();
  if (atomic) run.pause = ids::kDefaultPause;
  return ids::RunProgram{[channel = *channel, run, &program](std::span<const std::byte> input) {
    return program.run(*channel, input, run);
  }};
}

Result<ListMethod> parse_method(const std::optional<std::string>& option, bool atomic,
                                std::initializer_list<ListMethod> known) {
  const auto wanted = option.value_or(std::string{ids::name(ListMethod::kProgram)});
  std::string names;
  for (const auto method : known) {
    if (wanted == ids::name(method)) {
      if (atomic && method == ListMethod::kPages)
        return Error{ErrorCode::kUsage, "--atomic: only a program can be"};
      return method;
    }
    const bool is_last = method == *(known.end() - 1);
    names += (names.empty() ? "" : is_last ? " or " : ", ") + std::string{ids::name(method)};
  }
  return Error{ErrorCode::kUsage, "--method " + ids::escape(wanted) + ": " + names};
}

}  // namespace sevmon::cli
