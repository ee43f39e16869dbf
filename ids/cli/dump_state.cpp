// SPDX-License-Identifier: Apache-2.0
#include "dump_state.hpp"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <optional>

#include "dump/compressor.hpp"
#include "dump/core_file.hpp"
#include "output.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr int kVersion = 1;
constexpr std::size_t kChecksumDigits = 8;
constexpr std::uint64_t kMaxFrame = 1ULL << 40;  // 52 physical address bits

std::string checksum(std::string_view text) {
  char digits[kChecksumDigits + 1];
  const auto crc =
      crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  std::snprintf(digits, sizeof(digits), "%08lx", crc);
  return digits;
}

std::string to_line(const Json& json) {
  const auto text = json.dump();
  return checksum(text) + ' ' + text + '\n';
}

/// What a line holds, if it holds.
std::optional<Json> parse_line(std::string_view line) {
  if (line.size() <= kChecksumDigits || line[kChecksumDigits] != ' ') return std::nullopt;
  const auto text = line.substr(kChecksumDigits + 1);
  if (text.size() > std::numeric_limits<uInt>::max() ||
      line.substr(0, kChecksumDigits) != checksum(text))
    return std::nullopt;
  auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

Json to_json(const std::vector<ids::FrameRun>& runs) {
  Json json = Json::array();
  for (const auto& run : runs) json.push_back({run.first, run.count});
  return json;
}

std::optional<std::uint64_t> number(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

/// Ascending, apart, none empty.
std::optional<std::vector<ids::FrameRun>> runs(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_array()) return std::nullopt;
  std::vector<ids::FrameRun> runs;
  std::uint64_t end = 0;
  for (const auto& pair : *found) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
        !pair[1].is_number_unsigned())
      return std::nullopt;
    const ids::FrameRun run{pair[0].get<std::uint64_t>(), pair[1].get<std::uint64_t>()};
    if (run.count == 0 || run.first < end || run.first >= kMaxFrame ||
        run.count > kMaxFrame - run.first)
      return std::nullopt;
    end = run.first + run.count;
    runs.push_back(run);
  }
  return runs;
}

std::optional<DumpPlan> parse_plan(const Json& json) {
  if (number(json, "sevmon_dump") != kVersion) return std::nullopt;
  const auto domain = number(json, "domain");
  auto frames = runs(json, "frames");
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  const auto flag = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_boolean() && found->get<bool>();
  };
  DumpPlan plan{.format = text("format"),
                .zstd = flag("zstd"),
                .target = text("target"),
                .is_image = flag("image"),
                .domain = 0,
                .frames = {}};
  if (!domain || *domain > 0xffff || !frames || frames->empty() || plan.target.empty() ||
      (plan.format != "elf" && plan.format != "lime"))
    return std::nullopt;
  plan.domain = static_cast<std::uint16_t>(*domain);
  plan.frames = *std::move(frames);
  return plan;
}

std::optional<DumpStep> parse_step(const Json& json) {
  auto read = runs(json, "read");
  auto present = runs(json, "present");
  const auto bytes = number(json, "bytes");
  const auto first_ns = number(json, "first_ns");
  const auto last_ns = number(json, "last_ns");
  if (!read || read->size() != 1 || !present || !bytes || !first_ns || !last_ns)
    return std::nullopt;
  const auto& all = read->front();
  if (!present->empty() && (present->front().first < all.first ||
                            present->back().first + present->back().count > all.first + all.count))
    return std::nullopt;
  return DumpStep{all, *std::move(present), *bytes, *first_ns, *last_ns};
}

/// Steps are in order, and the file only grows.
bool can_follow(const DumpProgress& progress, const DumpStep& step) {
  const auto done = progress.read.runs();
  return step.file_bytes >= progress.file_bytes &&
         (done.empty() || step.read.first >= done.back().first + done.back().count);
}

}  // namespace

std::uint64_t header_bytes(const DumpPlan& plan) {
  if (plan.format != "elf") return 0;
  return plan.zstd ? ids::Compressor::room(ids::kCoreHeaderBytes) : ids::kCoreHeaderBytes;
}

void DumpStep::add_to(DumpProgress& progress) const {
  progress.read.append(read);
  for (const auto& run : present) progress.present.append(run);
  progress.file_bytes = file_bytes;
  progress.first_ns = progress.first_ns == 0 ? first_ns : std::min(progress.first_ns, first_ns);
  progress.last_ns = std::max(progress.last_ns, last_ns);
}

std::string encode(const DumpPlan& plan) {
  return to_line({{"sevmon_dump", kVersion},
                  {"format", plan.format},
                  {"zstd", plan.zstd},
                  {"target", plan.target},
                  {"image", plan.is_image},
                  {"domain", plan.domain},
                  {"frames", to_json(plan.frames)}});
}

std::string encode(const DumpStep& step) {
  return to_line({{"read", to_json({step.read})},
                  {"present", to_json(step.present)},
                  {"bytes", step.file_bytes},
                  {"first_ns", step.first_ns},
                  {"last_ns", step.last_ns}});
}

Result<DumpState> parse_state(std::string_view text) {
  DumpState state;
  bool has_plan = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    if (end == text.npos) break;
    const auto json = parse_line(text.substr(at, end - at));
    if (!json) break;
    if (!has_plan) {
      auto plan = parse_plan(*json);
      if (!plan) break;
      state.plan = *std::move(plan);
      has_plan = true;
    } else {
      const auto step = parse_step(*json);
      if (!step || !can_follow(state.progress, *step)) break;
      step->add_to(state.progress);
    }
    at = end + 1;
    state.state_bytes = at;
  }
  if (!has_plan) return Error{ErrorCode::kMalformed, "no state of a dump that this version knows"};
  return state;
}

Result<void> check_same(const DumpPlan& then, const DumpPlan& now) {
  const auto mismatch = [](const std::string& what) { return Error{ErrorCode::kMismatch, what}; };
  if (then.format != now.format || then.zstd != now.zstd)
    return mismatch("it was begun as " + then.format + (then.zstd ? " with" : " without") +
                    " --zstd");
  if (then.domain != now.domain)
    return mismatch("it was begun for domain " + std::to_string(then.domain));
  if (then.frames != now.frames) return mismatch("it was begun for other ranges");
  if (then.is_image != now.is_image || then.target != now.target)
    return mismatch(then.is_image ? "it is of another memory image"
                                  : "it is of another target, or this one was started anew since");
  return {};
}

}  // namespace sevmon::cli
