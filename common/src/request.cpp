// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cassert>
#include <optional>
#include <string>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

namespace sevmon::common {
namespace {

bool is_valid_read(const sevmon_item& item) {
  const auto offset = item.address % SEVMON_PAGE_BYTES;
  return item.bytes >= 1 && item.bytes <= SEVMON_PAGE_BYTES - offset && item.arg == 0;
}

/// How long the payload of a program's item is: just that, or at least.
struct PayloadKind {
  std::size_t bytes;
  bool has_more;
};

std::optional<PayloadKind> payload_kind(std::uint8_t type) {
  switch (type) {
    case SEVMON_ITEM_PROGRAM_BEGIN:
      return PayloadKind{sizeof(sevmon_program_begin), false};
    case SEVMON_ITEM_PROGRAM_CHUNK:
      return PayloadKind{sizeof(sevmon_program_chunk), true};
    case SEVMON_ITEM_PROGRAM_COMMIT:
    case SEVMON_ITEM_PROGRAM_UNLOAD:
    case SEVMON_ITEM_PROGRAM_UNSCHEDULE:
      return PayloadKind{sizeof(sevmon_program_name), false};
    case SEVMON_ITEM_PROGRAM_LIST:
      return PayloadKind{0, false};
    case SEVMON_ITEM_PROGRAM_RUN:
      return PayloadKind{sizeof(sevmon_run_head), true};
    case SEVMON_ITEM_PROGRAM_SCHEDULE:
      return PayloadKind{sizeof(sevmon_schedule_head), true};
    case SEVMON_ITEM_PROGRAM_COLLECT:
      return PayloadKind{sizeof(sevmon_collect), false};
  }
  return std::nullopt;
}

bool is_valid_program_item(const sevmon_item& item) {
  const auto kind = payload_kind(item.type);
  return kind && item.arg == 0 && item.address == 0 && item.bytes <= SEVMON_MAX_PAYLOAD_BYTES &&
         (kind->has_more ? item.bytes >= kind->bytes : item.bytes == kind->bytes);
}

std::span<std::byte> payload_of(sevmon_request_body& body) {
  return std::as_writable_bytes(std::span{body.items}.subspan(1));
}

/// @return an empty string when the head is sound.
std::string fault_of(const sevmon_request_head& head) {
  if (head.items > SEVMON_MAX_ITEMS) return std::to_string(head.items) + " items";
  if (!all_zero(bytes_of(head.zero))) return "reserved bytes";
  switch (head.root_kind) {
    case SEVMON_ROOT_VCPU:
      return head.levels == 0 && head.root_frame == 0 ? "" : "a vCPU's root with frame or levels";
    case SEVMON_ROOT_FRAME:
      if (head.vcpu != 0) return "a root frame with a vCPU";
      return head.levels == 4 || head.levels == 5
                 ? ""
                 : "a root of " + std::to_string(head.levels) + " levels";
  }
  return "root kind " + std::to_string(head.root_kind);
}

}  // namespace

bool is_valid_item(const sevmon_item& item) {
  if (item.zero != 0) return false;
  switch (item.type) {
    case SEVMON_ITEM_READ_VIRTUAL:
    case SEVMON_ITEM_READ_PHYSICAL:
      return is_valid_read(item);
    case SEVMON_ITEM_TRANSLATE:
      return item.bytes == 0 && item.arg == 0;
    case SEVMON_ITEM_VCPU_STATE:
    case SEVMON_ITEM_TRAP_TABLE:
      return item.bytes == 0 && item.address == 0;
    case SEVMON_ITEM_BOOT_RECORD:
    case SEVMON_ITEM_STATUS:
    case SEVMON_ITEM_CLOSE:
      return item.bytes == 0 && item.arg == 0 && item.address == 0;
  }
  return is_valid_program_item(item);
}

bool is_program_item(const sevmon_item& item) {
  return payload_kind(item.type).has_value();
}

bool item_needs_root(const sevmon_item& item) {
  return item.type == SEVMON_ITEM_READ_VIRTUAL || item.type == SEVMON_ITEM_TRANSLATE ||
         item.type == SEVMON_ITEM_PROGRAM_RUN || item.type == SEVMON_ITEM_PROGRAM_SCHEDULE;
}

std::uint32_t item_data_bytes(const sevmon_item& item) {
  if (!is_valid_item(item)) return 0;
  switch (item.type) {
    case SEVMON_ITEM_READ_VIRTUAL:
    case SEVMON_ITEM_READ_PHYSICAL:
      return item.bytes;
    case SEVMON_ITEM_TRANSLATE:
      return sizeof(sevmon_translation);
    case SEVMON_ITEM_VCPU_STATE:
      return sizeof(sevmon_vcpu_state);
    case SEVMON_ITEM_TRAP_TABLE:
      return 256 * sizeof(sevmon_trap);
    case SEVMON_ITEM_BOOT_RECORD:
      return sizeof(sevmon_boot_record);
    case SEVMON_ITEM_STATUS:
      return sizeof(sevmon_status);
    case SEVMON_ITEM_PROGRAM_BEGIN:
      return sizeof(sevmon_program_entry);
    case SEVMON_ITEM_PROGRAM_COMMIT:
      return sizeof(sevmon_program_verdict);
    case SEVMON_ITEM_PROGRAM_LIST:
      return SEVMON_MAX_PROGRAMS * sizeof(sevmon_program_entry);
    case SEVMON_ITEM_PROGRAM_RUN:
      return sizeof(sevmon_run_report);
    case SEVMON_ITEM_PROGRAM_COLLECT:
      return sizeof(sevmon_collected);
  }
  return 0;
}

std::uint32_t DataLayout::place(std::uint32_t bytes) {
  assert(fits(bytes));
  const auto offset = aligned();
  if (bytes > 0) used_ = offset + bytes;
  return offset;
}

Result<sevmon_request_body> make_request(sevmon_request_head head,
                                         std::span<const sevmon_item> items,
                                         std::uint8_t size_class,
                                         std::span<const std::byte> payload) {
  if (items.size() > SEVMON_MAX_ITEMS)
    return Error{ErrorCode::kUsage, "request: " + std::to_string(items.size()) + " items"};
  head.items = static_cast<std::uint16_t>(items.size());
  if (const auto fault = fault_of(head); !fault.empty())
    return Error{ErrorCode::kUsage, "request: " + fault};
  sevmon_request_body body{};
  body.head = head;
  std::ranges::copy(items, body.items);
  DataLayout layout{size_class};
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto bytes = item_data_bytes(items[i]);
    const bool is_program = is_program_item(items[i]);
    if (!is_valid_item(items[i]) ||
        (is_program && (items.size() != 1 || payload.size() != items[i].bytes)))
      return Error{ErrorCode::kUsage, "request: bad item " + std::to_string(i)};
    if (!layout.fits(bytes))
      return Error{ErrorCode::kUsage, "request: results outgrow the answer's size"};
    layout.place(bytes);
  }
  if (!payload.empty()) {
    if (items.empty() || !is_program_item(items[0]))
      return Error{ErrorCode::kUsage, "request: a payload without a program's item"};
    std::ranges::copy(payload, payload_of(body).begin());
  }
  return body;
}

Result<sevmon_request_body> decode_request(
    std::span<const std::byte, SEVMON_REQUEST_BODY_BYTES> bytes) {
  Reader reader{bytes};
  auto body = reader.take<sevmon_request_body>();
  if (const auto fault = fault_of(body.head); !fault.empty())
    return Error{ErrorCode::kMalformed, "request: " + fault};
  if (body.head.items == 1 && is_program_item(body.items[0])) {
    if (!is_valid_item(body.items[0]) || !all_zero(payload_of(body).subspan(body.items[0].bytes)))
      return Error{ErrorCode::kMalformed, "request: a program's item"};
    return body;
  }
  for (std::size_t i = 0; i < SEVMON_MAX_ITEMS; ++i) {
    const bool is_used = i < body.head.items;
    if (is_used ? !is_valid_item(body.items[i]) || is_program_item(body.items[i])
                : !all_zero(bytes_of(body.items[i])))
      return Error{ErrorCode::kMalformed, "request: item " + std::to_string(i)};
  }
  return body;
}

}  // namespace sevmon::common
