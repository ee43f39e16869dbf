// SPDX-License-Identifier: Apache-2.0
#include "profile/kallsyms_tables.hpp"

#include <algorithm>
#include <vector>

namespace sevmon::ids {

namespace {

constexpr std::size_t kTokens = 256;
constexpr std::size_t kSymbolsPerMarker = 256;
// A name is at least a length and a token, and KSYM_NAME_LEN is 512: twice that leaves room.
constexpr std::size_t kMinNameBytes = 2;
constexpr std::size_t kMaxNameBytes = 1024;
// Work for a real kernel is some 10^5 steps; a table made to mislead must end too.
constexpr std::size_t kMaxSteps = 100'000'000;

/// Is `at` followed by fewer than `alignment` zero bytes and then by `end`?
bool is_padding(ByteSpan bytes, std::size_t at, std::size_t end) {
  constexpr std::size_t kMaxAlignment = 8;
  return at <= end && end - at < kMaxAlignment &&
         std::all_of(bytes.begin() + at, bytes.begin() + end,
                     [](std::byte byte) { return byte == std::byte{0}; });
}

/// The tokens of the table at `at`, checked against the index at `index_at`.
std::optional<TokenTable> read_tokens(const KernelRegion& region, std::size_t at,
                                      std::size_t index_at) {
  TokenTable table{region, at, index_at + kTokens * sizeof(std::uint16_t), {}};
  std::size_t token_at = at;
  for (std::size_t i = 0; i < kTokens; ++i) {
    const auto offset = load_le<std::uint16_t>(region.bytes, index_at + i * sizeof(std::uint16_t));
    if (token_at >= index_at || offset != token_at - at) return std::nullopt;
    const auto* start = reinterpret_cast<const char*>(region.bytes.data()) + token_at;
    const auto* end = static_cast<const char*>(std::memchr(start, 0, index_at - token_at));
    if (end == nullptr) return std::nullopt;
    table.tokens[i] = {start, static_cast<std::size_t>(end - start)};
    token_at += table.tokens[i].size() + 1;
  }
  if (!is_padding(region.bytes, token_at, index_at)) return std::nullopt;
  return table;
}

/// Where token number `count` after the one at `at` starts, within 64 KiB.
std::optional<std::size_t> skip_tokens(ByteSpan bytes, std::size_t at, std::size_t count) {
  const std::size_t end = std::min(bytes.size(), at + (1u << 16));
  for (; count > 0; --count) {
    const void* nul = at < end ? std::memchr(bytes.data() + at, 0, end - at) : nullptr;
    if (nul == nullptr) return std::nullopt;
    at = static_cast<std::size_t>(static_cast<const std::byte*>(nul) - bytes.data()) + 1;
  }
  return at;
}

/// Finds names from markers: candidates for markers backwards from the token table, for each the
/// few places from which that many names can end there, and a walk that has to meet every marker.
class NameSearch {
 public:
  explicit NameSearch(const TokenTable& tokens)
      : tokens_{tokens}, region_{tokens.region}, bytes_{tokens.region.bytes.first(tokens.at)} {}

  std::optional<NameTable> run() {
    const std::size_t skew = align_in(region_, 0, kWord);
    if (bytes_.size() < skew + 2 * kWord) return std::nullopt;
    std::size_t at = skew + (bytes_.size() - skew) / kWord * kWord - 2 * kWord;
    for (;; at -= kWord) {
      if (word(at) == 0)
        if (auto found = try_markers(at)) return found;
      if (at < skew + kWord || steps_ > kMaxSteps) return std::nullopt;
    }
  }

 private:
  static constexpr std::size_t kWord = sizeof(std::uint32_t);

  std::uint32_t word(std::size_t at) const { return load_le<std::uint32_t>(bytes_, at); }

  /// How many words from `at` ascend as markers do.
  std::size_t markers_from(std::size_t at) {
    std::size_t count = 1;
    for (; fits(bytes_.size(), at + count * kWord, kWord); ++count, ++steps_) {
      const std::uint32_t before = word(at + (count - 1) * kWord);
      const std::uint32_t now = word(at + count * kWord);
      if (now < before || now - before < kSymbolsPerMarker * kMinNameBytes ||
          now - before > kSymbolsPerMarker * kMaxNameBytes)
        break;
    }
    return count;
  }

  std::optional<NameTable> try_markers(std::size_t markers_at) {
    const std::size_t most = markers_from(markers_at);
    // What follows the markers can look like one or two more of them.
    constexpr std::size_t kLookalikes = 2;
    for (std::size_t count = most; count >= 2 && count + kLookalikes >= most; --count)
      if (auto found = try_marker_count(markers_at, count)) return found;
    return std::nullopt;
  }

  std::optional<NameTable> try_marker_count(std::size_t markers_at, std::size_t marker_count) {
    const std::size_t last = word(markers_at + (marker_count - 1) * kWord);
    if (last + kMinNameBytes > markers_at) return std::nullopt;
    const std::size_t highest = markers_at - last - kMinNameBytes;
    const std::size_t span = kSymbolsPerMarker * kMaxNameBytes;
    const std::size_t lowest = highest > span ? highest - span : 0;
    for (std::size_t at = align_in(region_, lowest, kWord); at <= highest; at += kWord, ++steps_) {
      // num_syms stands right before the names, or 8 bytes before with padding.
      for (const std::size_t back : {kWord, 2 * kWord}) {
        if (at < back || (back == 2 * kWord && word(at - kWord) != 0)) continue;
        const std::uint32_t count = word(at - back);
        if ((std::uint64_t{count} + kSymbolsPerMarker - 1) / kSymbolsPerMarker != marker_count)
          continue;
        for (const bool has_long_lengths : {true, false}) {
          const NameTable names{at - back, count, at, has_long_lengths, markers_at};
          if (matches(names, marker_count)) return names;
        }
      }
    }
    return std::nullopt;
  }

  bool matches(const NameTable& names, std::size_t marker_count) {
    std::size_t at = names.names_at;
    for (std::uint32_t i = 0; i < names.count; ++i, ++steps_) {
      if (i % kSymbolsPerMarker == 0 &&
          word(names.markers_at + i / kSymbolsPerMarker * kWord) != at - names.names_at)
        return false;
      if (next_name(bytes_.first(names.markers_at), at, names.has_long_lengths).empty())
        return false;
    }
    if (!is_padding(bytes_, at, names.markers_at)) return false;
    // Then the token table, perhaps with seqs_of_names (3 bytes each) in between.
    const std::size_t end = names.markers_at + marker_count * kWord;
    if (is_padding(bytes_, end, tokens_.at)) return true;
    const std::size_t seqs_at = align_in(region_, end, 8);
    return is_padding(bytes_, seqs_at + std::size_t{names.count} * 3, tokens_.at);
  }

  const TokenTable& tokens_;
  const KernelRegion& region_;
  ByteSpan bytes_;  // up to the token table
  std::size_t steps_ = 0;
};

}  // namespace

std::size_t align_in(const KernelRegion& region, std::size_t at, std::size_t alignment) {
  const std::uint64_t address = region.address + at;
  return at + static_cast<std::size_t>(-address & (alignment - 1));
}

ByteSpan next_name(ByteSpan bytes, std::size_t& at, bool has_long_lengths) {
  if (at >= bytes.size()) return {};
  std::size_t length = std::to_integer<std::size_t>(bytes[at++]);
  if (has_long_lengths && length >= 0x80) {
    if (at >= bytes.size()) return {};
    length = (length & 0x7f) | std::to_integer<std::size_t>(bytes[at++]) << 7;
  }
  if (length > kMaxNameBytes || !fits(bytes.size(), at, length)) return {};
  at += length;
  return bytes.subspan(at - length, length);
}

std::optional<TokenTable> find_tokens(const KernelRegion& region) {
  // Digits are in symbols' names, so each is its own token.
  static constexpr std::string_view kDigits{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0", 20};
  const std::string_view text{reinterpret_cast<const char*>(region.bytes.data()),
                              region.bytes.size()};
  for (std::size_t at = text.find(kDigits); at != text.npos; at = text.find(kDigits, at + 1)) {
    const auto end = skip_tokens(region.bytes, at, kTokens - '0');
    if (!end) continue;
    for (const std::size_t alignment : {4, 8}) {
      const std::size_t index_at = align_in(region, *end, alignment);
      if (!fits(region.bytes.size(), index_at, kTokens * sizeof(std::uint16_t))) continue;
      const auto before =
          load_le<std::uint16_t>(region.bytes, index_at + '0' * sizeof(std::uint16_t));
      if (before > at) continue;
      if (auto found = read_tokens(region, at - before, index_at)) return found;
    }
  }
  return std::nullopt;
}

std::optional<NameTable> find_names(const TokenTable& tokens) {
  return NameSearch{tokens}.run();
}

}  // namespace sevmon::ids
