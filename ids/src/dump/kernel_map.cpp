// SPDX-License-Identifier: Apache-2.0
#include "dump/kernel_map.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include <sevmon/text.hpp>

#include "linux/locate.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

constexpr std::uint64_t kPage = SEVMON_PAGE_BYTES;
// VMCOREINFO_BYTES is a page (include/linux/crash_core.h).
constexpr std::uint64_t kMaxVmcoreinfoBytes = 16 * 1024;
constexpr std::uint64_t kMaxTextBytes = kKernelImageBytes;
// "direct mapping of all physical memory", 64 TiB with four levels; where it begins without
// CONFIG_DYNAMIC_MEMORY_LAYOUT (Documentation/arch/x86/x86_64/mm.rst).
constexpr std::uint64_t kDirectMapBytes = 1ULL << 46;
constexpr std::uint64_t kDefaultPageOffset = 0xffff888000000000;
constexpr std::uint64_t kLowestPageOffset = 0xff00000000000000;
constexpr std::uint64_t kDirectMapAlign = 1ULL << 30;  // a PUD's (arch/x86/mm/kaslr.c)
// P2M_ENTRY of arch/x86/include/asm/xen/page.h: the highest two bits are flags.
constexpr std::uint64_t kP2mFlags = 3ULL << 62;
constexpr std::uint64_t kMaxP2mEntries = 1ULL << 28;  // 1 TiB of memory
constexpr std::uint64_t kP2mEntriesAtOnce = 1ULL << 20;
constexpr std::uint32_t kMaxVcpus = 512;  // their notes have to fit into a core's header

/// What only concerns the target's memory is a lack; the rest ends the dump.
bool is_lack(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kNotMapped:
    case ErrorCode::kMalformed:
    case ErrorCode::kTooLarge:
    case ErrorCode::kTorn:
    case ErrorCode::kMismatch:
      return true;
    default:
      return false;
  }
}

class MapReader {
 public:
  MapReader(Channel& channel, common::DomId domain, Kernel& kernel)
      : channel_{channel}, domain_{domain}, kernel_{kernel}, memory_{kernel.next_epoch()} {}

  Result<std::vector<std::byte>> vmcoreinfo();
  Result<std::vector<Mapping>> text();
  Result<std::vector<Mapping>> direct();

 private:
  Result<std::uint64_t> variable(const char* name);
  /// Frames of `pages` pages from `first` on; none where nothing is mapped.
  Result<std::vector<std::optional<std::uint64_t>>> translate(Gva first, std::uint64_t pages);
  Result<void> check(const Mapping& mapping);
  Result<std::vector<Mapping>> by_p2m(std::uint64_t page_offset);
  Result<std::vector<std::byte>> read_p2m(Gva table, std::uint64_t entries);

  Channel& channel_;
  const common::DomId domain_;
  Kernel& kernel_;
  std::unique_ptr<Memory> memory_;
};

Result<std::uint64_t> MapReader::variable(const char* name) {
  const auto address = kernel_.symbol(name);
  if (!address) return address.error();
  return memory_->read_uint(*address, 8);
}

Result<std::vector<std::byte>> MapReader::vmcoreinfo() {
  const auto data = variable("vmcoreinfo_data");
  if (!data) return data.error();
  const auto bytes = variable("vmcoreinfo_size");
  if (!bytes) return bytes.error();
  if (*bytes == 0 || *bytes > kMaxVmcoreinfoBytes)
    return Error{ErrorCode::kTooLarge, "a size of " + std::to_string(*bytes) + " bytes"};
  auto text = memory_->read({Gva{*data}, static_cast<std::uint32_t>(*bytes)});
  if (!text) return text;
  const auto is_text = [](std::byte byte) {
    const auto c = std::to_integer<char>(byte);
    return c == '\n' || (c >= ' ' && c <= '~');
  };
  if (!std::ranges::all_of(*text, is_text)) return Error{ErrorCode::kMalformed, "no text"};
  return text;
}

Result<std::vector<std::optional<std::uint64_t>>> MapReader::translate(Gva first,
                                                                       std::uint64_t pages) {
  std::vector<sevmon_item> items;
  for (std::uint64_t i = 0; i < pages; ++i)
    items.push_back({.type = SEVMON_ITEM_TRANSLATE,
                     .zero = 0,
                     .bytes = 0,
                     .arg = 0,
                     .address = first.value + i * kPage});
  const auto answers = ask(channel_, pack(domain_, kernel_.root(), items, channel_.size_class()));
  if (!answers) return answers.error();
  std::vector<std::optional<std::uint64_t>> frames;
  for (const auto& item : answers->items) {
    sevmon_translation translation{};
    const bool is_there =
        item.status == SEVMON_STATUS_OK && item.bytes.size() == sizeof(translation);
    if (is_there) std::memcpy(&translation, item.bytes.data(), sizeof(translation));
    frames.push_back(is_there ? std::optional{translation.frame} : std::nullopt);
  }
  return frames;
}

void append(std::vector<Mapping>& mappings, const Mapping& next) {
  if (!mappings.empty() && mappings.back().gva + mappings.back().bytes == next.gva &&
      mappings.back().gpa + mappings.back().bytes == next.gpa)
    mappings.back().bytes += next.bytes;
  else
    mappings.push_back(next);
}

Result<std::vector<Mapping>> MapReader::text() {
  const auto begin = kernel_.symbol("_text");
  if (!begin) return begin.error();
  const auto end = kernel_.symbol("_end");
  if (!end) return end.error();
  if (end->value <= begin->value || end->value - begin->value > kMaxTextBytes)
    return Error{ErrorCode::kMalformed, "_text and _end of the profile"};
  std::vector<Mapping> text;
  constexpr std::uint64_t kAtOnce = 4096;
  const auto pages = (end->value - begin->value + kPage - 1) / kPage;
  for (std::uint64_t at = 0; at < pages; at += kAtOnce) {
    const auto first = *begin + at * kPage;
    const auto frames = translate(first, std::min(kAtOnce, pages - at));
    if (!frames) return frames.error();
    for (std::size_t i = 0; i < frames->size(); ++i)
      if ((*frames)[i]) append(text, {first.value + i * kPage, *(*frames)[i] * kPage, kPage});
  }
  std::ranges::sort(text, {}, &Mapping::gpa);
  if (text.empty()) return Error{ErrorCode::kNotMapped, "none of it"};
  return text;
}

/// Is its first page where the kernel's table has it?
Result<void> MapReader::check(const Mapping& mapping) {
  const auto frames = translate(Gva{mapping.gva}, 1);
  if (!frames) return frames.error();
  if (frames->front() != mapping.gpa / kPage)
    return Error{ErrorCode::kMismatch,
                 "the kernel's page table does not have it at " + hex_address(mapping.gva)};
  return {};
}

Result<std::vector<Mapping>> MapReader::direct() {
  auto page_offset = kDefaultPageOffset;
  if (kernel_.info().has_symbol("page_offset_base")) {
    const auto value = variable("page_offset_base");
    if (!value) return value.error();
    page_offset = *value;
  }
  if (page_offset % kDirectMapAlign != 0 || page_offset < kLowestPageOffset ||
      page_offset > kKernelMap - kDirectMapBytes)
    return Error{ErrorCode::kMalformed, "page_offset_base is " + hex_address(page_offset)};
  if (kernel_.facts().status.target_kind == SEVMON_TARGET_PV) return by_p2m(page_offset);

  // Where the kernel's image is there is memory, so the direct map has to have it.
  const auto banner = kernel_.symbol("linux_banner");
  if (!banner) return banner.error();
  const auto frames = translate(*banner, 1);
  if (!frames) return frames.error();
  if (!frames->front()) return Error{ErrorCode::kNotMapped, "linux_banner"};
  const auto gpa = *frames->front() * kPage;
  if (gpa < kDirectMapBytes) {
    // A PV kernel's memory image has machine frames, too: then this is the place that tells.
    if (auto ok = check({page_offset + gpa, gpa, kPage}); !ok) {
      if (!is_lack(ok.error()) || !kernel_.info().has_symbol("xen_p2m_addr")) return ok.error();
      return by_p2m(page_offset);
    }
  }
  return std::vector{Mapping{page_offset, 0, kDirectMapBytes}};
}

Result<std::vector<std::byte>> MapReader::read_p2m(Gva table, std::uint64_t entries) {
  // In an epoch of its own each time: what was read is not kept.
  return kernel_.next_epoch()->read({table, static_cast<std::uint32_t>(entries * 8)});
}

/// A PV kernel's physical memory is not the machine's, which its page tables hold: its own table
/// says which of its frames is where.
Result<std::vector<Mapping>> MapReader::by_p2m(std::uint64_t page_offset) {
  const auto table = variable("xen_p2m_addr");
  if (!table) return table.error();
  auto entries = variable("xen_p2m_size");
  if (!entries) return entries.error();
  // It has room for 512 GiB that might be added (CONFIG_XEN_MEMORY_HOTPLUG_LIMIT): 1 GiB of
  // entries.
  if (kernel_.info().has_symbol("max_pfn")) {
    const auto end = variable("max_pfn");
    if (!end) return end.error();
    entries = std::min(*entries, *end);
  }
  if (*entries == 0 || *entries > kMaxP2mEntries || *table < kLowestPageOffset)
    return Error{ErrorCode::kMalformed,
                 "xen_p2m_size is " + std::to_string(*entries) + " at " + hex_address(*table)};
  std::vector<Mapping> mappings;
  for (std::uint64_t pfn = 0; pfn < *entries;) {
    const auto some = std::min(kP2mEntriesAtOnce, *entries - pfn);
    const auto bytes = read_p2m(Gva{*table + pfn * 8}, some);
    if (!bytes) return bytes.error();
    for (std::uint64_t i = 0; i < some; ++i, ++pfn) {
      std::uint64_t frame = 0;
      std::memcpy(&frame, bytes->data() + i * 8, 8);
      if ((frame & kP2mFlags) != 0 || frame >= kMaxP2mEntries) continue;
      append(mappings, {page_offset + pfn * kPage, frame * kPage, kPage});
    }
    if (mappings.size() > kMaxCoreSegments)
      return Error{ErrorCode::kTooLarge, "physical memory is in too many pieces of the machine's"};
  }
  if (mappings.empty()) return Error{ErrorCode::kMalformed, "xen_p2m_addr has no frames"};
  if (auto ok = check(mappings.front()); !ok) return ok.error();
  std::ranges::sort(mappings, {}, &Mapping::gpa);
  return mappings;
}

template <typename T>
Result<void> keep(Result<T> got, T& place, const char* what, std::vector<std::string>& lacks) {
  if (got) {
    place = *std::move(got);
    return {};
  }
  if (!is_lack(got.error())) return got.error();
  lacks.push_back(std::string{what} + ": " + got.error().message());
  return {};
}

}  // namespace

Result<KernelMap> read_kernel_map(Channel& channel, common::DomId domain, Kernel& kernel) {
  MapReader reader{channel, domain, kernel};
  KernelMap map;
  auto& lacks = map.lacks;
  for (auto ok : {keep(reader.vmcoreinfo(), map.vmcoreinfo, "VMCOREINFO", lacks),
                  keep(reader.text(), map.text, "the kernel's image", lacks),
                  keep(reader.direct(), map.direct, "the direct map", lacks)})
    if (!ok) return ok.error();
  return map;
}

Result<std::vector<CoreNote>> read_vcpu_notes(Channel& channel, common::DomId domain,
                                              std::uint32_t vcpus) {
  std::vector<sevmon_item> items;
  for (std::uint32_t vcpu = 0; vcpu < std::min(vcpus, kMaxVcpus); ++vcpu)
    items.push_back(
        {.type = SEVMON_ITEM_VCPU_STATE, .zero = 0, .bytes = 0, .arg = vcpu, .address = 0});
  std::vector<CoreNote> notes;
  if (items.empty()) return notes;
  const auto answers = ask(channel, pack(domain, Root{}, items, channel.size_class()));
  if (!answers) return answers.error();
  for (const auto& item : answers->items) {
    sevmon_vcpu_state state{};
    if (item.status != SEVMON_STATUS_OK || item.bytes.size() != sizeof(state)) continue;
    std::memcpy(&state, item.bytes.data(), sizeof(state));
    if ((state.flags & SEVMON_VCPU_ONLINE) == 0) continue;
    for (auto& note : vcpu_notes(state)) notes.push_back(std::move(note));
  }
  return notes;
}

}  // namespace sevmon::ids
