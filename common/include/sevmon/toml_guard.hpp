// SPDX-License-Identifier: MIT
// What to ask of a text before toml++ (3.0 to 3.3) parses it.
#pragma once

#include <cstddef>
#include <string_view>

namespace sevmon::common {

/// The line, from 1, of a table header that does not begin with a key, as "[" and the end of the
/// line; 0: there is none. toml++ ends the program over one, in an assertion, instead of saying so.
/// It takes some characters above ASCII for blanks, so here they are before a header, and in one
/// they are refused: no table of ours has them. (A line of a multi-line string or array that looks
/// like such a header is refused, too: no value of ours has one.)
inline std::size_t find_bad_table_header(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  const auto begins_key = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '"' || c == '\'' || c == ']';  // the last toml++ itself complains of
  };
  for (std::size_t line = 1; !text.empty();) {
    const auto end = text.find_first_of("\n\r\v\f");
    std::string_view rest = text.substr(0, end);
    const std::size_t here = line;
    if (end != std::string_view::npos && text[end] == '\n') ++line;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!rest.empty() && (is_blank(rest[0]) || static_cast<unsigned char>(rest[0]) >= 0x80))
      rest.remove_prefix(1);
    if (!rest.starts_with('[')) continue;
    rest.remove_prefix(rest.starts_with("[[") ? 2 : 1);
    while (!rest.empty() && is_blank(rest[0])) rest.remove_prefix(1);
    if (rest.empty() || !begins_key(rest[0])) return here;
  }
  return 0;
}

}  // namespace sevmon::common
