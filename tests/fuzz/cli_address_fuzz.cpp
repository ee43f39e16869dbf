// SPDX-License-Identifier: Apache-2.0
// Target: cli::parse_place, cli::parse_length, cli::parse_target. Properties: what parses prints
// and parses back to the same; no place or length with an unprintable byte parses; messages are
// printable.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "address.hpp"
#include "target.hpp"

namespace {

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// Our own words hold "…" in UTF-8, nothing else above ASCII.
bool is_safe(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto place = sevmon::cli::parse_place(text);
  if (place) {
    if (!is_printable(text)) std::abort();
    const auto again = sevmon::cli::parse_place(sevmon::cli::to_string(*place));
    if (!again || *again != *place) std::abort();
  } else if (!is_safe(place.error().detail)) {
    std::abort();
  }
  const auto length = sevmon::cli::parse_length(text);
  if (length && (*length == 0 || !is_printable(text))) std::abort();
  if (!length && !is_safe(length.error().detail)) std::abort();
  using sevmon::cli::Target;
  const auto target = sevmon::cli::parse_target(text);
  if (!target && !is_safe(target.error().detail)) std::abort();
  if (target && target->kind == Target::Kind::kTcp && target->host.empty()) std::abort();
  if (target && target->kind != Target::Kind::kTcp && !text.ends_with(target->path)) std::abort();
  return 0;
}
