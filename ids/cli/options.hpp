// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/result.hpp>

namespace sevmon::cli {

enum class Color : std::uint8_t { kAuto, kAlways, kNever };

/// Settings of every command. The command line wins over the configuration file.
inline constexpr std::size_t kMaxKeys = 2;

struct Options {
  std::optional<std::string> connect;  // as parse_target() takes it
  /// In the order in which they are tried; more than one while keys change.
  std::vector<std::string> keys;
  std::optional<std::string> config;  // given on the command line: must exist
  std::optional<std::string> profile;
  std::optional<std::string> user;  // to become when root
  std::optional<std::uint16_t> domain;
  std::optional<std::chrono::milliseconds> timeout;
  std::optional<Color> color;
  std::optional<bool> development;
  bool json = false;
  bool stats = false;
  bool verbose = false;
};

/// Fill what `options` leaves open from `options.config`, or else from the first that exists of
/// $XDG_CONFIG_HOME/sevmon/config.toml (~/.config) and /etc/sevmon/config.toml.
/// @return kUsage naming file and line: an unknown key is an error, or a misspelt one would go
///         unnoticed.
common::Result<void> apply_config(Options& options);

/// "250ms", "5s", "5", "10m", "8h": from 1ms to `max`. `what` it is, for messages. @return kUsage.
common::Result<std::chrono::milliseconds> parse_time(const std::string& text,
                                                     const std::string& what,
                                                     std::chrono::milliseconds max);
/// A time of at most an hour. @return kUsage.
common::Result<std::chrono::milliseconds> parse_timeout(const std::string& text);
/// "auto", "always", "never". @return kUsage.
common::Result<Color> parse_color(const std::string& text);
/// "dom0" or a number below 32752. @return kUsage.
common::Result<std::uint16_t> parse_domain(const std::string& text);

/// $XDG_CACHE_HOME/sevmon/profiles or ~/.cache/sevmon/profiles; empty when neither is known.
std::string default_profile_dir();

}  // namespace sevmon::cli
