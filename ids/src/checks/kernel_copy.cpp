// SPDX-License-Identifier: Apache-2.0
#include <sevmon/kernel_copy.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/text.hpp>

#include "profile/file_io.hpp"
#include "profile/profile_file.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Reader;
using common::Result;

// The file that keeps a copy. Little-endian, no padding, nothing between or behind:
//
//   "SEVMCOPY"  u32 version  u32 parts
//   32 bytes SHA-256 of the vmlinuz  16 bytes boot nonce  u64 slide  u64 time
//   per part: u64 address as linked  u64 pages
//   the parts' pages
//   32 bytes SHA-256 of all of the above
//
// The digest finds damage and is no proof of origin.
constexpr std::array<char, 8> kMagic{'S', 'E', 'V', 'M', 'C', 'O', 'P', 'Y'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kMaxParts = 4;
constexpr std::uint64_t kMaxPages = 1 << 15;  // 128 MiB: five times what kernels have
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kMaxFileBytes = kMaxPages * SEVMON_PAGE_BYTES + 4096;

struct Section {
  const char* start;
  const char* end;
};
constexpr std::array kSections{Section{"_text", "_etext"},
                               Section{"__start_rodata", "__end_rodata"}};

/// One request's worth of bytes of the kernel at a time, so that the time is that of the first.
Result<std::vector<Request>> requests_for(const Kernel& kernel, common::DomId domain,
                                          std::uint8_t size_class, std::uint64_t start,
                                          std::uint64_t pages) {
  std::vector<sevmon_item> items;
  for (std::uint64_t page = 0; page < pages; ++page)
    items.push_back(
        {SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0, start + page * SEVMON_PAGE_BYTES});
  return pack(domain, kernel.root(), items, size_class);
}

Result<KernelPart> read_part(Channel& channel, common::DomId domain, const Kernel& kernel,
                             const Section& section, std::uint64_t& time_ns) {
  const auto start = kernel.symbol(section.start);
  if (!start) return start.error();
  const auto end = kernel.symbol(section.end);
  if (!end) return end.error();
  const auto first = start->value & ~(SEVMON_PAGE_BYTES - 1ULL);
  const auto bytes = end->value - first;
  const auto pages = (bytes + SEVMON_PAGE_BYTES - 1) / SEVMON_PAGE_BYTES;
  if (end->value <= first || pages > kMaxPages)
    return Error{ErrorCode::kTooLarge, std::string{section.start} + " to " + section.end + ": " +
                                           std::to_string(pages) + " pages"};
  const auto requests = requests_for(kernel, domain, channel.size_class(), first, pages);
  if (!requests) return requests.error();
  const auto responses = channel.exchange(*requests);
  if (!responses) return responses.error();

  KernelPart part{.address = Gva{first - kernel.slide_bytes()}, .bytes = {}};
  part.bytes.reserve(pages * SEVMON_PAGE_BYTES);
  for (const auto& response : *responses) {
    if (time_ns == 0) time_ns = response.head.time_ns;
    for (const auto& item : response.items) {
      if (item.status != SEVMON_STATUS_OK || item.bytes.size() != SEVMON_PAGE_BYTES)
        return Error{ErrorCode::kNotMapped, hex_address(first + part.bytes.size()) + ": " +
                                                describe_status(item.status, item.level)};
      part.bytes.insert(part.bytes.end(), item.bytes.begin(), item.bytes.end());
    }
  }
  if (part.bytes.size() != pages * SEVMON_PAGE_BYTES)
    return Error{ErrorCode::kNotMapped,
                 hex_address(first + part.bytes.size()) + ": the agent did not look at it"};
  return part;
}

void append(std::vector<std::byte>& file, std::span<const std::byte> bytes) {
  file.insert(file.end(), bytes.begin(), bytes.end());
}

Error malformed(const char* what) {
  return {ErrorCode::kMalformed, std::string{"copy of a kernel: "} + what};
}

/// Addresses and sizes of the parts, checked.
Result<std::vector<std::pair<Gva, std::uint64_t>>> decode_places(Reader& reader,
                                                                 std::uint32_t parts) {
  std::vector<std::pair<Gva, std::uint64_t>> places;
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < parts; ++i) {
    const auto address = reader.take<std::uint64_t>();
    const auto pages = reader.take<std::uint64_t>();
    if (reader.failed()) return Error{ErrorCode::kTruncated, "copy of a kernel: its parts"};
    if (address % SEVMON_PAGE_BYTES != 0) return malformed("a part that begins within a page");
    if (pages == 0) return malformed("a part without a page");
    if (pages > kMaxPages - total)
      return Error{ErrorCode::kTooLarge,
                   "copy of a kernel: more than " + std::to_string(kMaxPages) + " pages"};
    total += pages;
    places.emplace_back(Gva{address}, pages);
  }
  return places;
}

}  // namespace

Result<KernelCopy> KernelCopy::take(Channel& channel, common::DomId domain, const Kernel& kernel) {
  KernelCopy copy;
  copy.origin_.file_sha256 = kernel.info().file_sha256();
  copy.origin_.boot_nonce = channel.boot_nonce();
  copy.origin_.slide_bytes = kernel.slide_bytes();
  for (const auto& section : kSections) {
    auto part = read_part(channel, domain, kernel, section, copy.origin_.time_ns);
    if (!part) return part.error();
    copy.parts_.push_back(*std::move(part));
  }
  return copy;
}

std::size_t KernelCopy::pages() const {
  std::size_t pages = 0;
  for (const auto& part : parts_) pages += part.pages();
  return pages;
}

std::vector<std::byte> KernelCopy::encode() const {
  std::vector<std::byte> file;
  append(file, std::as_bytes(std::span{kMagic}));
  append(file, common::bytes_of(kVersion));
  append(file, common::bytes_of(static_cast<std::uint32_t>(parts_.size())));
  append(file, common::bytes_of(origin_.file_sha256));
  append(file, common::bytes_of(origin_.boot_nonce));
  append(file, common::bytes_of(origin_.slide_bytes));
  append(file, common::bytes_of(origin_.time_ns));
  for (const auto& part : parts_) {
    append(file, common::bytes_of(part.address.value));
    append(file, common::bytes_of(std::uint64_t{part.pages()}));
  }
  for (const auto& part : parts_) append(file, part.bytes);
  append(file, common::bytes_of(sha256(file)));
  return file;
}

Result<KernelCopy> KernelCopy::decode(std::span<const std::byte> file) {
  if (file.size() < kMagic.size() + kDigestBytes)
    return Error{ErrorCode::kTruncated,
                 "copy of a kernel: " + std::to_string(file.size()) + " bytes"};
  Reader reader{file.first(file.size() - kDigestBytes)};
  if (!std::ranges::equal(reader.bytes(kMagic.size()), std::as_bytes(std::span{kMagic})))
    return malformed("no such file");
  if (const auto version = reader.take<std::uint32_t>(); version != kVersion)
    return Error{ErrorCode::kUnsupported, "copy of a kernel: version " + std::to_string(version)};
  const auto digest = sha256(file.first(file.size() - kDigestBytes));
  if (!std::ranges::equal(file.last(kDigestBytes), common::bytes_of(digest)))
    return malformed("it is damaged, or cut");
  const auto parts = reader.take<std::uint32_t>();
  if (parts == 0 || parts > kMaxParts) return malformed("how many parts it has");
  KernelCopy copy;
  copy.origin_.file_sha256 = reader.take<std::array<std::uint8_t, 32>>();
  copy.origin_.boot_nonce = reader.take<std::array<std::uint8_t, SEVMON_ID_BYTES>>();
  copy.origin_.slide_bytes = reader.take<std::uint64_t>();
  copy.origin_.time_ns = reader.take<std::uint64_t>();
  const auto places = decode_places(reader, parts);
  if (!places) return places.error();
  for (const auto& [address, pages] : *places) {
    const auto bytes = reader.bytes(pages * SEVMON_PAGE_BYTES);
    copy.parts_.push_back({address, {bytes.begin(), bytes.end()}});
  }
  if (reader.failed()) return Error{ErrorCode::kTruncated, "copy of a kernel: its pages"};
  if (!reader.done()) return malformed("bytes behind its pages");
  return copy;
}

Result<KernelCopy> KernelCopy::load(const std::string& path) {
  const auto file = read_file(path, kMaxFileBytes);
  if (!file) return file.error();
  auto copy = decode(*file);
  if (!copy) return Error{copy.error().code, escape(path) + ": " + copy.error().detail};
  return copy;
}

}  // namespace sevmon::ids
