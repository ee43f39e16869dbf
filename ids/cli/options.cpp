// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>

#include <sevmon/wire.h>
#include <sevmon/text.hpp>
#include <sevmon/toml.hpp>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint64_t kMaxConfigBytes = 64 * 1024;
constexpr std::chrono::milliseconds kMaxTimeout = std::chrono::hours{1};
constexpr unsigned kFirstReservedDomain = 0x7ff0;  // DOMID_FIRST_RESERVED of Xen's public xen.h

Error usage(std::string detail) {
  return {ErrorCode::kUsage, std::move(detail)};
}

std::string home_path(const char* xdg_variable, const char* below_home, const char* rest) {
  if (const char* base = std::getenv(xdg_variable); base != nullptr && base[0] == '/')
    return std::string{base} + rest;
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::string{home} + below_home + rest;
  return {};
}

std::string find_config() {
  for (const auto& path : {home_path("XDG_CONFIG_HOME", "/.config", "/sevmon/config.toml"),
                           std::string{"/etc/sevmon/config.toml"}}) {
    std::error_code error;
    if (!path.empty() && std::filesystem::exists(path, error)) return path;
  }
  return {};
}

/// A leading "~/" is what people write in a file that no shell expands.
std::string expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? home + path.substr(1) : path;
}

template <typename T>
void set_default(std::optional<T>& option, T value) {
  if (!option) option = std::move(value);
}

Result<void> take_text(Options& options, std::string_view name, const std::string& value) {
  if (name == "connect") set_default(options.connect, value);
  if (name == "profile") set_default(options.profile, expand_home(value));
  if (name == "user") set_default(options.user, value);
  if (name == "timeout") {
    const auto timeout = parse_timeout(value);
    if (!timeout) return timeout.error();
    set_default(options.timeout, *timeout);
  }
  if (name == "color") {
    const auto color = parse_color(value);
    if (!color) return color.error();
    set_default(options.color, *color);
  }
  if (name == "domain") {
    const auto domain = parse_domain(value);
    if (!domain) return domain.error();
    set_default(options.domain, *domain);
  }
  return {};
}

/// One path, or an array of them.
Result<void> take_keys(Options& options, const toml::node& node) {
  std::vector<std::string> keys;
  if (node.is_string()) keys.push_back(expand_home(node.as_string()->get()));
  if (const auto* array = node.as_array())
    for (const auto& element : *array) {
      if (!element.is_string()) return usage("key must hold strings");
      keys.push_back(expand_home(element.as_string()->get()));
    }
  if (keys.empty() || keys.size() > kMaxKeys)
    return usage("key must be a string or an array of at most " + std::to_string(kMaxKeys));
  if (options.keys.empty()) options.keys = std::move(keys);
  return {};
}

Result<void> take_setting(Options& options, std::string_view name, const toml::node& node) {
  static constexpr std::string_view kTexts[] = {"connect", "profile", "timeout",
                                                "color",   "domain",  "user"};
  if (name == "key") return take_keys(options, node);
  if (name == "development") {
    if (!node.is_boolean()) return usage("development must be true or false");
    set_default(options.development, node.as_boolean()->get());
    return {};
  }
  if (std::find(std::begin(kTexts), std::end(kTexts), name) == std::end(kTexts))
    return usage("unknown setting \"" + ids::escape(name) + '"');
  if (!node.is_string()) return usage(std::string{name} + " must be a string");
  return take_text(options, name, node.as_string()->get());
}

Result<std::string> read_config(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) return usage(path + ": cannot be read");
  std::string text(kMaxConfigBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return usage(path + ": cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxConfigBytes) return usage(path + ": over 64 KiB");
  return text;
}

}  // namespace

Result<void> apply_config(Options& options) {
  const std::string path = options.config.value_or(find_config());
  if (path.empty()) return {};
  const auto text = read_config(path);
  if (!text) return text.error();
  const auto parsed = common::parse_toml(*text, path);
  if (const auto* error = std::get_if<common::TomlError>(&parsed))
    return usage(path + ':' + std::to_string(error->line) + ": " + ids::escape(error->what));
  for (const auto& [key, node] : std::get<toml::table>(parsed))
    if (auto taken = take_setting(options, key.str(), node); !taken)
      return usage(path + ':' + std::to_string(node.source().begin.line) + ": " +
                   taken.error().detail);
  return {};
}

Result<std::chrono::milliseconds> parse_time(const std::string& text, const std::string& what,
                                             std::chrono::milliseconds max) {
  static const std::map<std::string_view, std::uint64_t> kUnits{
      {"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  std::uint64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const auto unit = kUnits.find({stop, static_cast<std::size_t>(end - stop)});
  const auto wrong = what + " \"" + ids::escape(text) + "\": ";
  if (error != std::errc{} || unit == kUnits.end()) return usage(wrong + "250ms, 5s or 5, 2m, 1h");
  const auto most = static_cast<std::uint64_t>(max.count());
  if (number == 0 || number > most / unit->second)
    return usage(wrong + "from 1ms to " + std::to_string(most / 1000) + "s");
  return std::chrono::milliseconds{number * unit->second};
}

Result<std::chrono::milliseconds> parse_timeout(const std::string& text) {
  return parse_time(text, "timeout", kMaxTimeout);
}

Result<Color> parse_color(const std::string& text) {
  static const std::map<std::string_view, Color> kNames{
      {"auto", Color::kAuto}, {"always", Color::kAlways}, {"never", Color::kNever}};
  const auto found = kNames.find(text);
  if (found == kNames.end())
    return usage("color \"" + ids::escape(text) + "\": auto, always or never");
  return found->second;
}

Result<std::uint16_t> parse_domain(const std::string& text) {
  if (text == "dom0") return std::uint16_t{SEVMON_DOMID_DOM0};
  unsigned number = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number >= kFirstReservedDomain)
    return usage("domain \"" + ids::escape(text) + "\": dom0 or a number below 32752");
  return static_cast<std::uint16_t>(number);
}

std::string default_profile_dir() {
  return home_path("XDG_CACHE_HOME", "/.cache", "/sevmon/profiles");
}

}  // namespace sevmon::cli
