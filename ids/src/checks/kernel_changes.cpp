// SPDX-License-Identifier: Apache-2.0
#include <sevmon/kernel_copy.hpp>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/text.hpp>

#include "programs/digests.h"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

// In the library, so that no file can be missing or be another.
constexpr std::uint8_t kObject[] = {
#include "programs/digests.inc"
};

constexpr std::size_t kShownBytes = 16;
// Differences closer than that are one.
constexpr std::size_t kGapBytes = 16;

using DigestKey = std::array<std::uint8_t, SEVMON_DIGEST_KEY_BYTES>;
using Page = std::span<const std::byte, SEVMON_PAGE_BYTES>;

/// AES-256-GMAC as program.h has it (NIST SP 800-38D), by OpenSSL.
class Gmac {
 public:
  explicit Gmac(const DigestKey& key)
      : mac_{EVP_MAC_fetch(nullptr, "GMAC", nullptr), EVP_MAC_free},
        context_{mac_ ? EVP_MAC_CTX_new(mac_.get()) : nullptr, EVP_MAC_CTX_free},
        key_{key} {}

  /// nullopt: OpenSSL does not do it.
  std::optional<std::uint64_t> first_word(std::uint64_t address, Page page) {
    std::array<std::uint8_t, 12> nonce{};
    const std::uint32_t bytes = SEVMON_PAGE_BYTES;
    std::memcpy(nonce.data(), &address, sizeof(address));
    std::memcpy(nonce.data() + sizeof(address), &bytes, sizeof(bytes));
    char cipher[] = "AES-256-GCM";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce.data(), nonce.size()),
        OSSL_PARAM_construct_end()};
    std::array<std::uint8_t, SEVMON_DIGEST_BYTES> tag{};
    std::size_t tag_bytes = 0;
    const auto* data = reinterpret_cast<const unsigned char*>(page.data());
    if (!context_ || EVP_MAC_init(context_.get(), key_.data(), key_.size(), parameters) != 1 ||
        EVP_MAC_update(context_.get(), data, page.size()) != 1 ||
        EVP_MAC_final(context_.get(), tag.data(), &tag_bytes, tag.size()) != 1 ||
        tag_bytes != tag.size())
      return std::nullopt;
    std::uint64_t word = 0;
    std::memcpy(&word, tag.data(), sizeof(word));
    return word & ~SEVMON_DIGESTS_STATUS;
  }

 private:
  std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac_;
  std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context_;
  DigestKey key_;
};

Result<ProgramImage> link_program(const Kernel& kernel) {
  const auto object = ProgramObject::parse(std::as_bytes(std::span{kObject}));
  if (!object) return object.error();
  // It asks for no types and no symbols.
  return object->link({.release = kernel.info().release(), .btf = {}, .symbol = {}});
}

/// One comparison, from the first digest to the last page that was read.
class Comparison {
 public:
  Comparison(Channel& channel, common::DomId domain, const Kernel& kernel,
             const KernelChangesOptions& options)
      : channel_{channel}, domain_{domain}, kernel_{kernel}, options_{options} {}

  Result<void> compare(const ProgramImage& program, const KernelPart& part) {
    const auto room =
        SEVMON_CLASS_PAGES(channel_.size_class()) * SEVMON_PAGE_BYTES - sizeof(sevmon_run_report);
    const auto most =
        std::min<std::uint32_t>(room / sizeof(std::uint64_t), SEVMON_DIGESTS_MAX_PAGES);
    for (std::uint32_t first = 0; first < part.pages(); first += most)
      if (auto ok = compare_run(program, part, first, std::min(most, part.pages() - first)); !ok)
        return ok;
    return {};
  }

  /// Once all digests are there: what is in the pages whose digest is another.
  Result<void> read_differing() {
    found_.differing = differing_.size();
    std::vector<sevmon_item> items;
    for (const auto& [address, page] : differing_)
      items.push_back({SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0, address});
    const auto requests = pack(domain_, kernel_.root(), items, channel_.size_class());
    const auto responses = channel_.exchange(requests);
    if (!responses) return responses.error();
    auto at = differing_.begin();
    for (const auto& response : *responses)
      for (const auto& item : response.items) {
        if (at == differing_.end()) break;
        const auto& [address, page] = *at++;
        if (item.status != SEVMON_STATUS_OK || item.bytes.size() != page.size())
          note_unreadable(address);
        else
          note_changes(address, page, Page{item.bytes});
      }
    for (; at != differing_.end(); ++at) note_unreadable(at->first);
    return {};
  }

  KernelChanges take() && { return std::move(found_); }

 private:
  Result<void> compare_run(const ProgramImage& program, const KernelPart& part, std::uint32_t first,
                           std::uint32_t pages) {
    DigestKey key;
    if (RAND_priv_bytes(key.data(), key.size()) != 1)
      return Error{ErrorCode::kInternal, "no randomness for a key"};
    sevmon_digests_input input{
        .address = kernel_.relocate(part.address).value + std::uint64_t{first} * SEVMON_PAGE_BYTES,
        .pages = pages,
        .zero = 0,
        .key = {}};
    std::ranges::copy(key, input.key);
    ProgramRunOptions options;
    options.domain = domain_;
    options.root = kernel_.root();
    options.budget = SEVMON_DIGESTS_BUDGET;
    const auto before = channel_.stats().round_trips;
    const auto run = Programs{channel_}.run(std::as_bytes(std::span{program.bytes}),
                                            common::bytes_of(input), options);
    if (!run) return run.error();
    const auto trips = channel_.stats().round_trips - before;
    found_.digest_round_trips += 1;
    found_.loading_round_trips += trips - 1;
    if (run->report.state != SEVMON_RUN_DONE ||
        run->result.size() != pages * sizeof(std::uint64_t)) {
      found_.complete = false;
      found_.notes.push_back("the digests' program did not come to its end: " +
                             describe_run(run->report.state));
      return {};
    }
    return compare_digests(input, key, part, first, run->result);
  }

  Result<void> compare_digests(const sevmon_digests_input& input, const DigestKey& key,
                               const KernelPart& part, std::uint32_t first,
                               std::span<const std::byte> result) {
    Gmac gmac{key};
    common::Reader reader{result};
    for (std::uint32_t i = 0; i < input.pages; ++i) {
      const auto address = input.address + std::uint64_t{i} * SEVMON_PAGE_BYTES;
      const auto said = reader.take<std::uint64_t>();
      const auto page = std::span{part.bytes}
                            .subspan(std::size_t{first + i} * SEVMON_PAGE_BYTES)
                            .first<SEVMON_PAGE_BYTES>();
      ++found_.pages;
      if ((said & SEVMON_DIGESTS_STATUS) != SEVMON_STATUS_OK) {
        note_unreadable(address);
        continue;
      }
      const auto expected = gmac.first_word(address, page);
      if (!expected) return Error{ErrorCode::kInternal, "OpenSSL has no AES-256-GMAC"};
      if (*expected != said) differing_.emplace_back(address, page);
    }
    return {};
  }

  void note_unreadable(std::uint64_t address) {
    found_.unreadable.push_back(Gva{address});
    found_.complete = false;
  }

  void note_changes(std::uint64_t address, Page expected, Page found) {
    if (std::ranges::equal(expected, found)) {
      add({.address = Gva{address},
           .bytes = SEVMON_PAGE_BYTES,
           .expected = {},
           .found = {},
           .passed = true});
      return;
    }
    std::size_t at = 0;
    while (at < expected.size()) {
      if (expected[at] == found[at]) {
        ++at;
        continue;
      }
      std::size_t end = at + 1;
      for (std::size_t i = end; i < expected.size() && i < end + kGapBytes; ++i)
        if (expected[i] != found[i]) end = i + 1;
      const auto shown = std::min(end - at, kShownBytes);
      const auto part = [&](Page page) {
        const auto bytes = page.subspan(at, shown);
        return std::vector<std::byte>{bytes.begin(), bytes.end()};
      };
      add({.address = Gva{address + at},
           .bytes = static_cast<std::uint32_t>(end - at),
           .expected = part(expected),
           .found = part(found),
           .passed = false});
      at = end;
    }
  }

  void add(KernelChange change) {
    if (found_.changes.size() < options_.max_changes)
      found_.changes.push_back(std::move(change));
    else if (found_.complete) {
      found_.complete = false;
      found_.notes.push_back("there are more changes than " + std::to_string(options_.max_changes));
    }
  }

  Channel& channel_;
  common::DomId domain_;
  const Kernel& kernel_;
  const KernelChangesOptions& options_;
  std::vector<std::pair<std::uint64_t, Page>> differing_;
  KernelChanges found_;
};

}  // namespace

Result<KernelChanges> find_kernel_changes(Channel& channel, common::DomId domain,
                                          const Kernel& kernel, const KernelCopy& copy,
                                          const KernelChangesOptions& options) {
  if (copy.origin().file_sha256 != kernel.info().file_sha256())
    return Error{ErrorCode::kMismatch,
                 "the copy is of another kernel than " + kernel.info().release()};
  if (copy.origin().slide_bytes != kernel.slide_bytes())
    return Error{ErrorCode::kMismatch,
                 "the copy is of a kernel that lay elsewhere: its slide was " +
                     hex_address(copy.origin().slide_bytes) + ", and is " +
                     hex_address(kernel.slide_bytes())};
  const auto program = link_program(kernel);
  if (!program) return program.error();
  Comparison comparison{channel, domain, kernel, options};
  for (const auto& part : copy.parts())
    if (auto ok = comparison.compare(*program, part); !ok) return ok.error();
  if (auto ok = comparison.read_differing(); !ok) return ok.error();
  auto found = std::move(comparison).take();
  if (copy.origin().boot_nonce != channel.boot_nonce())
    found.notes.push_back("the copy was made before the agent's host started again");
  return found;
}

}  // namespace sevmon::ids
