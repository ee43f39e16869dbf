// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <sevmon/result.hpp>

#include "options.hpp"

namespace sevmon::cli {

using Json = nlohmann::ordered_json;

constexpr int kExitOk = 0;
constexpr int kExitFindings = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnknown = 3;

/// docs/protocol.md, section 8.
int exit_code(common::ErrorCode code);

/// The one place that writes to stdout and stderr. With --json nothing but one document reaches
/// stdout, whatever happens; docs/json.md describes it.
class Output {
 public:
  void set_json(bool json) { json_ = json; }
  void set_color(Color color);
  void set_command(std::string command) { command_ = std::move(command); }

  /// The document in one line.
  void set_compact(bool compact) { compact_ = compact; }

  bool json() const { return json_; }
  /// What becomes "result" in the document.
  Json& result() { return result_; }
  void set_stats(Json stats) { stats_ = std::move(stats); }

  /// Text for people; nothing with --json. Must already be escaped.
  void line(std::string_view text);
  enum class Style : std::uint8_t { kPlain, kBold, kDim, kGood, kBad };
  /// `text` in colour, if colours are wanted.
  std::string styled(Style style, std::string_view text) const;
  /// Bytes to stdout as they are (read -o -).
  void raw(std::string_view bytes);

  /// "sevmon: warning: …" on stderr, and into the document.
  void warn(std::string text);
  /// The end: the error line, the document. @return the exit code.
  int finish(int code);
  int fail(const common::Error& error);

 private:
  int emit(int code, Json document);

  bool json_ = false;
  bool compact_ = false;
  bool color_ = false;
  std::string command_;
  Json result_ = Json::object();
  Json warnings_ = Json::array();
  Json stats_;
};

/// A bar on stderr for what takes longer than a second; nothing when stderr is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::uint64_t done, std::uint64_t total);

 private:
  std::string label_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace sevmon::cli
