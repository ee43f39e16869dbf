// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <sevmon/memory.hpp>

#include "memory/page.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

constexpr std::uint64_t kMaxReadBytes = 16 * 1024 * 1024;
// A target that makes up endless structures decides neither how much an epoch keeps...
constexpr std::size_t kMaxPages = 1ULL << 18;  // 1 GiB
// ...nor how many answers, of up to 62 KB each, are held at once.
constexpr std::size_t kRequestsPerExchange = 256;

std::string hex(std::uint64_t value) {
  char text[19];
  std::snprintf(text, sizeof(text), "0x%016llx", static_cast<unsigned long long>(value));
  return text;
}

/// A range that read() would take: not past the end of the address space, not over the limit.
bool is_readable(const Range& range) {
  return range.bytes >= 1 && range.bytes <= kMaxReadBytes &&
         range.address.value <= UINT64_MAX - (range.bytes - 1);
}

/// Call `visit(page number, offset, bytes)` for each page that `range` touches.
template <typename Visit>
void for_each_page(const Range& range, Visit visit) {
  std::uint64_t left = range.bytes;
  std::uint64_t address = range.address.value;
  while (left > 0) {
    const auto offset = address % kPageBytes;
    const auto bytes = std::min(left, kPageBytes - offset);
    visit(address / kPageBytes, offset, bytes);
    address += bytes;
    left -= bytes;
  }
}

/// One item for each run of adjacent lines.
void append_items(std::uint64_t page, LineSet lines, std::vector<sevmon_item>& items) {
  while (lines != 0) {
    const auto first = static_cast<unsigned>(std::countr_zero(lines));
    const auto count = static_cast<unsigned>(std::countr_one(lines >> first));
    items.push_back({.type = SEVMON_ITEM_READ_VIRTUAL,
                     .zero = 0,
                     .bytes = static_cast<std::uint16_t>(count * kLineBytes),
                     .arg = 0,
                     .address = page * kPageBytes + first * kLineBytes});
    lines &= ~lines_of(first * kLineBytes, count * kLineBytes);
  }
}

Result<void> check_answer(const Response& response) {
  switch (response.head.status) {
    case SEVMON_ANSWER_OK:
      return {};
    case SEVMON_ANSWER_NO_DOMAIN:
      return Error{ErrorCode::kNotFound, "the agent has no such domain"};
    case SEVMON_ANSWER_NO_ROOT:
      return Error{ErrorCode::kNotFound, "no such vCPU, or it is not in 64-bit paging"};
  }
  return Error{ErrorCode::kInternal,
               "the agent finds our request bad: " + std::to_string(response.head.status)};
}

class Epoch : public Memory {
 public:
  Epoch(Channel& channel, common::DomId domain, Root root)
      : channel_{channel}, domain_{domain}, root_{root} {}

  Result<void> fetch(std::span<const Range> ranges) override {
    // Held while the answers are under way, or two threads could see one line in two states.
    const std::lock_guard lock{mutex_};
    return fetch_locked(ranges);
  }

  Result<std::vector<std::byte>> read(Range range) override {
    if (range.bytes == 0) return std::vector<std::byte>{};
    if (range.bytes > kMaxReadBytes)
      return Error{ErrorCode::kTooLarge, "a read of " + std::to_string(range.bytes) + " bytes"};
    if (!is_readable(range))
      return Error{ErrorCode::kNotMapped,
                   hex(range.address.value) + ": past the end of the address space"};
    const std::lock_guard lock{mutex_};
    if (auto ok = fetch_locked({&range, 1}); !ok) return ok.error();
    std::vector<std::byte> bytes;
    bytes.reserve(range.bytes);
    if (auto missing = copy_present(range, bytes)) return *std::move(missing);
    return bytes;
  }

  Result<std::uint64_t> read_uint(Gva address, std::uint32_t bytes) override {
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
      return Error{ErrorCode::kUsage, "an integer of " + std::to_string(bytes) + " bytes"};
    const auto raw = read({address, bytes});
    if (!raw) return raw.error();
    std::uint64_t value = 0;
    std::memcpy(&value, raw->data(), bytes);
    return value;
  }

  Result<std::string> read_string(Gva address, std::uint32_t max_bytes) override {
    // Only as far as the address space goes; a string may end before the page that is not there.
    Range range{address, max_bytes};
    if (max_bytes > kMaxReadBytes)
      return Error{ErrorCode::kTooLarge, "a string of " + std::to_string(max_bytes) + " bytes"};
    if (max_bytes > 0 && !is_readable(range))
      range.bytes = static_cast<std::uint32_t>(UINT64_MAX - address.value) + 1;
    const std::lock_guard lock{mutex_};
    if (auto ok = fetch_locked({&range, 1}); !ok) return ok.error();
    std::vector<std::byte> bytes;
    auto missing = copy_present(range, bytes);
    const auto end = std::ranges::find(bytes, std::byte{0});
    if (end != bytes.end())
      return std::string{reinterpret_cast<const char*>(bytes.data()),
                         static_cast<std::size_t>(end - bytes.begin())};
    if (missing) return *std::move(missing);
    return Error{ErrorCode::kTorn, hex(address.value) + ": no end of string within " +
                                       std::to_string(max_bytes) + " bytes"};
  }

 private:
  Result<void> fetch_locked(std::span<const Range> ranges) {
    const auto items = missing_items(ranges);
    if (items.empty()) return {};
    const auto requests = pack(domain_, root_, items, channel_.size_class());
    for (std::span<const Request> rest{requests}; !rest.empty();) {
      const auto some = rest.first(std::min(rest.size(), kRequestsPerExchange));
      if (auto ok = exchange(some); !ok) return ok;
      rest = rest.subspan(some.size());
    }
    return {};
  }

  Result<void> exchange(std::span<const Request> requests) {
    const auto responses = channel_.exchange(requests);
    if (!responses) return responses.error();
    if (responses->size() != requests.size())
      return Error{ErrorCode::kInternal, "a channel that loses answers"};
    for (std::size_t i = 0; i < requests.size(); ++i)
      if (auto ok = store(requests[i], (*responses)[i]); !ok) return ok;
    if (pages_.size() > kMaxPages)
      return Error{ErrorCode::kTooLarge,
                   "an analysis that read over " + std::to_string(kMaxPages) + " pages"};
    return {};
  }

  std::vector<sevmon_item> missing_items(std::span<const Range> ranges) {
    std::map<std::uint64_t, LineSet> wanted;  // in order of address, each page once
    for (const auto& range : ranges) {
      if (!is_readable(range)) continue;  // that is for read() to say
      for_each_page(range, [&](std::uint64_t page, std::uint64_t offset, std::uint64_t bytes) {
        wanted[page] |= lines_of(offset, bytes);
      });
    }
    std::vector<sevmon_item> items;
    for (const auto& [number, lines] : wanted) {
      const auto known = pages_.find(number);
      append_items(number, known == pages_.end() ? lines : known->second.missing(lines), items);
    }
    return items;
  }

  Result<void> store(const Request& request, const Response& response) {
    if (auto ok = check_answer(response); !ok) return ok;
    for (std::size_t i = 0; i < request.items.size(); ++i) {
      const auto& item = request.items[i];
      const auto& result = response.items[i];
      auto& page = pages_[item.address / kPageBytes];
      if (result.status != SEVMON_STATUS_OK)
        page.fail(result.status, result.level);
      else
        page.store(item.address % kPageBytes, result.bytes);
    }
    return {};
  }

  /// Append `range`'s bytes as far as they are there.
  /// @return what is not, if something is not.
  std::optional<Error> copy_present(const Range& range, std::vector<std::byte>& bytes) const {
    std::optional<Error> missing;
    for_each_page(range, [&](std::uint64_t number, std::uint64_t offset, std::uint64_t count) {
      if (missing) return;
      const auto& page = pages_.at(number);
      while (count > 0) {
        const auto in_line = std::min(count, kLineBytes - offset % kLineBytes);
        if (!page.has(lines_of(offset, in_line))) {
          missing = Error{ErrorCode::kNotMapped, hex(number * kPageBytes + offset) + ": " +
                                                     describe_status(page.status(), page.level())};
          return;
        }
        const auto part = page.bytes(offset, in_line);
        bytes.insert(bytes.end(), part.begin(), part.end());
        offset += in_line;
        count -= in_line;
      }
    });
    return missing;
  }

  Channel& channel_;
  const common::DomId domain_;
  const Root root_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Page> pages_;  // by address / 4096
};

}  // namespace

std::unique_ptr<Memory> open_epoch(Channel& channel, common::DomId domain, Root root) {
  return std::make_unique<Epoch>(channel, domain, root);
}

}  // namespace sevmon::ids
