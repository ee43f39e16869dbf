// SPDX-License-Identifier: MIT
// toml++ (3.0 to 3.3) for texts that anyone may have written. Where it stops the program, in an
// assertion, there is an error here instead; where it has undefined behaviour, it is not asked.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#ifdef NDEBUG
#error "toml++ takes what it asserts for granted when assertions are off"
#endif
#ifdef TOML_ASSERT
#error "include this instead of toml++"
#endif

namespace sevmon::common {
struct TomlAssertion {};
[[noreturn]] inline void toml_asserts() {
  throw TomlAssertion{};
}
}  // namespace sevmon::common

#define TOML_ASSERT(expr) ((expr) ? void() : ::sevmon::common::toml_asserts())
#include <toml++/toml.h>
static_assert(TOML_EXCEPTIONS, "an assertion of toml++ has to get out of it");

namespace sevmon::common {

struct TomlError {
  std::size_t line;  // from 1
  std::string what;  // may hold characters of the text
};

/// The line, from 1, of a byte above ASCII that is not in a comment or in a string of one line,
/// where one may stand; 0: there is none. toml++ asks of such a character whether it is a blank,
/// and that has undefined behaviour for most of them. (In a multi-line string it asks, too, behind
/// a backslash: once one has begun, none is allowed at all.)
inline std::size_t find_loose_character(std::string_view text) {
  std::size_t line = 1;
  char within = 0;  // '#', or the string's quote
  bool string_may_begin = true, multi_line = false, has_key = false;
  std::size_t arrays = 0;
  for (std::size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (static_cast<unsigned char>(c) >= 0x80 && (!within || multi_line)) return line;
    if (c == '\n') ++line;
    if (c == '\n' || c == '\r' || c == '\v' || c == '\f') {
      within = 0;
      string_may_begin = true;
      has_key = false;
    } else if (within) {
      if (c == within && c != '#') within = 0;
      if (within == '"' && c == '\\' && (next == '"' || next == '\\')) ++i;
    } else if (c == '#' || (string_may_begin && (c == '"' || c == '\''))) {
      within = c;
      string_may_begin = false;
      multi_line |= c != '#' && next == c && i + 2 < text.size() && text[i + 2] == c;
    } else if (c == '[' && string_may_begin) {
      ++arrays;  // or a table's name, which ends in the same way
    } else if (c != ' ' && c != '\t') {
      string_may_begin = arrays ? c == ',' : c == '=' && !has_key;
      if (c == '=') has_key = true;
      if (c == ']' && arrays) --arrays;
    }
  }
  return 0;
}

/// Does toml++ end in an assertion?
inline bool asserts(std::string_view text) {
  try {
    static_cast<void>(toml::parse(text));
  } catch (const TomlAssertion&) {
    return true;
  } catch (const toml::parse_error&) {
  }
  return false;
}

/// The first line of `text`, from 1, that such an assertion needs.
inline std::size_t line_of_assertion(std::string_view text) {
  std::size_t line = 1;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', end + 1)) {
    if (asserts(text.substr(0, end + 1))) break;
    ++line;
  }
  return line;
}

/// The text's table, or where and why it is not one. `source`: what positions in it name.
inline std::variant<toml::table, TomlError> parse_toml(std::string_view text,
                                                       const std::string& source) {
  if (const auto line = find_loose_character(text))
    return TomlError{line, "a character that is not ASCII, outside of comments and strings"};
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    return TomlError{error.source().begin.line, std::string{error.description()}};
  } catch (const TomlAssertion&) {
    return TomlError{line_of_assertion(text), "not TOML"};
  }
}

}  // namespace sevmon::common
