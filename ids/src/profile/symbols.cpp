// SPDX-License-Identifier: Apache-2.0
#include "profile/symbols.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>
#include <tuple>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

template <typename T>
void append(std::vector<std::byte>& out, const T* items, std::size_t count) {
  const auto* bytes = reinterpret_cast<const std::byte*>(items);
  out.insert(out.end(), bytes, bytes + count * sizeof(T));
}

/// Take `count` items off the front of `bytes`, which the caller has measured.
template <typename Container>
Container take(ByteSpan& bytes, std::size_t count) {
  using Item = typename Container::value_type;
  Container items(count, Item{});
  if (count > 0) std::memcpy(items.data(), bytes.data(), count * sizeof(Item));
  bytes = bytes.subspan(count * sizeof(Item));
  return items;
}

struct Header {
  std::uint32_t count;
  std::uint32_t names_bytes;
};

constexpr std::size_t kBytesPerSymbol = sizeof(std::uint64_t) + sizeof(std::uint32_t) + 1;

}  // namespace

void SymbolTable::add(std::uint64_t address, char type, std::string_view name) {
  assert(addresses_.empty() || addresses_.back() <= address);
  assert(names_.size() + name.size() < std::numeric_limits<std::uint32_t>::max());
  addresses_.push_back(address);
  types_.push_back(type);
  name_starts_.push_back(static_cast<std::uint32_t>(names_.size()));
  names_.append(name).push_back('\0');
}

void SymbolTable::index() {
  by_name_.resize(size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(), [&](std::uint32_t a, std::uint32_t b) {
    const int order = name_of(a).compare(name_of(b));
    return order != 0 ? order < 0 : a < b;
  });
}

std::string_view SymbolTable::name_of(std::size_t i) const {
  const std::size_t end = i + 1 < size() ? name_starts_[i + 1] : names_.size();
  return std::string_view{names_}.substr(name_starts_[i], end - name_starts_[i] - 1);
}

SymbolTable::Entry SymbolTable::entry(std::size_t i) const {
  return {addresses_[i], types_[i], name_of(i)};
}

std::optional<SymbolTable::Entry> SymbolTable::find(std::string_view name) const {
  const auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](std::uint32_t i, std::string_view want) { return name_of(i) < want; });
  if (found == by_name_.end() || name_of(*found) != name) return std::nullopt;
  return entry(*found);
}

std::optional<SymbolTable::Entry> SymbolTable::find_at(std::uint64_t address) const {
  const auto above = std::upper_bound(addresses_.begin(), addresses_.end(), address);
  if (above == addresses_.begin()) return std::nullopt;
  const auto first = std::lower_bound(addresses_.begin(), above, *(above - 1));
  return entry(static_cast<std::size_t>(first - addresses_.begin()));
}

std::vector<std::byte> SymbolTable::encode() const {
  const Header header{static_cast<std::uint32_t>(size()),
                      static_cast<std::uint32_t>(names_.size())};
  std::vector<std::byte> out;
  out.reserve(sizeof header + size() * kBytesPerSymbol + names_.size());
  append(out, &header, 1);
  append(out, addresses_.data(), size());
  append(out, by_name_.data(), size());
  append(out, types_.data(), size());
  append(out, names_.data(), names_.size());
  return out;
}

Result<SymbolTable> SymbolTable::decode(ByteSpan bytes) {
  if (bytes.size() < sizeof(Header))
    return Error{ErrorCode::kTruncated, "symbols: " + std::to_string(bytes.size()) + " bytes"};
  const auto header = load_le<Header>(bytes, 0);
  const std::uint64_t expected_bytes =
      sizeof header + header.count * std::uint64_t{kBytesPerSymbol} + header.names_bytes;
  if (bytes.size() != expected_bytes)
    return Error{bytes.size() < expected_bytes ? ErrorCode::kTruncated : ErrorCode::kMalformed,
                 "symbols: " + std::to_string(bytes.size()) + " bytes, should be " +
                     std::to_string(expected_bytes)};
  bytes = bytes.subspan(sizeof header);

  SymbolTable table;
  table.addresses_ = take<std::vector<std::uint64_t>>(bytes, header.count);
  table.by_name_ = take<std::vector<std::uint32_t>>(bytes, header.count);
  table.types_ = take<std::string>(bytes, header.count);
  table.names_ = take<std::string>(bytes, header.names_bytes);
  table.name_starts_.reserve(header.count);
  for (std::size_t at = 0; at < table.names_.size();) {
    table.name_starts_.push_back(static_cast<std::uint32_t>(at));
    const std::size_t end = table.names_.find('\0', at);
    if (end == std::string::npos)
      return Error{ErrorCode::kMalformed, "symbols: the last name has no end"};
    at = end + 1;
  }
  if (const auto checked = table.check(); !checked) return checked.error();
  return table;
}

Result<void> SymbolTable::check() const {
  if (name_starts_.size() != size())
    return Error{ErrorCode::kMalformed, "symbols: " + std::to_string(size()) + " addresses, " +
                                            std::to_string(name_starts_.size()) + " names"};
  if (!std::is_sorted(addresses_.begin(), addresses_.end()))
    return Error{ErrorCode::kMalformed, "symbols: addresses do not ascend"};
  for (std::size_t i = 0; i < size(); ++i) {
    if (by_name_[i] >= size())
      return Error{ErrorCode::kMalformed, "symbols: index entry " + std::to_string(i)};
    // Strictly ascending, so no symbol is in the index twice or missing.
    if (i > 0 && std::make_tuple(name_of(by_name_[i - 1]), by_name_[i - 1]) >=
                     std::make_tuple(name_of(by_name_[i]), by_name_[i]))
      return Error{ErrorCode::kMalformed,
                   "symbols: index entry " + std::to_string(i) + " is out of order"};
  }
  return {};
}

}  // namespace sevmon::ids
