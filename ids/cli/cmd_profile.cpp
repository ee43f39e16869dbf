// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>

#include <sevmon/profile.hpp>
#include <sevmon/program.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

/// "6.1.0-56-amd64-0123456789ab.profile": releases repeat, files do not. The release comes out of
/// the file, so it must not lead elsewhere.
std::string file_name(const ids::Profile& profile) {
  std::string name;
  for (const char c : profile.release().substr(0, 100))
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' ||
                    (c == '.' && !name.empty())
                ? c
                : '_';
  return name + '-' + ids::hex(std::span{profile.file_sha256()}).substr(0, 12) + ".profile";
}

Result<std::string> output_path(const Session& session, const std::string& given,
                                const ids::Profile& profile) {
  if (!given.empty()) return given;
  const auto directory = session.options.profile.value_or(default_profile_dir());
  if (directory.empty())
    return Error{ErrorCode::kUsage, "HOME is not set: say where to with -o FILE"};
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Error{ErrorCode::kIo, directory + ": " + error.message()};
  return directory + '/' + file_name(profile);
}

void report(Output& output, const std::string& path, const ids::Profile& profile) {
  const auto sha256 = ids::hex(std::span{profile.file_sha256()});
  output.result() = {{"file", path},
                     {"banner", ids::escape(profile.banner())},
                     {"release", ids::escape(profile.release())},
                     {"build_id", profile.build_id()},
                     {"sha256", sha256},
                     {"kernel_bytes", profile.file_bytes()},
                     {"symbols", profile.symbol_count()},
                     {"types", profile.type_count()}};
  output.line("file      " + path);
  output.line("banner    " + ids::escape(profile.banner()));
  output.line("build id  " + (profile.build_id().empty() ? "none" : profile.build_id()));
  output.line("kernel    SHA-256 " + sha256 + ", " + std::to_string(profile.file_bytes()) +
              " bytes");
  output.line("contents  " + std::to_string(profile.symbol_count()) + " symbols, " +
              std::to_string(profile.type_count()) + " types");
}

Result<int> build(Session& session, const std::string& vmlinuz, const std::string& given_path) {
  const auto profile = ids::Profile::build(vmlinuz);
  if (!profile) return profile.error();
  const auto path = output_path(session, given_path, *profile);
  if (!path) return path.error();
  if (auto saved = profile->save(*path); !saved) return saved.error();
  report(session.output, *path, *profile);
  return kExitOk;
}

Result<int> show(Session& session, const std::string& path) {
  const auto profile = ids::Profile::load(path);
  if (!profile) return profile.error();
  report(session.output, path, *profile);
  return kExitOk;
}

/// The kernel's types as C: on stdout, or into a file.
Result<int> types(Session& session, const std::string& path) {
  if (path.empty() && session.output.json())
    return Error{ErrorCode::kUsage, "with --json, say where to with -o FILE"};
  const auto profiles = session.profiles();
  if (!profiles) return profiles.error();
  const auto* profile = dynamic_cast<const ids::Profile*>(profiles->front());
  if (profiles->size() != 1 || profile == nullptr)
    return Error{ErrorCode::kUsage,
                 std::to_string(profiles->size()) + " profiles: name one with --profile FILE"};
  const auto text = ids::types_as_c(profile->btf());
  if (!text) return text.error();
  if (path.empty()) {
    session.output.raw(*text);
    return kExitOk;
  }
  std::ofstream out{path, std::ios::binary};
  out << *text;
  if (!out.flush()) return Error{ErrorCode::kIo, path + ": cannot be written"};
  session.output.result() = {{"file", path},
                             {"release", ids::escape(profile->release())},
                             {"types", profile->type_count()},
                             {"bytes", text->size()}};
  session.output.line("file      " + path);
  return kExitOk;
}

}  // namespace

void add_profile(CLI::App& app, const Choose& choose) {
  struct Arguments {
    std::string input;
    std::string output;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("profile", "what the IDS knows of a kernel");
  command->require_subcommand(1);
  auto* build_command =
      command->add_subcommand("build", "make a profile from a kernel that you trust");
  build_command->add_option("VMLINUZ", arguments->input, "the kernel's file")->required();
  build_command->add_option("-o,--output", arguments->output,
                            "the profile's file; default: in the profile directory");
  build_command->callback([arguments, choose] {
    choose("profile build", [arguments](Session& session) {
      return build(session, arguments->input, arguments->output);
    });
  });
  auto* show_command = command->add_subcommand("show", "print what a profile is of");
  show_command->add_option("PROFILE", arguments->input, "the profile's file")->required();
  show_command->callback([arguments, choose] {
    choose("profile show",
           [arguments](Session& session) { return show(session, arguments->input); });
  });
  auto* types_command =
      command->add_subcommand("types", "print a kernel's types as a header, vmlinux.h");
  types_command->add_option("-o,--output", arguments->output, "into that file; default: stdout");
  types_command->callback([arguments, choose] {
    choose("profile types",
           [arguments](Session& session) { return types(session, arguments->output); });
  });
}

}  // namespace sevmon::cli
