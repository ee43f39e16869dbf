// SPDX-License-Identifier: MIT
// What to ask of a text before toml++ (3.0 to 3.3) parses it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sevmon::common {

/// What to say of a text instead of having toml++ parse it.
struct TomlRefusal {
  std::size_t line;  // from 1
  const char* why;
};

/// The line, from 1, of a table header that does not begin with a key, as "[" and the end of the
/// line; 0: there is none. toml++ ends the program over one, in an assertion, instead of saying so.
/// (A line of a multi-line string or array that looks like such a header is refused, too: no value
/// of ours has one.)
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
    if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
    while (!rest.empty() && is_blank(rest[0])) rest.remove_prefix(1);
    if (!rest.starts_with('[')) continue;
    rest.remove_prefix(rest.starts_with("[[") ? 2 : 1);
    while (!rest.empty() && is_blank(rest[0])) rest.remove_prefix(1);
    if (rest.empty() || !begins_key(rest[0])) return here;
  }
  return 0;
}

/// The line, from 1, of a byte above ASCII that is not in a comment or in a string of one line; 0:
/// there is none. toml++ asks of such a character whether it is a blank, and that has undefined
/// behaviour for most of them. (In a multi-line string it asks, too, behind a backslash: once one
/// has begun, none is allowed at all.)
inline std::size_t find_loose_character(std::string_view text) {
  std::size_t line = 1;
  char within = 0;  // '#', or the string's quote
  bool multi_line = false;
  for (std::size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const bool ends_line = c == '\n' || c == '\r' || c == '\v' || c == '\f';
    if (static_cast<unsigned char>(c) >= 0x80 && (!within || multi_line)) return line;
    if (c == '\n') ++line;
    if (ends_line || (within != '#' && c == within)) {
      within = 0;
    } else if (within == '"' && c == '\\' && (next == '"' || next == '\\')) {
      ++i;
    } else if (!within && (c == '#' || c == '"' || c == '\'')) {
      within = c;
      multi_line |= c != '#' && next == c && i + 2 < text.size() && text[i + 2] == c;
    }
  }
  return 0;
}

/// To be asked before toml::parse(); the caller names the file.
inline std::optional<TomlRefusal> refuse_toml(std::string_view text) {
  if (const auto line = find_loose_character(text))
    return TomlRefusal{line, "a character that is not ASCII, outside of comments and strings"};
  if (const auto line = find_bad_table_header(text)) return TomlRefusal{line, "not a table's name"};
  return {};
}

}  // namespace sevmon::common
