// SPDX-License-Identifier: Apache-2.0
#include <sevmon/kernel.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/locate.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

constexpr std::size_t kNamedCandidates = 4;  // in messages

std::string identity(const KernelInfo& info) {
  return info.release() + " (SHA-256 " + hex(std::span{info.file_sha256()}) +
         (info.build_id().empty() ? "" : ", build id " + info.build_id()) + ")";
}

std::string identities(std::span<const KernelInfo* const> candidates) {
  if (candidates.empty()) return "none";
  std::string text;
  for (std::size_t i = 0; i < candidates.size() && i < kNamedCandidates; ++i)
    text += (i > 0 ? ", " : "") + identity(*candidates[i]);
  if (candidates.size() > kNamedCandidates)
    text += " and " + std::to_string(candidates.size() - kNamedCandidates) + " more";
  return text;
}

template <typename T>
std::optional<T> parse_item(const ItemResult& item) {
  if (item.status != SEVMON_STATUS_OK || item.bytes.size() != sizeof(T)) return std::nullopt;
  T value{};
  std::memcpy(&value, item.bytes.data(), sizeof(T));
  return value;
}

/// Finds the kernel; verify() is Kernel::attach()'s last word on it.
class Search {
 public:
  Search(Channel& channel, std::span<const KernelInfo* const> candidates,
         const AttachOptions& options, TargetFacts facts)
      : channel_{channel}, candidates_{candidates}, options_{options}, facts_{std::move(facts)} {}

  struct Found {
    const KernelInfo* info = nullptr;
    Location location{};
    std::unique_ptr<Memory> epoch;
    const char* matched_by = "";
  };

  Result<Found> run() {
    const auto origin = facts_.boot_record ? facts_.boot_record->origin : SEVMON_ORIGIN_NONE;
    if (origin == SEVMON_ORIGIN_PV || origin == SEVMON_ORIGIN_PVH) return booted_by_xen(origin);
    // Machine frames of a PV guest are scattered: there is nothing to search for.
    if (facts_.status.target_kind == SEVMON_TARGET_PV)
      return Error{ErrorCode::kUnsupported,
                   "Xen has no record of how this PV domain's kernel was started"};
    return in_memory(origin);
  }

 private:
  Result<Found> booted_by_xen(std::uint32_t origin) {
    const auto& record = *facts_.boot_record;
    const auto chosen = std::ranges::find_if(candidates_, [&](const KernelInfo* info) {
      return std::ranges::equal(info->file_sha256(), record.kernel.sha256);
    });
    if (record.kernel.bytes == 0 || chosen == candidates_.end())
      return Error{ErrorCode::kMismatch,
                   "no profile of the running kernel: Xen booted a kernel with SHA-256 " +
                       hex(std::span<const std::uint8_t>{record.kernel.sha256}) + " (" +
                       std::to_string(record.kernel.bytes) +
                       " bytes); profiles: " + identities(candidates_)};
    const KernelInfo& info = **chosen;
    if (origin == SEVMON_ORIGIN_PV) {
      const auto location = locate_pv(info, record);
      if (!location) return location.error();
      return verify(info, *location, "file digest");
    }
    const auto delta = pvh_load_delta(info, record);
    if (!delta) return delta.error();
    // The PVH entry passes the decompressor, and so KASLR, by: slide 0 until shown otherwise.
    const auto assumed = assume_location(info, *delta, 0);
    if (!assumed) return assumed.error();
    auto found = verify(info, *assumed, "file digest");
    if (found || !is_about_memory(found.error())) return found;
    const auto slides = all_slides();
    const auto location = locate_at(channel_, options_.domain, info, *delta, slides);
    if (!location) return location.error();
    return *location ? verify(info, **location, "file digest") : std::move(found);
  }

  static bool is_about_memory(const Error& error) {
    return error.code == ErrorCode::kMismatch || error.code == ErrorCode::kNotMapped;
  }

  Result<Found> in_memory(std::uint32_t origin) {
    const std::string build_id = known_build_id();
    std::vector<const KernelInfo*> order{candidates_.begin(), candidates_.end()};
    std::stable_partition(order.begin(), order.end(), [&](const KernelInfo* info) {
      return !build_id.empty() && info->build_id() == build_id;
    });
    for (const KernelInfo* info : order) {
      const char* matched_by =
          !build_id.empty() && info->build_id() == build_id ? "build id" : "banner";
      if (origin == SEVMON_ORIGIN_VMCOREINFO) {
        const auto location = hinted(*info);
        if (!location) return location.error();
        if (*location) return verify(*info, **location, matched_by);
      }
      const auto location = searched_for(*info);
      if (!location) return location.error();
      if (*location) return verify(*info, **location, matched_by);
    }
    const auto banner =
        find_any_banner(channel_, options_.domain, facts_.status.target_frames, options_.progress);
    return Error{ErrorCode::kMismatch,
                 "no profile of the running kernel: the target" +
                     (build_id.empty() ? std::string{} : " has build id " + build_id + " and") +
                     " says " + (banner ? '"' + *banner + '"' : "nothing like a banner") +
                     "; profiles: " + identities(candidates_)};
  }

  std::string known_build_id() const {
    if (!facts_.boot_record) return {};
    const std::span<const std::uint8_t> bytes{facts_.boot_record->build_id};
    return std::ranges::all_of(bytes, [](auto byte) { return byte == 0; }) ? "" : hex(bytes);
  }

  /// VMCOREINFO comes out of the guest's own memory: worth a try, no more.
  Result<std::optional<Location>> hinted(const KernelInfo& info) {
    const std::uint64_t slide = facts_.boot_record->origin_address;
    const std::uint64_t phys_base = facts_.boot_record->origin_frame << 12;
    return locate_at(channel_, options_.domain, info, slide + phys_base, std::array{slide});
  }

  Result<std::optional<Location>> searched_for(const KernelInfo& info) {
    const auto deltas = find_load_deltas(channel_, options_.domain, info,
                                         facts_.status.target_frames, options_.progress);
    if (!deltas) return deltas.error();
    const auto slides = all_slides();
    std::optional<Location> found;
    for (const auto delta : *deltas) {
      const auto location = locate_at(channel_, options_.domain, info, delta, slides);
      if (!location) return location.error();
      // A second kernel that passes was put there by somebody: which one runs is unknown.
      if (*location && found)
        return Error{ErrorCode::kMismatch, "two places in memory pass for " + info.release()};
      if (*location) found = **location;
    }
    return found;
  }

  Result<Found> verify(const KernelInfo& info, const Location& location, const char* matched_by) {
    const auto linked = info.symbol("linux_banner");
    if (!linked) return linked.error();
    const Range banner{*linked + location.slide_bytes,
                       static_cast<std::uint32_t>(info.banner().size())};
    std::vector<Range> ranges{banner};
    if (options_.first_ranges)
      for (auto range : options_.first_ranges(info)) {
        range.address.value += location.slide_bytes;
        ranges.push_back(range);
      }
    auto epoch = open_epoch(channel_, options_.domain, location.root);
    if (auto fetched = epoch->fetch(ranges); !fetched) return fetched.error();
    const auto bytes = epoch->read(banner);
    if (!bytes) return bytes.error();
    const std::string_view text{reinterpret_cast<const char*>(bytes->data()), bytes->size()};
    if (text != info.banner())
      return Error{ErrorCode::kMismatch, "where " + identity(info) + " has its banner \"" +
                                             escape(info.banner()) + "\" the target has \"" +
                                             escape(text) + '"'};
    return Found{&info, location, std::move(epoch), matched_by};
  }

  Channel& channel_;
  std::span<const KernelInfo* const> candidates_;
  const AttachOptions& options_;
  TargetFacts facts_;
};

}  // namespace

Result<TargetFacts> read_facts(Channel& channel, common::DomId domain) {
  std::array<sevmon_item, 2> items{};
  items[0].type = SEVMON_ITEM_STATUS;
  items[1].type = SEVMON_ITEM_BOOT_RECORD;
  const auto answers = ask(channel, pack(domain, Root{}, items, channel.size_class()));
  if (!answers) return answers.error();
  const auto status = parse_item<sevmon_status>(answers->items[0]);
  if (!status)
    return Error{ErrorCode::kRefused, "no status: " + describe_status(answers->items[0].status, 0)};
  return TargetFacts{.status = *status,
                     .boot_record = parse_item<sevmon_boot_record>(answers->items[1]),
                     .head = answers->responses.front().head};
}

Result<Kernel> Kernel::attach(Channel& channel, std::span<const KernelInfo* const> candidates,
                              const AttachOptions& options) {
  auto facts = read_facts(channel, options.domain);
  if (!facts) return facts.error();
  auto found = Search{channel, candidates, options, *facts}.run();
  if (!found) return found.error();
  const auto domain = options.domain;
  const auto root = found->location.root;
  Kernel kernel{*found->info, root, found->location.slide_bytes,
                [&channel, domain, root] { return open_epoch(channel, domain, root); }};
  kernel.first_epoch_ = std::move(found->epoch);
  kernel.facts_ = std::move(*facts);
  kernel.matched_by_ = found->matched_by;
  return kernel;
}

Kernel::Kernel(const KernelInfo& info, Root root, std::uint64_t slide_bytes, EpochFactory epochs)
    : info_{&info}, root_{root}, slide_bytes_{slide_bytes}, epochs_{std::move(epochs)} {}

std::unique_ptr<Memory> Kernel::next_epoch() {
  return first_epoch_ ? std::move(first_epoch_) : epochs_();
}

Result<Gva> Kernel::symbol(std::string_view name) const {
  const auto linked = info_->symbol(name);
  if (!linked) return linked.error();
  return relocate(*linked);
}

Gva Kernel::relocate(Gva linked) const {
  return linked.value >= kKernelMap ? linked + slide_bytes_ : linked;
}

std::optional<std::string> Kernel::describe(Gva address) const {
  if (address.value < kKernelMap + slide_bytes_) return std::nullopt;
  const auto linked = address - slide_bytes_;
  const auto symbol = info_->symbol_at(linked);
  if (!symbol) return std::nullopt;
  const auto offset = linked.value - symbol->address.value;
  return offset == 0 ? symbol->name : symbol->name + '+' + hex_address(offset);
}

}  // namespace sevmon::ids
