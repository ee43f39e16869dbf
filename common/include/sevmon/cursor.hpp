// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace sevmon::common {

// wire.h's structures are the layout; on a big-endian machine they would not be.
static_assert(std::endian::native == std::endian::little);

template <typename T>
concept Plain = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> &&
                std::has_unique_object_representations_v<T>;

/// Reads bytes front to back; the one place where a length from outside meets a buffer. A read that
/// would go past the end takes nothing and marks the reader failed; so does every read after it, so
/// that a run of reads needs one check, at its end.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_{bytes} {}

  /// Copy the next sizeof(T) bytes, little-endian. @return zeros when they are not there.
  template <Plain T>
  T take() {
    T value{};
    const auto raw = bytes(sizeof(T));
    if (!raw.empty()) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  /// The next `count` bytes, in place. @return empty when they are not there.
  std::span<const std::byte> bytes(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  bool failed() const { return failed_; }
  /// Nothing failed and nothing is left.
  bool done() const { return !failed_ && rest_.empty(); }
  std::size_t left() const { return failed_ ? 0 : rest_.size(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

/// Writes bytes front to back into a buffer of fixed size, with the reader's rule about failure.
class Writer {
 public:
  explicit Writer(std::span<std::byte> bytes) : rest_{bytes} {}

  template <Plain T>
  void put(const T& value) {
    bytes(std::as_bytes(std::span{&value, 1}));
  }

  void bytes(std::span<const std::byte> source) {
    if (failed_ || source.size() > rest_.size()) {
      failed_ = true;
      return;
    }
    std::ranges::copy(source, rest_.begin());
    rest_ = rest_.subspan(source.size());
  }

  void zeros(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return;
    }
    std::ranges::fill(rest_.first(count), std::byte{0});
    rest_ = rest_.subspan(count);
  }

  bool failed() const { return failed_; }
  bool done() const { return !failed_ && rest_.empty(); }

 private:
  std::span<std::byte> rest_;
  bool failed_ = false;
};

/// For reserved fields and failed reads.
inline bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// View of a structure's or array's bytes.
template <Plain T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span{&value, 1});
}

}  // namespace sevmon::common
