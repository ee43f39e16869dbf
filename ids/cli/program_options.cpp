// SPDX-License-Identifier: Apache-2.0
#include "program_options.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "program_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

Result<std::vector<std::byte>> parse_hex(const std::string& text) {
  if (text.size() % 2 != 0)
    return Error{ErrorCode::kUsage, "--input: an odd number of hexadecimal digits"};
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low)
      return Error{ErrorCode::kUsage, "--input: not hexadecimal at " + std::to_string(i)};
    bytes.push_back(static_cast<std::byte>(*high << 4 | *low));
  }
  return bytes;
}

Result<std::uint64_t> parse_name(const std::string& text) {
  std::uint64_t name = 0;
  const bool is_hex = text.starts_with("0x") && text.size() > 2 && text.size() <= 18;
  for (std::size_t i = 2; is_hex && i < text.size(); ++i) {
    const auto digit = hex_digit(text[i]);
    if (!digit) return Error{ErrorCode::kUsage, text + ": not a program's name (0x…)"};
    name = name << 4 | *digit;
  }
  if (!is_hex) return Error{ErrorCode::kUsage, text + ": not a program's name (0x…)"};
  return name;
}

}  // namespace

void ProgramOptions::add_to(CLI::App& command) {
  add_program_file(command, file);
  command.add_option("--input", input, "what it gets, in hexadecimal");
  command
      .add_option("--budget", budget,
                  "instructions that it may cost, helpers included; up to 67108864")
      ->capture_default_str();
  command.add_option("--pause", pause_ms, "pause for up to so many milliseconds (default 50)")
      ->check(CLI::PositiveNumber);
}

Result<LoadedProgram> ProgramOptions::load() const {
  auto bytes = parse_hex(input);
  if (!bytes) return bytes.error();
  auto object = load_program(file);
  if (!object) return object.error();
  return LoadedProgram{*std::move(object), *std::move(bytes)};
}

Result<ids::ProgramRunOptions> ProgramOptions::run_options(Session& session, bool atomic) const {
  if (!atomic && pause_ms != 0)
    return Error{ErrorCode::kUsage, "--pause: only an atomic run pauses"};
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  ids::ProgramRunOptions options{
      .domain = session.domain(), .root = (*kernel)->root(), .budget = budget};
  // What the agent would not take is refused later, with the limits.
  const auto pause = std::chrono::duration<double, std::milli>{std::min(pause_ms, 1e6)};
  if (atomic)
    options.pause = pause_ms == 0 ? ids::kDefaultPause
                                  : std::chrono::duration_cast<std::chrono::microseconds>(pause);
  return options;
}

Result<ids::ProgramImage> link_here(Session& session, const std::string& file,
                                    const ids::ProgramObject& object) {
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  const auto* profile = dynamic_cast<const ids::Profile*>(&(*kernel)->info());
  if (profile == nullptr) return Error{ErrorCode::kInternal, "no profile of the kernel"};
  auto image = object.link(ids::program_target(
      *profile, [&](std::string_view name) { return (*kernel)->symbol(name); }));
  if (!image) return image.error();
  const auto check = ids::check_program(*image);
  report_program(session.output, file, profile->release(), *image, check, session.options.verbose);
  if (!check.passed())
    return Error{ErrorCode::kUsage, file + ": the check refuses it, so it is not sent"};
  return image;
}

Result<std::vector<std::uint64_t>> parse_names(const std::vector<std::string>& texts) {
  std::vector<std::uint64_t> names;
  for (const auto& text : texts) {
    const auto name = parse_name(text);
    if (!name) return name.error();
    names.push_back(*name);
  }
  return names;
}

}  // namespace sevmon::cli
