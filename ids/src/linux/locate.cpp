// SPDX-License-Identifier: Apache-2.0
#include "linux/locate.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <sevmon/text.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

constexpr std::uint64_t kPageMask = SEVMON_PAGE_BYTES - 1;
constexpr std::uint32_t kProbeBytes = 64;          // enough of a banner to tell it from chance
constexpr std::size_t kProbesPerExchange = 944;    // 16 requests full of items
constexpr std::uint64_t kScanFrames = 1ULL << 20;  // 4 GiB
// The target chooses how far its frames go; a kernel is looked for in so many, 1 TiB.
constexpr std::uint64_t kProbeFrames = 1ULL << 28;
constexpr std::size_t kScanFramesPerExchange = 480;

sevmon_item item(std::uint8_t type, std::uint64_t address, std::uint16_t bytes = 0) {
  return {.type = type, .zero = 0, .bytes = bytes, .arg = 0, .address = address};
}

/// Reads of a physical range: one per page that it touches.
void append_physical(std::vector<sevmon_item>& items, std::uint64_t gpa, std::uint64_t bytes) {
  while (bytes > 0) {
    const auto part = std::min(bytes, SEVMON_PAGE_BYTES - (gpa & kPageMask));
    items.push_back(item(SEVMON_ITEM_READ_PHYSICAL, gpa, static_cast<std::uint16_t>(part)));
    gpa += part;
    bytes -= part;
  }
}

Root frame_root(std::uint64_t gpa, std::uint8_t levels) {
  return {.kind = Root::Kind::kFrame, .vcpu = 0, .frame = {gpa >> 12}, .levels = levels};
}

/// The flag that says whether the kernel runs with five levels. Newer kernels have only the CPU
/// feature; then both are tried.
std::optional<Gva> five_level_flag(const KernelInfo& info) {
  for (const auto* symbol_name : {"__pgtable_l5_enabled", "pgtable_l5_enabled"})
    if (const auto symbol = info.symbol(symbol_name)) return *symbol;
  return std::nullopt;
}

struct Probe {
  std::uint64_t banner_gpa = 0;
  std::uint64_t root_gpa = 0;
  std::optional<std::uint64_t> flag_gpa;
  std::size_t physical_items = 0;  // that answer for the banner
};

Result<Probe> make_probe(const KernelInfo& info, std::uint64_t load_delta) {
  const auto banner = info.symbol("linux_banner");
  if (!banner) return banner.error();
  const auto root = info.symbol("init_top_pgt");
  if (!root) return root.error();
  Probe probe;
  probe.banner_gpa = banner->value - kKernelMap + load_delta;
  probe.root_gpa = root->value - kKernelMap + load_delta;
  if (const auto flag = five_level_flag(info))
    probe.flag_gpa = flag->value - kKernelMap + load_delta;
  return probe;
}

bool banner_matches(const Answers& answers, std::size_t items, const std::string& banner) {
  std::string found;
  for (std::size_t i = 0; i < items; ++i) {
    if (answers.items[i].status != SEVMON_STATUS_OK) return false;
    const auto bytes = answers.items[i].bytes;
    found.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return found == banner;
}

bool any_set(std::span<const std::byte> bytes) {
  return std::ranges::any_of(bytes, [](std::byte b) { return b != std::byte{0}; });
}

/// Which of `slides` the translations from `first` on confirm.
std::vector<std::uint64_t> confirmed_slides(const Answers& answers, std::size_t first,
                                            std::span<const std::uint64_t> slides,
                                            std::uint64_t banner_gpa) {
  std::vector<std::uint64_t> confirmed;
  for (std::size_t i = 0; i < slides.size(); ++i) {
    const auto& result = answers.items[first + i];
    sevmon_translation translation{};
    if (result.status != SEVMON_STATUS_OK || result.bytes.size() != sizeof(translation)) continue;
    std::memcpy(&translation, result.bytes.data(), sizeof(translation));
    if (translation.frame == banner_gpa >> 12) confirmed.push_back(slides[i]);
  }
  return confirmed;
}

}  // namespace

Result<Answers> ask(Channel& channel, std::span<const Request> requests) {
  auto responses = channel.exchange(requests);
  if (!responses) return responses.error();
  Answers answers{.responses = std::move(*responses), .items = {}};
  for (const auto& response : answers.responses) {
    switch (response.head.status) {
      case SEVMON_ANSWER_OK:
        break;
      case SEVMON_ANSWER_NO_DOMAIN:
        return Error{ErrorCode::kRefused, "the agent has no such domain"};
      case SEVMON_ANSWER_NO_ROOT:
        return Error{ErrorCode::kRefused, "no such vCPU, or it is not in 64-bit paging mode"};
      default:
        return Error{ErrorCode::kRefused, "answer status " + std::to_string(response.head.status)};
    }
    answers.items.insert(answers.items.end(), response.items.begin(), response.items.end());
  }
  return answers;
}

Result<Location> locate_pv(const KernelInfo& info, const sevmon_boot_record& record) {
  const auto entry = info.symbol("startup_xen");
  if (!entry) return entry.error();
  const auto root = info.symbol("init_top_pgt");
  if (!root) return root.error();
  // A PV kernel is neither decompressed by itself nor moved: any difference means that this is not
  // the profile's kernel, whatever its digest says.
  if (record.origin_address != entry->value)
    return Error{ErrorCode::kMismatch,
                 "Xen entered the kernel at " + hex_address(record.origin_address) +
                     ", but startup_xen of " + info.release() + " is " + hex_address(entry->value)};
  const auto frame = record.origin_frame + (root->value >> 12) - (record.origin_address >> 12);
  return Location{.root = frame_root(frame << 12, 4), .slide_bytes = 0};
}

Result<std::uint64_t> pvh_load_delta(const KernelInfo& info, const sevmon_boot_record& record) {
  const auto entry = info.symbol("pvh_start_xen");
  if (!entry) return entry.error();
  const std::uint64_t delta = record.origin_address - (entry->value - kKernelMap);
  if (delta % kKernelAlign != 0)
    return Error{ErrorCode::kMismatch, "Xen entered the kernel at physical " +
                                           hex_address(record.origin_address) +
                                           ", no multiple of 2 MiB from pvh_start_xen of " +
                                           info.release() + ", " + hex_address(entry->value)};
  return delta;
}

Result<Location> assume_location(const KernelInfo& info, std::uint64_t load_delta,
                                 std::uint64_t slide_bytes) {
  const auto probe = make_probe(info, load_delta);
  if (!probe) return probe.error();
  return Location{.root = frame_root(probe->root_gpa, 4), .slide_bytes = slide_bytes};
}

std::vector<std::uint64_t> all_slides() {
  std::vector<std::uint64_t> slides;
  for (std::uint64_t slide = 0; slide < kKernelImageBytes; slide += kKernelAlign)
    slides.push_back(slide);
  return slides;
}

Result<std::optional<Location>> locate_at(Channel& channel, common::DomId domain,
                                          const KernelInfo& info, std::uint64_t load_delta,
                                          std::span<const std::uint64_t> slides) {
  auto probe = make_probe(info, load_delta);
  if (!probe) return probe.error();
  const auto banner = info.symbol("linux_banner");

  std::vector<sevmon_item> physical;
  append_physical(physical, probe->banner_gpa, info.banner().size());
  probe->physical_items = physical.size();
  if (probe->flag_gpa) physical.push_back(item(SEVMON_ITEM_READ_PHYSICAL, *probe->flag_gpa, 4));
  auto requests = pack(domain, Root{}, physical, channel.size_class());

  std::vector<sevmon_item> translations;
  for (const auto slide : slides)
    translations.push_back(item(SEVMON_ITEM_TRANSLATE, banner->value + slide));
  for (const std::uint8_t levels : {4, 5})
    for (auto& request :
         pack(domain, frame_root(probe->root_gpa, levels), translations, channel.size_class()))
      requests.push_back(std::move(request));

  const auto answers = ask(channel, requests);
  if (!answers) return answers.error();
  if (!banner_matches(*answers, probe->physical_items, info.banner())) return {std::nullopt};

  std::vector<Location> locations;
  for (const std::uint8_t levels : {4, 5}) {
    if (probe->flag_gpa && any_set(answers->items[probe->physical_items].bytes) != (levels == 5))
      continue;
    const auto first = physical.size() + (levels == 5 ? slides.size() : 0);
    for (const auto slide : confirmed_slides(*answers, first, slides, probe->banner_gpa))
      locations.push_back({frame_root(probe->root_gpa, levels), slide});
  }
  // Two would mean that someone shaped the table: no guess.
  if (locations.size() != 1) return {std::nullopt};
  return {locations.front()};
}

Result<std::vector<std::uint64_t>> find_load_deltas(Channel& channel, common::DomId domain,
                                                    const KernelInfo& info,
                                                    std::uint64_t target_frames,
                                                    const Progress& progress) {
  const auto banner = info.symbol("linux_banner");
  if (!banner) return banner.error();
  const auto text = info.symbol("_text");
  if (!text) return text.error();

  // The lowest possible place has _text in the first 2 MiB.
  const std::uint64_t lowest = 0 - ((text->value - kKernelMap) & ~(kKernelAlign - 1));
  const std::uint64_t first_gpa = banner->value - kKernelMap + lowest;
  const std::uint64_t end_gpa = std::min(target_frames, kProbeFrames) << 12;
  const auto bytes = static_cast<std::uint16_t>(
      std::min({std::uint64_t{kProbeBytes}, std::uint64_t{info.banner().size()},
                SEVMON_PAGE_BYTES - (first_gpa & kPageMask)}));
  if (bytes == 0) return Error{ErrorCode::kMalformed, "the profile has no banner"};

  std::vector<std::uint64_t> deltas;
  for (std::uint64_t gpa = first_gpa; gpa < end_gpa;) {
    std::vector<sevmon_item> probes;
    const std::uint64_t chunk_gpa = gpa;
    for (; gpa < end_gpa && probes.size() < kProbesPerExchange; gpa += kKernelAlign)
      probes.push_back(item(SEVMON_ITEM_READ_PHYSICAL, gpa, bytes));
    const auto answers = ask(channel, pack(domain, Root{}, probes, channel.size_class()));
    if (!answers) return answers.error();
    for (std::size_t i = 0; i < answers->items.size(); ++i) {
      const auto& result = answers->items[i];
      if (result.status == SEVMON_STATUS_OK && result.bytes.size() == bytes &&
          std::memcmp(result.bytes.data(), info.banner().data(), bytes) == 0)
        deltas.push_back(lowest + (chunk_gpa - first_gpa) + i * kKernelAlign);
    }
    if (progress) progress(std::min(gpa, end_gpa), end_gpa);
  }
  return deltas;
}

std::optional<std::string> find_any_banner(Channel& channel, common::DomId domain,
                                           std::uint64_t target_frames, const Progress& progress) {
  constexpr std::string_view kStart = "Linux version ";
  const auto frames = std::min(target_frames, kScanFrames);
  for (std::uint64_t frame = 0; frame < frames;) {
    std::vector<sevmon_item> pages;
    for (; frame < frames && pages.size() < kScanFramesPerExchange; ++frame)
      pages.push_back(item(SEVMON_ITEM_READ_PHYSICAL, frame << 12, SEVMON_PAGE_BYTES));
    const auto answers = ask(channel, pack(domain, Root{}, pages, channel.size_class()));
    if (!answers) return std::nullopt;
    for (const auto& page : answers->items) {
      const std::string_view text{reinterpret_cast<const char*>(page.bytes.data()),
                                  page.bytes.size()};
      for (auto at = text.find(kStart); at != text.npos; at = text.find(kStart, at + 1)) {
        // A digit follows in a banner, a conversion in printk's formats.
        const auto rest = text.substr(at, 256);
        if (rest.size() <= kStart.size() || rest[kStart.size()] < '0' || rest[kStart.size()] > '9')
          continue;
        return escape(rest.substr(0, rest.find_first_of(std::string_view{"\n\0", 2})));
      }
    }
    if (progress) progress(frame, frames);
  }
  return std::nullopt;
}

}  // namespace sevmon::ids
