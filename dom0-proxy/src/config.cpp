// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <errno.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <variant>

#include <sevmon/toml.hpp>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using Milliseconds = std::chrono::milliseconds;

constexpr std::int64_t kMaxFrames = 65'536;
constexpr std::int64_t kMinBytes = 1 << 16;  // one frame and its answer
constexpr std::int64_t kMaxBytes = 1LL << 34;
constexpr std::int64_t kMaxMilliseconds = 86'400'000;

// Where a value goes, and with numbers, what it may be.
using Place = std::variant<std::string Settings::*, std::size_t Settings::*, std::size_t Limits::*,
                           Milliseconds Deadlines::*, BackendKind Settings::*, LogLevel Settings::*,
                           std::vector<Endpoint> Settings::*>;
struct Key {
  std::string_view name;
  Place place;
  std::int64_t min = 0;
  std::int64_t max = 0;
};

const std::array kKeys{
    Key{"listen", &Settings::listen},
    Key{"backend", &Settings::backend},
    Key{"xen.helper", &Settings::helper_socket},
    Key{"image.file", &Settings::image_file},
    Key{"image.format", &Settings::image_format},
    Key{"image.key", &Settings::image_key_file},
    Key{"image.lanes", &Settings::image_lanes},
    Key{"image.threads", &Settings::image_threads, 1, 256},
    Key{"limits.connections", &Limits::connections, 1, 65'536},
    Key{"limits.connections_per_source", &Limits::connections_per_source, 1, 65'536},
    Key{"limits.frames_per_connection", &Limits::frames_per_connection, 1, kMaxFrames},
    Key{"limits.frames_unproven", &Limits::frames_unproven, 1, kMaxFrames},
    Key{"limits.bytes_per_connection", &Limits::bytes_per_connection, kMinBytes, kMaxBytes},
    Key{"limits.frames", &Limits::frames, 1, kMaxFrames},
    Key{"limits.bytes", &Limits::bytes, kMinBytes, kMaxBytes},
    Key{"deadlines.idle_ms", &Deadlines::idle, 1, kMaxMilliseconds},
    Key{"deadlines.frame_ms", &Deadlines::frame, 1, kMaxMilliseconds},
    Key{"deadlines.answer_ms", &Deadlines::answer, 1, kMaxMilliseconds},
    Key{"deadlines.write_ms", &Deadlines::write, 1, kMaxMilliseconds},
    Key{"deadlines.drain_ms", &Deadlines::drain, 1, kMaxMilliseconds},
    Key{"log.level", &Settings::log_level},
};

// Reads one TOML value into its place; errors say what is wrong with it, the caller says where.
class Setter {
 public:
  Setter(const toml::node& node, const Key& key, Settings& settings)
      : node_{node}, key_{key}, settings_{settings} {}

  Result<void> operator()(std::string Settings::*place) {
    std::string text;
    if (auto set = set_text(text); !set) return set;
    const bool is_format = place == &Settings::image_format;
    if (is_format && text != "auto" && text != "elf" && text != "lime" && text != "raw")
      return wrong("'" + text + "' is not auto, elf, lime or raw");
    settings_.*place = std::move(text);
    return {};
  }
  Result<void> operator()(std::size_t Settings::*place) { return set_number(settings_.*place); }
  Result<void> operator()(std::size_t Limits::*place) {
    return set_number(settings_.limits.*place);
  }

  Result<void> operator()(Milliseconds Deadlines::*place) {
    std::size_t number = 0;
    if (auto set = set_number(number); !set) return set;
    settings_.deadlines.*place = Milliseconds{number};
    return {};
  }

  Result<void> operator()(BackendKind Settings::*place) {
    std::string name;
    if (auto set = set_text(name); !set) return set;
    if (name != "xen" && name != "image") return wrong("'" + name + "' is not xen or image");
    settings_.*place = name == "xen" ? BackendKind::kXen : BackendKind::kImage;
    return {};
  }

  Result<void> operator()(LogLevel Settings::*place) {
    std::string name;
    if (auto set = set_text(name); !set) return set;
    const auto level = parse_log_level(name);
    if (!level) return wrong("'" + name + "' is not error, warning, info or debug");
    settings_.*place = *level;
    return {};
  }

  Result<void> operator()(std::vector<Endpoint> Settings::*place) {
    const auto* array = node_.as_array();
    if (!array || array->empty()) return wrong("is not a list of \"ADDRESS:PORT\"");
    std::vector<Endpoint> endpoints;
    for (const auto& element : *array) {
      const auto text = element.value_exact<std::string>();
      if (!text) return wrong("is not a list of \"ADDRESS:PORT\"");
      const auto endpoint = parse_endpoint(*text);
      if (!endpoint) return wrong(endpoint.error().detail);
      endpoints.push_back(*endpoint);
    }
    settings_.*place = std::move(endpoints);
    return {};
  }

 private:
  static Error wrong(std::string what) { return Error{ErrorCode::kUsage, std::move(what)}; }

  Result<void> set_text(std::string& place) {
    const auto text = node_.value_exact<std::string>();
    if (!text) return wrong("is not a string");
    if (text->empty()) return wrong("is empty");
    if (text->find('\0') != std::string::npos) return wrong("has a NUL in it");
    place = *text;
    return {};
  }

  Result<void> set_number(std::size_t& place) {
    const auto number = node_.value_exact<std::int64_t>();
    if (!number) return wrong("is not a whole number");
    if (*number < key_.min || *number > key_.max)
      return wrong(std::to_string(*number) + " is not within " + std::to_string(key_.min) + ".." +
                   std::to_string(key_.max));
    place = static_cast<std::size_t>(*number);
    return {};
  }

  const toml::node& node_;
  const Key& key_;
  Settings& settings_;
};

Error at(const std::string& source, const toml::source_position& where, const std::string& what) {
  return Error{ErrorCode::kUsage, source + ":" + std::to_string(where.line) + ": " + what};
}

bool is_section(const std::string& name) {
  return std::ranges::any_of(
      kKeys, [prefix = name + "."](const Key& key) { return key.name.starts_with(prefix); });
}

Result<void> apply_table(const toml::table& table, const std::string& prefix,
                         const std::string& source, Settings& settings) {
  for (const auto& [name, node] : table) {
    const std::string path = prefix + std::string{name.str()};
    const auto key = std::ranges::find(kKeys, path, &Key::name);
    if (name.str().find('.') != std::string_view::npos) {  // "limits.frames" in quotes
      return at(source, name.source().begin, path + ": no such key");
    } else if (key != kKeys.end()) {
      if (auto set = std::visit(Setter{node, *key, settings}, key->place); !set)
        return at(source, node.source().begin, path + ": " + set.error().detail);
    } else if (!is_section(path)) {
      return at(source, name.source().begin, path + ": no such key");
    } else if (!node.is_table()) {
      return at(source, node.source().begin, path + ": is not a table");
    } else if (auto set = apply_table(*node.as_table(), path + ".", source, settings); !set) {
      return set;
    }
  }
  return {};
}

}  // namespace

Result<void> apply_config(std::string_view text, const std::string& source, Settings& settings) {
  const auto parsed = common::parse_toml(text, source);
  if (const auto* error = std::get_if<common::TomlError>(&parsed))
    return Error{ErrorCode::kUsage,
                 source + ":" + std::to_string(error->line) + ": " + error->what};
  return apply_table(std::get<toml::table>(parsed), "", source, settings);
}

Result<void> load_config(const std::string& path, Settings& settings) {
  std::ifstream file{path, std::ios::binary};
  std::ostringstream text;
  if (file) file.peek();  // a directory opens, and only fails when it is read
  if (file) text << file.rdbuf();
  // An empty file makes rdbuf() set the stream's failbit; that is no error.
  if (!file.is_open() || file.bad())
    return Error{ErrorCode::kIo, path + ": " + std::strerror(errno)};
  return apply_config(text.str(), path, settings);
}

Result<void> check_settings(const Settings& settings) {
  const auto wrong = [](const char* what) { return Error{ErrorCode::kUsage, what}; };
  if (settings.backend == BackendKind::kXen && !settings.image_lanes.empty())
    return wrong("lanes are the image backend's: Xen serves its own");
  if (settings.listen.empty() && settings.image_lanes.empty())
    return wrong("nothing to listen on: --listen, or listen in the file");
  if (settings.backend == BackendKind::kImage && settings.image_file.empty())
    return wrong("backend image wants --image, or image.file");
  if (settings.backend == BackendKind::kImage && settings.image_key_file.empty())
    return wrong("backend image wants --key, or image.key");
  const Limits& limits = settings.limits;
  if (limits.connections_per_source > limits.connections)
    return wrong("limits.connections_per_source is over limits.connections");
  if (limits.frames_per_connection > limits.frames)
    return wrong("limits.frames_per_connection is over limits.frames");
  if (limits.bytes_per_connection > limits.bytes)
    return wrong("limits.bytes_per_connection is over limits.bytes");
  return {};
}

}  // namespace sevmon::proxy
