// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sevmon::common {

/// Grouped by what the caller does about it; docs/protocol.md has the table from wire status and
/// errno to these and to exit codes.
enum class ErrorCode {
  // The caller's own input: exit 2.
  kUsage,  // a bad argument, address, option
  kKey,    // a key file that cannot be used
  // Outside data that is not what it says it is: report, exit 3.
  kTruncated,    // ends before what it promises
  kTooLarge,     // over a limit
  kMalformed,    // a field that cannot be
  kUnsupported,  // well-formed, but a kind that we do not handle
  kMismatch,     // a profile, hash or identity that does not match
  kNotFound,     // symbol, member, file, or frame
  kNotMapped,    // the agent says: not readable; the detail says why
  kTorn,         // changed while it was read, or a loop, or over a bound
  // The channel: exit 3 and, for watch, an alert.
  kConnect,  // nobody answers, or the stream ended
  kTimeout,  // no valid answer in time
  kForged,   // frames that fail verification
  kRefused,  // the agent or the relay will not
  // Here.
  kIo,        // a local file or system call
  kInternal,  // our own mistake
};

/// "timeout", "not mapped", …: stable, for messages and JSON.
std::string_view name(ErrorCode code);

struct Error {
  ErrorCode code;
  std::string detail;  // what and where, for people; never a secret

  /// "timeout: no answer from 127.0.0.1:7100 within 5 s"
  std::string message() const { return std::string{name(code)} + ": " + detail; }
};

/// A value or an Error; the member names are std::expected's.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_{std::in_place_index<0>, std::move(value)} {}
  Result(Error error) : state_{std::in_place_index<1>, std::move(error)} {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }
  template <typename U>
  T value_or(U&& fallback) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_{std::move(error)} {}

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace sevmon::common
