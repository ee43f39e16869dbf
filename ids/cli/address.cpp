// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::size_t kMaxSymbolBytes = 512;  // KSYM_NAME_LEN of the longest names there are

Error usage(std::string_view text, std::string_view why) {
  return {ErrorCode::kUsage, '"' + ids::escape(text.substr(0, 80)) + "\": " + std::string{why}};
}

bool is_symbol_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}
bool is_symbol_char(char c) {
  return is_symbol_start(c) || (c >= '0' && c <= '9') || c == '$';
}

/// All of `digits` and nothing else; from_chars alone takes a sign and stops early.
std::optional<std::uint64_t> parse_digits(std::string_view digits, int base) {
  if (digits.empty() || digits.front() == '-' || digits.front() == '+') return std::nullopt;
  std::uint64_t value = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

bool has_hex_prefix(std::string_view text) {
  return text.starts_with("0x");
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (!has_hex_prefix(text)) return parse_digits(text, 10);
  return text.size() > 18 ? std::nullopt : parse_digits(text.substr(2), 16);
}

}  // namespace

Result<Place> parse_place(std::string_view text) {
  if (text.empty()) return usage(text, "an address or a symbol is needed");
  if (has_hex_prefix(text)) {
    const auto address = parse_number(text);
    if (!address) return usage(text, "no address: 0x and 1 to 16 hexadecimal digits");
    return Place{.symbol = {}, .offset = *address};
  }
  if (!is_symbol_start(text.front()))
    return usage(text, "neither an address (0x…) nor the name of a symbol");
  const auto plus = text.find('+');
  const auto symbol = text.substr(0, plus);
  if (symbol.size() > kMaxSymbolBytes || !std::ranges::all_of(symbol, is_symbol_char))
    return usage(text, "no name of a symbol");
  if (plus == text.npos) return Place{.symbol = std::string{symbol}};
  const auto offset = parse_number(text.substr(plus + 1));
  if (!offset) return usage(text, "after + an offset is needed: 16 or 0x10");
  return Place{.symbol = std::string{symbol}, .offset = *offset};
}

Result<std::uint64_t> parse_length(std::string_view text) {
  std::string_view digits = text;
  unsigned shift = 0;
  if (!text.empty() && !has_hex_prefix(text))
    for (const auto& [suffix, bits] : {std::pair{'K', 10U}, {'M', 20U}, {'G', 30U}})
      if (text.back() == suffix) {
        shift = bits;
        digits = text.substr(0, text.size() - 1);
      }
  const auto number = parse_number(digits);
  if (!number) return usage(text, "no length: 16, 0x10, 4K, 2M or 1G");
  if (*number == 0) return usage(text, "a length of 0 reads nothing");
  if (*number > std::numeric_limits<std::uint64_t>::max() >> shift)
    return usage(text, "the length is too large");
  return *number << shift;
}

std::string to_string(const Place& place) {
  if (place.symbol.empty()) return ids::hex_address(place.offset);
  return place.offset == 0 ? place.symbol : place.symbol + '+' + ids::hex_address(place.offset);
}

}  // namespace sevmon::cli
