// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sevmon/program.h>
#include <sevmon/wire.h>
#include <sevmon/result.hpp>

namespace sevmon::common {

/// Each decoder validates the whole of its input before it returns anything: sizes, reserved bytes,
/// ranges of codes. None allocates by a length from outside that it has not checked.

// ---- The relay's envelope ----

enum class Direction { kToAgent, kToIds };

using EnvelopeBytes = std::array<std::byte, sizeof(sevmon_envelope)>;

EnvelopeBytes encode_envelope(const sevmon_envelope& envelope);

/// To the agent: a frame of 16 to 1,020 bytes. To the IDS: a frame of 16 to 62,012 bytes, or a
/// notice without one.
/// @return kMalformed: reserved bytes, an unknown notice, a notice with a frame, neither;
///         kTooLarge: over the direction's limit.
Result<sevmon_envelope> decode_envelope(std::span<const std::byte, sizeof(sevmon_envelope)> bytes,
                                        Direction direction);

// ---- Frames ----

/// The one size of a frame of that type, header included. 0: there is no such type or class.
std::size_t frame_bytes(std::uint8_t type, std::uint8_t size_class);

/// The header of a whole `frame`, which has its type's one size.
/// @return kTruncated, kMalformed.
Result<sevmon_header> decode_header(std::span<const std::byte> frame);

using IdBytes = std::array<std::uint8_t, SEVMON_ID_BYTES>;

sevmon_hello make_hello(const IdBytes& ids_id);
/// @return kTruncated, kMalformed; kMismatch when it is for another IDS or from another agent.
Result<sevmon_challenge> decode_challenge(std::span<const std::byte> frame, const IdBytes& ids_id,
                                          const IdBytes& agent_id);

// ---- Requests ----

/// Of a program: the only item of its request, with a payload.
bool is_program_item(const sevmon_item& item);
/// What the item occupies in an answer's data area when it succeeds; 0 for an item of bad form. Of
/// a program's run: at least.
std::uint32_t item_data_bytes(const sevmon_item& item);
/// A known type, its reserved fields zero, its range within one page, its payload as long as the
/// type says.
bool is_valid_item(const sevmon_item& item);
/// Whether the item looks at virtual memory, so that the request's root is looked up.
bool item_needs_root(const sevmon_item& item);

/// Where an answer's data area puts the items of a request, in order: each from the next multiple
/// of 8. place() is also how a request is kept small enough for its answer.
class DataLayout {
 public:
  explicit DataLayout(std::uint8_t size_class)
      : capacity_{SEVMON_CLASS_PAGES(size_class) * SEVMON_PAGE_BYTES} {}

  bool fits(std::uint32_t bytes) const { return aligned() + bytes <= capacity_; }
  /// The offset of the next item, of `bytes` bytes; they must fit. No bytes: nothing moves.
  std::uint32_t place(std::uint32_t bytes);
  /// Up to the end of the last item.
  std::uint32_t used() const { return used_; }

 private:
  std::uint32_t aligned() const { return (used_ + 7) & ~7u; }
  std::uint32_t capacity_;
  std::uint32_t used_ = 0;
};

/// Check `head` and `items` and lay them out. Sets head.items. `payload` is of a program's item.
/// @return kUsage: over SEVMON_MAX_ITEMS, an item of bad form, a program's that is not alone or not
///         of its payload, a root that cannot be, or results that outgrow the size class.
Result<sevmon_request_body> make_request(sevmon_request_head head,
                                         std::span<const sevmon_item> items,
                                         std::uint8_t size_class,
                                         std::span<const std::byte> payload = {});

/// @return kMalformed.
Result<sevmon_request_body> decode_request(
    std::span<const std::byte, SEVMON_REQUEST_BODY_BYTES> bytes);

// ---- Responses ----

/// Where one item's result lies in a response body.
struct ItemPlace {
  std::uint16_t status = 0;  // SEVMON_STATUS_*
  std::uint8_t level = 0;
  std::uint32_t offset = 0;  // from the start of the body
  std::uint32_t bytes = 0;
};

/// One result of a standing program, in place.
struct StandingResult {
  sevmon_result_head head{};
  std::span<const std::byte> bytes;  // head.report.result_bytes
};

struct CollectedView {
  sevmon_collected head{};
  std::vector<StandingResult> results;  // by number
  std::size_t bytes = 0;                // of all of that
};

/// What a PROGRAM_COLLECT item gave, at the beginning of `data`.
/// @return kMalformed: it says more than there is, of results in no order or with rests.
Result<CollectedView> decode_collected(std::span<const std::byte> data);

/// How a run ended and what it says of itself fit.
bool is_sound(const sevmon_run_report& report);

struct ResponseView {
  sevmon_response_head head{};
  std::vector<ItemPlace> items;  // as many as the request has
};

/// The decrypted `body` that answers `request`, sent as number `n`. The layout follows from the
/// request: an answer that lays it out otherwise is refused, whatever it says.
/// @return kTruncated: not the size of the class; kMismatch: of another request; kMalformed.
Result<ResponseView> decode_response(std::span<const std::byte> body, std::uint64_t n,
                                     std::uint8_t size_class, const sevmon_request_body& request);

}  // namespace sevmon::common
