// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

namespace sevmon::common {
namespace {

Error malformed(const std::string& what) {
  return {ErrorCode::kMalformed, "answer: " + what};
}

Error malformed_item(std::size_t index, const std::string& what) {
  return malformed("item " + std::to_string(index) + ": " + what);
}

bool is_read(const sevmon_item& item) {
  return item.type == SEVMON_ITEM_READ_VIRTUAL || item.type == SEVMON_ITEM_READ_PHYSICAL;
}

/// The bytes that `item` must occupy with this status: reads and walks the same whether they
/// succeed or not, so that presence never shows in the layout. A run's are its report, which `data`
/// begins with, and what that says; those of collected results what they say.
std::uint32_t expected_bytes(const sevmon_item& item, std::uint16_t status,
                             std::span<const std::byte> data) {
  const bool always = is_read(item) || item.type == SEVMON_ITEM_TRANSLATE ||
                      item.type == SEVMON_ITEM_PROGRAM_COMMIT;
  if (!always && status != SEVMON_STATUS_OK) return 0;
  if (item.type == SEVMON_ITEM_PROGRAM_COLLECT) {
    const auto view = decode_collected(data);
    return view ? static_cast<std::uint32_t>(view->bytes) : 0;
  }
  if (item.type != SEVMON_ITEM_PROGRAM_RUN) return item_data_bytes(item);
  const auto most = data.size() - sizeof(sevmon_run_report);
  const auto report = Reader{data}.take<sevmon_run_report>();
  return static_cast<std::uint32_t>(sizeof(report) +
                                    std::min<std::size_t>(report.result_bytes, most));
}

/// `bytes`: what the item occupies, which is no more than there is room for.
bool fits(const sevmon_run_report& report, std::uint32_t bytes) {
  return is_sound(report) && report.result_bytes == bytes - sizeof(report);
}

Result<void> check_head(const sevmon_response_head& head, std::uint64_t n,
                        const sevmon_request_body& request) {
  if (head.n != n)
    return Error{ErrorCode::kMismatch,
                 "answer: to " + std::to_string(head.n) + ", not " + std::to_string(n)};
  if (head.zero0 != 0 || !all_zero(bytes_of(head.zero))) return malformed("reserved bytes");
  if (head.status > SEVMON_ANSWER_NO_ROOT)
    return malformed("status " + std::to_string(head.status));
  if (head.items != request.head.items)
    return malformed(std::to_string(head.items) + " items of " +
                     std::to_string(request.head.items));
  if (head.levels != 0 && head.levels != 4 && head.levels != 5)
    return malformed("a root of " + std::to_string(head.levels) + " levels");
  if (head.kind > SEVMON_TARGET_IMAGE) return malformed("target kind " + std::to_string(head.kind));
  return {};
}

Result<void> check_status(const sevmon_item& item, const sevmon_item_result& result,
                          std::size_t index) {
  if (result.zero != 0) return malformed_item(index, "reserved byte");
  if (result.level > 5) return malformed_item(index, "level " + std::to_string(result.level));
  // make_request() lets nothing out that is of bad form or has no room, so these two would be a
  // disagreement about the layout itself.
  const auto last = is_program_item(item) ? SEVMON_STATUS_REFUSED : SEVMON_STATUS_NO_VCPU;
  if (result.status > last || result.status == SEVMON_STATUS_BAD_ITEM ||
      result.status == SEVMON_STATUS_NO_SPACE)
    return malformed_item(index, "status " + std::to_string(result.status));
  return {};
}

std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, std::min(bytes.size() - at, sizeof(word)));
  return word;
}

/// As all_zero(), but the same work whatever the bytes are. All of every answer passes through
/// here: four words at a time, which do not wait for each other.
bool is_zero_throughout(std::span<const std::byte> bytes) {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  std::size_t at = 0;
  for (; bytes.size() - at >= 32; at += 32) {
    a |= word_at(bytes, at);
    b |= word_at(bytes, at + 8);
    c |= word_at(bytes, at + 16);
    d |= word_at(bytes, at + 24);
  }
  for (; at < bytes.size(); at += 8) a |= word_at(bytes, at);
  return (a | b | c | d) == 0;
}

/// Lay the items out by the request and compare with what the answer says of itself.
Result<std::vector<ItemPlace>> place_items(const sevmon_request_body& request,
                                           std::span<const sevmon_item_result> results,
                                           std::span<const std::byte> data,
                                           std::uint32_t data_bytes, std::uint8_t size_class) {
  std::vector<ItemPlace> places;
  places.reserve(results.size());
  DataLayout layout{size_class};
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& item = request.items[i];
    if (const auto ok = check_status(item, results[i], i); !ok) return ok.error();
    const auto bytes = expected_bytes(item, results[i].status, data);
    if (results[i].bytes != bytes || !layout.fits(bytes))
      return malformed_item(i, "occupies " + std::to_string(results[i].bytes) + " bytes, not " +
                                   std::to_string(bytes));
    const auto offset = layout.place(bytes);
    // All of the data is looked at, whatever was asked for and was there: the relay sees how long
    // it takes until the next request.
    const bool is_zero = is_zero_throughout(data.subspan(offset, bytes));
    if (is_read(item) && results[i].status != SEVMON_STATUS_OK && !is_zero)
      return malformed_item(i, "a failed read with data");
    if (item.type == SEVMON_ITEM_PROGRAM_RUN && results[i].status == SEVMON_STATUS_OK &&
        !fits(Reader{data}.take<sevmon_run_report>(), bytes))
      return malformed_item(i, "a run's report");
    places.push_back({results[i].status, results[i].level,
                      static_cast<std::uint32_t>(SEVMON_DATA_OFFSET) + offset, bytes});
  }
  if (data_bytes != layout.used())
    return malformed(std::to_string(data_bytes) + " bytes of data, not " +
                     std::to_string(layout.used()));
  if (!is_zero_throughout(data.subspan(layout.used()))) return malformed("data behind the items");
  return places;
}

}  // namespace

Result<ResponseView> decode_response(std::span<const std::byte> body, std::uint64_t n,
                                     std::uint8_t size_class, const sevmon_request_body& request) {
  if (size_class >= SEVMON_CLASSES || body.size() != SEVMON_RESPONSE_BODY_BYTES(size_class))
    return Error{ErrorCode::kTruncated, "answer: " + std::to_string(body.size()) + " bytes"};
  Reader reader{body};
  ResponseView view{.head = reader.take<sevmon_response_head>(), .items = {}};
  const auto results = reader.take<std::array<sevmon_item_result, SEVMON_MAX_ITEMS>>();
  if (const auto ok = check_head(view.head, n, request); !ok) return ok.error();
  const bool was_looked_at = view.head.status == SEVMON_ANSWER_OK;
  const std::size_t count = was_looked_at ? view.head.items : 0;
  if (!all_zero(std::as_bytes(std::span{results}.subspan(count))))
    return malformed("results beyond the items");
  if (!was_looked_at) {
    if (view.head.data_bytes != 0) return malformed("data without items");
    view.items.resize(view.head.items);
    return view;
  }
  auto places = place_items(request, std::span{results}.first(count), reader.bytes(reader.left()),
                            view.head.data_bytes, size_class);
  if (!places) return places.error();
  view.items = *std::move(places);
  return view;
}

}  // namespace sevmon::common
