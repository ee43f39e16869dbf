// SPDX-License-Identifier: Apache-2.0
#include "dump_report.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <sevmon/wire.h>
#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

using namespace std::chrono_literals;

// In full, the holes of a target that wants many would be longer than its memory.
constexpr std::size_t kMaxHoles = 1000;

std::string duration(double seconds) {
  const auto all = static_cast<std::uint64_t>(seconds + 0.5);
  char text[48];
  if (all >= 3600)
    std::snprintf(text, sizeof(text), "%lluh%02llum", static_cast<unsigned long long>(all / 3600),
                  static_cast<unsigned long long>(all % 3600 / 60));
  else
    std::snprintf(text, sizeof(text), "%llum%02llus", static_cast<unsigned long long>(all / 60),
                  static_cast<unsigned long long>(all % 60));
  return text;
}

}  // namespace

std::string binary_size(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double size = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(kUnits); ++unit) size /= 1024;
  char text[40];
  std::snprintf(text, sizeof(text), "%.*f %s", unit == 0 ? 0 : 1, size, kUnits[unit]);
  return text;
}

DumpMeter::DumpMeter(std::uint64_t done, std::uint64_t total, bool lines)
    : before_{done},
      total_{total},
      bar_{isatty(STDERR_FILENO) == 1},
      lines_{lines && !bar_},
      start_{Clock::now()},
      shown_{start_} {}

DumpMeter::~DumpMeter() {
  if (is_drawn_) std::fprintf(stderr, "\r\033[K");
}

std::string DumpMeter::describe(std::uint64_t done, Clock::time_point now) const {
  const double elapsed = std::max(1e-3, std::chrono::duration<double>(now - start_).count());
  const double rate = static_cast<double>(done - before_) / elapsed;  // frames a second
  const auto percent = total_ == 0 ? 100 : done * 100 / total_;
  std::string text = std::to_string(percent) + "% of " + binary_size(total_ * SEVMON_PAGE_BYTES) +
                     ", " + binary_size(static_cast<std::uint64_t>(rate * SEVMON_PAGE_BYTES)) +
                     "/s";
  if (rate > 0) text += ", " + duration(static_cast<double>(total_ - done) / rate) + " left";
  return text;
}

void DumpMeter::update(std::uint64_t done) {
  const auto now = Clock::now();
  if (lines_ && now - shown_ >= 5s) {
    std::fprintf(stderr, "sevmon: dump: %s\n", describe(done, now).c_str());
    shown_ = now;
  }
  if (!bar_ || now - shown_ < (is_drawn_ ? 200ms : 1000ms)) return;
  constexpr std::uint64_t kWidth = 24;
  const auto filled = total_ == 0 ? kWidth : done * kWidth / total_;
  std::fprintf(stderr, "\rdump [%s%s] %s\033[K", std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '.').c_str(), describe(done, now).c_str());
  std::fflush(stderr);
  is_drawn_ = true;
  shown_ = now;
}

Json describe_dump(const DumpPlan& plan, const DumpProgress& progress) {
  ids::FrameRuns asked;
  for (const auto& run : plan.frames) asked.append(run);
  const auto holes = ids::without(progress.read, progress.present);
  Json list = Json::array();
  for (const auto& run : holes.runs()) {
    if (list.size() == kMaxHoles) break;
    list.push_back({{"address", ids::hex_address(run.first * SEVMON_PAGE_BYTES)},
                    {"bytes", run.count * SEVMON_PAGE_BYTES}});
  }
  return {{"format", plan.format},
          {"zstd", plan.zstd},
          {"domain", plan.domain},
          {plan.is_image ? "image_identity" : "boot_nonce", plan.target},
          {"pages_asked", asked.frames()},
          {"pages_read", progress.read.frames()},
          {"pages_written", progress.present.frames()},
          {"pages_absent", holes.frames()},
          {"segments", progress.present.runs().size()},
          {"first_ns", progress.first_ns},
          {"last_ns", progress.last_ns},
          {"hole_count", holes.runs().size()},
          {"holes", list}};
}

}  // namespace sevmon::cli
