// SPDX-License-Identifier: Apache-2.0
// VMCOREINFO: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst.
#include <charconv>

#include "image/layout.hpp"

namespace sevmon::proxy {

namespace {

template <typename T>
std::optional<T> parse_number(std::string_view text, int base) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void parse_build_id(std::string_view hex, std::array<std::uint8_t, 20>& build_id) {
  std::array<std::uint8_t, 20> bytes{};
  if (hex.size() != 2 * bytes.size()) return;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = parse_number<std::uint8_t>(hex.substr(2 * i, 2), 16);
    if (!byte) return;
    bytes[i] = *byte;
  }
  build_id = bytes;
}

void parse_line(std::string_view line, Vmcoreinfo& info) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return;
  const auto key = line.substr(0, equals);
  const auto value = line.substr(equals + 1);
  if (key == "KERNELOFFSET") info.kernel_offset = parse_number<std::uint64_t>(value, 16);
  if (key == "BUILD-ID") parse_build_id(value, info.build_id);
  if (key == "NUMBER(phys_base)")
    if (const auto base = parse_number<std::int64_t>(value, 10))
      info.phys_base = static_cast<std::uint64_t>(*base);
}

}  // namespace

Vmcoreinfo parse_vmcoreinfo(std::string_view text) {
  Vmcoreinfo info;
  while (!text.empty()) {
    const auto end = text.find('\n');
    parse_line(text.substr(0, end), info);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return info;
}

}  // namespace sevmon::proxy
