// SPDX-License-Identifier: Apache-2.0
#include "output.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

constexpr int kJsonSchema = 1;

/// One line, whatever a path or a parser put into it.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      line += c;
    else
      line += ids::escape(std::string_view{&c, 1});
  }
  return line;
}

}  // namespace

int exit_code(common::ErrorCode code) {
  return code == common::ErrorCode::kUsage || code == common::ErrorCode::kKey ? kExitUsage
                                                                              : kExitUnknown;
}

void Output::set_color(Color color) {
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org
  color_ = color == Color::kAlways ||
           (color == Color::kAuto && (no_color == nullptr || no_color[0] == '\0') &&
            isatty(STDOUT_FILENO) == 1);
}

void Output::line(std::string_view text) {
  if (json_) return;
  raw(text);
  raw("\n");
}

void Output::raw(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

std::string Output::styled(Style style, std::string_view text) const {
  static constexpr std::string_view kCodes[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};
  if (!color_ || style == Style::kPlain) return std::string{text};
  return std::string{kCodes[static_cast<std::size_t>(style)]} + std::string{text} + "\033[0m";
}

void Output::warn(std::string text) {
  text = one_line(text);
  std::fflush(stdout);
  std::fprintf(stderr, "sevmon: warning: %s\n", text.c_str());
  warnings_.push_back(std::move(text));
}

int Output::finish(int code) {
  Json document;
  document["result"] = std::move(result_);
  return emit(code, std::move(document));
}

int Output::fail(const common::Error& error) {
  const auto text = one_line(error.message());
  std::fflush(stdout);
  std::fprintf(stderr, "sevmon: %s\n", text.c_str());
  Json document;
  document["error"] = {{"code", common::name(error.code)}, {"message", one_line(error.detail)}};
  return emit(exit_code(error.code), std::move(document));
}

int Output::emit(int code, Json document) {
  if (!stats_.is_null()) document["stats"] = stats_;
  if (json_) {
    Json envelope = {{"schema", kJsonSchema},
                     {"command", command_},
                     {"exit", code},
                     {"warnings", std::move(warnings_)}};
    envelope.update(document);
    // Nothing that is not UTF-8 should get here; if it does, the document stays valid.
    const auto text = envelope.dump(compact_ ? -1 : 2, ' ', false, Json::error_handler_t::replace);
    raw(text);
    raw("\n");
  } else if (!stats_.is_null()) {
    std::fflush(stdout);
    std::string text;
    for (const auto& [key, value] : stats_.items())
      text += (text.empty() ? "" : ", ") + key + ' ' + value.dump();
    std::replace(text.begin(), text.end(), '_', ' ');
    std::fprintf(stderr, "sevmon: %s\n", text.c_str());
  }
  // A full disk or a closed pipe: what was printed is not what was found.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "sevmon: i/o: standard output cannot be written\n");
    return kExitUnknown;
  }
  return code;
}

ProgressBar::ProgressBar(std::string label)
    : label_{std::move(label)},
      terminal_{isatty(STDERR_FILENO) == 1},
      start_{std::chrono::steady_clock::now()},
      drawn_{start_} {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  using namespace std::chrono_literals;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || total == 0 || now - start_ < 1s || (shown_ && now - drawn_ < 100ms)) return;
  constexpr unsigned kWidth = 40;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<unsigned>(part * kWidth);
  std::fprintf(stderr, "\r%s [%s%s] %3u%%", label_.c_str(), std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '.').c_str(), static_cast<unsigned>(part * 100));
  std::fflush(stderr);
  shown_ = true;
  drawn_ = now;
}

}  // namespace sevmon::cli
