// SPDX-License-Identifier: Apache-2.0
// Target: apply_config(). Property: an error names the source; what is accepted is within the
// limits, and accepted again gives the same.
#include <cstdlib>
#include <string_view>

#include "config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::proxy;
  // TOML's own nesting is bounded by the parser; its time is not worth more than this.
  if (size > 16'384) return 0;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  Settings settings;
  const auto applied = apply_config(text, "fuzz", settings);
  if (!applied) {
    if (!applied.error().detail.starts_with("fuzz:")) std::abort();
    return 0;
  }
  const Limits& limits = settings.limits;
  if (limits.connections < 1 || limits.connections > 65'536 || limits.frames < 1 ||
      limits.bytes < 65'536 || settings.deadlines.drain.count() < 1 ||
      settings.deadlines.drain.count() > 86'400'000 || settings.image_threads < 1)
    std::abort();
  Settings again = settings;
  if (!apply_config(text, "fuzz", again) || again.listen != settings.listen) std::abort();
  return 0;
}
