// SPDX-License-Identifier: Apache-2.0
#include "profile/btf_check.hpp"

#include <linux/btf.h>

#include <optional>
#include <string>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

struct Layout {
  std::size_t types_at;
  std::size_t types_bytes;
  ByteSpan strings;
};

Result<Layout> read_header(ByteSpan btf) {
  if (btf.size() < sizeof(btf_header))
    return Error{ErrorCode::kTruncated, "BTF header: " + std::to_string(btf.size()) + " bytes"};
  const auto header = load_le<btf_header>(btf, 0);
  if (header.magic != BTF_MAGIC)
    return Error{ErrorCode::kMalformed, "BTF magic is " + hex(header.magic)};
  if (header.version != BTF_VERSION)
    return Error{ErrorCode::kUnsupported, "BTF version " + std::to_string(header.version)};
  if (header.hdr_len < sizeof(btf_header) || header.hdr_len % 4 != 0 || header.type_off % 4 != 0)
    return Error{ErrorCode::kMalformed,
                 "BTF header length " + hex(header.hdr_len) + ", types at " + hex(header.type_off)};
  const std::uint64_t types_at = std::uint64_t{header.hdr_len} + header.type_off;
  const std::uint64_t strings_at = std::uint64_t{header.hdr_len} + header.str_off;
  if (!fits(btf.size(), types_at, header.type_len) || !fits(btf.size(), strings_at, header.str_len))
    return Error{ErrorCode::kTruncated, "BTF of " + hex(btf.size()) + " bytes, types to " +
                                            hex(types_at + header.type_len) + ", strings to " +
                                            hex(strings_at + header.str_len)};
  if (types_at + header.type_len > strings_at)
    return Error{ErrorCode::kMalformed, "BTF strings at " + hex(strings_at) + " inside the types"};
  const ByteSpan strings = btf.subspan(strings_at, header.str_len);
  if (strings.empty() || strings.front() != std::byte{0} || strings.back() != std::byte{0})
    return Error{ErrorCode::kMalformed, "BTF strings at " + hex(strings_at) + " lack their NULs"};
  return Layout{static_cast<std::size_t>(types_at), header.type_len, strings};
}

/// The record at `at`, its kind's payload, and where the references in it lie.
struct Record {
  std::uint32_t kind;
  std::uint32_t count;                         // of elements behind the record
  std::size_t element_bytes;                   // each
  bool has_reference;                          // size_or_type is a type's id
  std::optional<std::size_t> element_type_at;  // where in an element an id lies
  bool elements_have_names;
};

std::optional<Record> describe(const btf_type& type) {
  const std::uint32_t kind = BTF_INFO_KIND(type.info);
  const std::uint32_t vlen = BTF_INFO_VLEN(type.info);
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_DECL_TAG:
    case BTF_KIND_VAR:
      return Record{kind, 1, 4, kind != BTF_KIND_INT, {}, false};
    case BTF_KIND_FLOAT:
    case BTF_KIND_FWD:
      return Record{kind, 0, 0, false, {}, false};
    case BTF_KIND_PTR:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG:
    case BTF_KIND_FUNC:
      return Record{kind, 0, 0, true, {}, false};
    case BTF_KIND_ARRAY:  // its index type follows its element type, and is checked apart
      return Record{kind, 1, sizeof(btf_array), false, offsetof(btf_array, type), false};
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return Record{kind, vlen, sizeof(btf_member), false, offsetof(btf_member, type), true};
    case BTF_KIND_ENUM:
      return Record{kind, vlen, sizeof(btf_enum), false, {}, true};
    case BTF_KIND_ENUM64:
      return Record{kind, vlen, sizeof(btf_enum64), false, {}, true};
    case BTF_KIND_FUNC_PROTO:
      return Record{kind, vlen, sizeof(btf_param), true, offsetof(btf_param, type), true};
    case BTF_KIND_DATASEC:
      return Record{kind, vlen, sizeof(btf_var_secinfo), false, offsetof(btf_var_secinfo, type),
                    false};
    default:
      return std::nullopt;
  }
}

/// Calls `visit(at, type, record)` for each type. @return their count, or why they do not parse.
template <typename Visit>
Result<std::uint32_t> walk(ByteSpan btf, const Layout& layout, Visit visit) {
  const std::size_t end = layout.types_at + layout.types_bytes;
  std::uint32_t count = 0;
  for (std::size_t at = layout.types_at; at < end;) {
    const auto what = [&] { return "BTF type " + std::to_string(count + 1) + " at " + hex(at); };
    if (end - at < sizeof(btf_type)) return Error{ErrorCode::kTruncated, what()};
    const auto type = load_le<btf_type>(btf, at);
    const auto record = describe(type);
    if (!record)
      return Error{ErrorCode::kUnsupported,
                   what() + " is of kind " + std::to_string(BTF_INFO_KIND(type.info))};
    const std::size_t bytes = sizeof type + record->count * record->element_bytes;
    if (end - at < bytes)
      return Error{ErrorCode::kTruncated, what() + ", " + hex(bytes) + " bytes"};
    if (!visit(at, type, *record))
      return Error{ErrorCode::kMalformed, what() + " names a type or string that is not there"};
    at += bytes;
    ++count;
  }
  return count;
}

}  // namespace

Result<void> check_btf(ByteSpan btf) {
  const auto layout = read_header(btf);
  if (!layout) return layout.error();
  const auto count =
      walk(btf, *layout, [](std::size_t, const btf_type&, const Record&) { return true; });
  if (!count) return count.error();

  const auto is_type = [&](std::uint32_t id) { return id <= *count; };
  const auto is_string = [&](std::uint32_t offset) { return offset < layout->strings.size(); };
  const auto checked =
      walk(btf, *layout, [&](std::size_t at, const btf_type& type, const Record& record) {
        if (!is_string(type.name_off) || (record.has_reference && !is_type(type.type)))
          return false;
        std::size_t element = at + sizeof type;
        if (record.kind == BTF_KIND_ARRAY && !is_type(load_le<btf_array>(btf, element).index_type))
          return false;
        for (std::uint32_t i = 0; i < record.count; ++i, element += record.element_bytes)
          if ((record.elements_have_names && !is_string(load_le<std::uint32_t>(btf, element))) ||
              (record.element_type_at &&
               !is_type(load_le<std::uint32_t>(btf, element + *record.element_type_at))))
            return false;
        return true;
      });
  if (!checked) return checked.error();
  return {};
}

}  // namespace sevmon::ids
