// SPDX-License-Identifier: Apache-2.0
#include "bench/page_rows.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "bench/bench_agent.hpp"
#include "bench/openssl_gcm.hpp"
#include "gcm.h"

namespace sevmon::bench {
namespace {

/// What all rows read, in the same order: batches of 15 adjoining pages, shuffled, so that neither
/// the prefetcher nor the TLB foresees the next. (Adjoining, because OpenSSL then takes a batch in
/// one call: its best case.)
class Pages {
 public:
  explicit Pages(const GuestMemory& memory) : memory_{memory}, order_(memory.batches()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::shuffle(order_, std::mt19937{7});
  }

  std::size_t count() const { return memory_.pages(); }
  /// Index of the i-th page to be read.
  std::size_t at(std::size_t i) const {
    return order_[i / kBatchPages] * kBatchPages + i % kBatchPages;
  }
  const std::uint8_t* bytes(std::size_t i) const { return memory_.page(at(i)); }
  const GuestMemory& memory() const { return memory_; }

 private:
  const GuestMemory& memory_;
  std::vector<std::size_t> order_;
};

/// What `seal(plain, bytes, out)` costs for messages of `pages_each`. `out` is private memory, from
/// which the message is copied out.
template <typename Seal>
Row bare_row(std::string id, std::string title, const std::shared_ptr<Pages>& pages,
             std::size_t pages_each, std::size_t copied_bytes, Seal seal) {
  Row row{.id = std::move(id), .title = std::move(title), .unit = "page", .baselines = {}};
  row.units = static_cast<double>(pages->count());
  auto sealed = std::make_shared<Bytes>(kBatchPages * kPageBytes + SEVMON_TAG_BYTES);
  auto out = std::make_shared<Bytes>(sealed->size());
  row.run = [=]() mutable {
    return time_of([&] {
      for (std::size_t i = 0; i < pages->count(); i += pages_each) {
        seal(pages->bytes(i), pages_each * kPageBytes, sealed->data());
        std::memcpy(out->data(), sealed->data(), copied_bytes);
        // Every message is "used".
        __asm__ volatile("" : : "r"(out->data()), "r"(sealed->data()) : "memory");
      }
    });
  };
  return row;
}

void add_bare_rows(Rounds& rounds, const std::shared_ptr<Pages>& pages, std::size_t each,
                   const std::string& suffix) {
  const auto sealed_bytes = each * kPageBytes + SEVMON_TAG_BYTES;
  rounds.add(bare_row(
      "memcpy" + suffix, "memcpy", pages, each, 0,
      [](const auto* plain, std::size_t bytes, auto* out) { std::memcpy(out, plain, bytes); }));
  rounds.add(bare_row(
      "openssl" + suffix, "OpenSSL EVP AES-256-GCM, copied out", pages, each, sealed_bytes,
      [gcm = std::make_shared<OpenSslGcm>(true)](const auto* plain, std::size_t bytes, auto* out) {
        gcm->seal(plain, bytes, out);
      }));
  auto key = std::make_shared<sevmon_gcm_key>();
  const std::array<std::uint8_t, 32> raw{1, 2, 3};
  sevmon_gcm_set_key(key.get(), raw.data());
  rounds.add(bare_row("gcm" + suffix, "agent's AES-256-GCM alone", pages, each, 0,
                      [key](const auto* plain, std::size_t bytes, auto* out) {
                        const std::array<std::uint8_t, 12> nonce{};
                        const std::array<std::uint8_t, 16> aad{};
                        sevmon_gcm_seal(key.get(), nonce.data(), aad.data(), aad.size(), plain,
                                        bytes, out, out + bytes);
                      }));
}

/// How a row's requests name pages.
struct Asking {
  std::uint8_t item;        // SEVMON_ITEM_READ_*
  std::uint64_t base;       // address of page 0
  std::uint64_t root;       // frame; 0: none
  std::uint8_t size_class;  // as many pages in each request as it has room for
};

/// Whole frames through the agent, over all pages.
class AgentRow {
 public:
  AgentRow(const std::shared_ptr<Pages>& pages, BenchHost& host, Asking asking,
           const std::shared_ptr<Bytes>& requests)
      : pages_{pages}, agent_{host}, asking_{asking}, requests_{requests} {}

  std::uint64_t run() {
    auto session = agent_.open_session(asking_.size_class);
    seal_requests(session);
    const auto frames = frame_count();
    const auto answer_bytes = static_cast<int>(SEVMON_RESPONSE_FRAME_BYTES(asking_.size_class));
    std::size_t good = 0;
    const auto ns = time_of([&] {
      for (std::size_t i = 0; i < frames; ++i)
        good += agent_.call(requests_->data() + i * SEVMON_REQUEST_FRAME_BYTES,
                            SEVMON_REQUEST_FRAME_BYTES) == answer_bytes;
    });
    require(good == frames, "the agent did not answer");
    check_last(session);
    return ns;
  }

 private:
  std::size_t each() const { return SEVMON_CLASS_PAGES(asking_.size_class); }
  std::size_t frame_count() const { return pages_->count() / each(); }

  sevmon_request_body body(std::size_t frame) const {
    sevmon_request_body body{};
    body.head.domid = SEVMON_DOMID_DOM0;
    body.head.items = static_cast<std::uint16_t>(each());
    if (asking_.root) {
      body.head.root_kind = SEVMON_ROOT_FRAME;
      body.head.levels = 4;
      body.head.root_frame = asking_.root;
    }
    for (std::size_t i = 0; i < each(); ++i)
      body.items[i] = {asking_.item, 0, SEVMON_PAGE_BYTES, 0,
                       asking_.base + pages_->at(frame * each() + i) * kPageBytes};
    return body;
  }

  void seal_requests(const tests::ReferenceSession& session) {
    requests_->resize(frame_count() * SEVMON_REQUEST_FRAME_BYTES);
    for (std::size_t i = 0; i < frame_count(); ++i)
      std::ranges::copy(
          session.request(i, body(i)),
          requests_->begin() + static_cast<std::ptrdiff_t>(i * SEVMON_REQUEST_FRAME_BYTES));
  }

  /// The agent did read what it was asked for.
  void check_last(const tests::ReferenceSession& session) {
    const auto opened =
        session.open(agent_.answer().first(SEVMON_RESPONSE_FRAME_BYTES(asking_.size_class)));
    require(opened.has_value(), "an answer does not verify");
    const tests::ReferenceResponse response{*opened};
    for (unsigned i = 0; i < each(); ++i) {
      const auto* const page = pages_->bytes((frame_count() - 1) * each() + i);
      require(response.results[i].status == SEVMON_STATUS_OK &&
                  std::ranges::equal(response.item(i), ByteView{page, kPageBytes}),
              "an answer holds other bytes");
    }
  }

  std::shared_ptr<Pages> pages_;
  BenchAgent agent_;
  Asking asking_;
  std::shared_ptr<Bytes> requests_;
};

}  // namespace

void add_page_rows(Rounds& rounds, const GuestMemory& memory, BenchHost& host,
                   std::uint8_t size_class) {
  auto pages = std::make_shared<Pages>(memory);
  auto requests = std::make_shared<Bytes>();  // of the row at hand
  const auto physical = GuestMemory::kFirstFrame * kPageBytes;
  const std::string suffix = size_class == SEVMON_CLASS_15_PAGES ? "_15" : "_1";
  const auto add = [&](std::string id, std::string title, Asking asking) {
    auto row = std::make_shared<AgentRow>(pages, host, asking, requests);
    rounds.add({.id = id + suffix,
                .title = std::move(title),
                .unit = "page",
                .baselines = {"memcpy" + suffix, "openssl" + suffix, "gcm" + suffix},
                .units = static_cast<double>(pages->count()),
                .run = [row] { return row->run(); }});
  };
  add_bare_rows(rounds, pages, SEVMON_CLASS_PAGES(size_class), suffix);
  add("seal", "seal", {SEVMON_ITEM_READ_PHYSICAL, physical, 0, size_class});
  add("walk_4k", "walk 4 KiB pages + seal",
      {SEVMON_ITEM_READ_VIRTUAL, GuestMemory::kBase, memory.root_4k(), size_class});
  add("walk_2m", "walk 2 MiB pages + seal",
      {SEVMON_ITEM_READ_VIRTUAL, GuestMemory::kBase, memory.root_2m(), size_class});
}

}  // namespace sevmon::bench
