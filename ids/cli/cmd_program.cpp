// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <sevmon/program.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "compile.hpp"
#include "program_file.hpp"
#include "program_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct Arguments {
  ProgramFile file;
  std::string output;
  bool listing = false;
};

/// Without a connection nobody says which kernel runs: there must be one profile.
Result<const ids::Profile*> one_profile(Session& session) {
  const auto profiles = session.profiles();
  if (!profiles) return profiles.error();
  if (profiles->size() != 1)
    return Error{ErrorCode::kUsage,
                 std::to_string(profiles->size()) + " profiles: name one with --profile FILE"};
  return dynamic_cast<const ids::Profile*>(profiles->front());
}

Result<int> build(Session& session, const Arguments& arguments) {
  const auto& [source, includes] = arguments.file;
  if (!source.ends_with(".c")) return Error{ErrorCode::kUsage, source + ": sources end in .c"};
  std::string object = arguments.output;
  if (object.empty()) object = source.substr(0, source.size() - 1) + "o";
  if (auto compiled = compile_program(source, object, includes); !compiled) return compiled.error();
  // What clang takes need not be a program.
  if (const auto parsed = ids::ProgramObject::load(object); !parsed) return parsed.error();
  session.output.result() = {{"file", object}};
  session.output.line("file      " + object);
  return kExitOk;
}

Result<int> verify(Session& session, const Arguments& arguments) {
  const auto profile = one_profile(session);
  if (!profile) return profile.error();
  const auto object = load_program(arguments.file);
  if (!object) return object.error();
  const auto image = object->link(ids::program_target(**profile));
  if (!image) return image.error();
  const auto check = ids::check_program(*image);
  report_program(session.output, arguments.file.name, (*profile)->release(), *image, check,
                 session.options.verbose);
  if (arguments.listing) report_listing(session.output, *image, check);
  return check.passed() ? kExitOk : kExitFindings;
}

}  // namespace

void add_program(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("program", "programs for the agent");
  command->require_subcommand(1);
  add_program_run(*command, choose);
  add_program_schedule(*command, choose);

  auto* build_command = command->add_subcommand("build", "compile a program with clang");
  add_program_file(*build_command, arguments->file, "SOURCE", "NAME.bpf.c");
  build_command->add_option("-o,--output", arguments->output, "the object; default: NAME.bpf.o");
  build_command->callback([arguments, choose] {
    choose("program build", [arguments](Session& session) { return build(session, *arguments); });
  });

  auto* verify_command =
      command->add_subcommand("verify", "link a program for a profile's kernel and check it");
  add_program_file(*verify_command, arguments->file);
  verify_command->add_flag("--listing", arguments->listing, "each instruction with its line");
  verify_command->callback([arguments, choose] {
    choose("program verify", [arguments](Session& session) { return verify(session, *arguments); });
  });
}

}  // namespace sevmon::cli
