// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "settings.hpp"

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// Set in `settings` what the TOML text gives; dom0-proxy.toml(5) lists the keys. `source` is the
/// file's name, for messages.
/// @return kUsage: "FILE:LINE: limits.connections: 0 is not within 1..65536".
common::Result<void> apply_config(std::string_view text, const std::string& source,
                                  Settings& settings);

/// apply_config() of a file's content. @return also kIo.
common::Result<void> load_config(const std::string& path, Settings& settings);

/// What must hold of all settings together. @return kUsage.
common::Result<void> check_settings(const Settings& settings);

}  // namespace sevmon::proxy
