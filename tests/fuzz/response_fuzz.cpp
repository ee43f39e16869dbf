// SPDX-License-Identifier: Apache-2.0
// Target: common::decode_request and common::decode_response.
// Input: a request body, then as much of a one-page response body as there is; the rest is zeros.
// Property: a request that decodes is one that make_request() makes, if its answer fits; every item
// of an answer lies within the body, after the one before, and is as long as the request says.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

using namespace sevmon::common;

namespace {

void check(const ResponseView& view, const sevmon_request_body& request, std::size_t body_bytes) {
  if (view.items.size() != request.head.items) std::abort();
  std::size_t end = SEVMON_DATA_OFFSET;
  for (std::size_t i = 0; i < view.items.size(); ++i) {
    const auto& place = view.items[i];
    const auto least = item_data_bytes(request.items[i]);
    const bool has_more = request.items[i].type == SEVMON_ITEM_PROGRAM_RUN;
    if (place.bytes != 0 && (has_more ? place.bytes < least : place.bytes != least)) std::abort();
    if (place.bytes == 0) continue;
    if (place.offset < end || place.bytes > body_bytes - place.offset) std::abort();
    end = place.offset + place.bytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto in = std::as_bytes(std::span{data, size});
  if (size < SEVMON_REQUEST_BODY_BYTES) return 0;
  const auto raw = in.first<SEVMON_REQUEST_BODY_BYTES>();
  const auto request = decode_request(raw);
  if (!request) return 0;
  const std::span items{request->items, request->head.items};
  const bool is_program = items.size() == 1 && is_program_item(items[0]);
  const auto payload = raw.subspan(sizeof(sevmon_request_head) + sizeof(sevmon_item))
                           .first(is_program ? items[0].bytes : 0);
  if (const auto made = make_request(request->head, items, SEVMON_CLASS_15_PAGES, payload))
    if (!std::ranges::equal(bytes_of(*made), raw)) std::abort();

  std::vector<std::byte> body(SEVMON_RESPONSE_BODY_BYTES(SEVMON_CLASS_1_PAGE));
  const auto given = in.subspan(SEVMON_REQUEST_BODY_BYTES);
  std::ranges::copy(given.first(std::min(given.size(), body.size())), body.begin());
  std::uint64_t n = 0;
  std::memcpy(&n, body.data(), sizeof(n));
  if (const auto view = decode_response(body, n, SEVMON_CLASS_1_PAGE, *request))
    check(*view, *request, body.size());
  if (decode_response(body, n + 1, SEVMON_CLASS_1_PAGE, *request)) std::abort();
  return 0;
}
