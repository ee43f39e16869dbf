// SPDX-License-Identifier: Apache-2.0
#include "program/btf_ext.hpp"

#include <linux/btf.h>

#include <string>

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// What Documentation/bpf/btf.rst gives; libbpf has these structures to itself.
struct ExtHeader {
  std::uint16_t magic;
  std::uint8_t version;
  std::uint8_t flags;
  std::uint32_t header_bytes;
  std::uint32_t functions_at, functions_bytes;
  std::uint32_t lines_at, lines_bytes;
  // Not in headers of before there were relocations.
  std::uint32_t relocations_at, relocations_bytes;
};
constexpr std::uint32_t kOldHeaderBytes = offsetof(ExtHeader, relocations_at);

struct RawLine {
  std::uint32_t offset, file, text, place;
};

BtfExt::Function convert(const BtfExt::Function& raw) {
  return raw;
}
BtfExt::Relocation convert(const BtfExt::Relocation& raw) {
  return raw;
}
BtfExt::Line convert(const RawLine& raw) {
  return {raw.offset, raw.file, raw.text, raw.place >> 10, raw.place & 1023};
}

Error at(ErrorCode code, std::size_t offset, const std::string& what) {
  return {code, ".BTF.ext at " + hex(offset) + ": " + what};
}

/// One of the parts: the size of a record, then for each section its name, a count, and records.
template <typename Raw, typename Record>
Result<void> read_part(ByteSpan raw, std::uint64_t begin, std::uint32_t bytes,
                       std::vector<BtfExt::OfSection<Record>>& out) {
  if (bytes == 0) return {};
  if (begin % 4 != 0) return at(ErrorCode::kMalformed, begin, "not aligned");
  if (bytes < 4 || !fits(raw.size(), begin, bytes))
    return at(ErrorCode::kTruncated, begin, hex(bytes) + " bytes of " + hex(raw.size()));
  const std::uint64_t end = begin + bytes;
  const auto record_bytes = load_le<std::uint32_t>(raw, begin);
  if (record_bytes < sizeof(Raw) || record_bytes % 4 != 0)
    return at(ErrorCode::kUnsupported, begin,
              "records of " + std::to_string(record_bytes) + " bytes");
  for (std::uint64_t next = begin + 4; next < end;) {
    if (end - next < 8) return at(ErrorCode::kTruncated, next, "a section's head");
    BtfExt::OfSection<Record> part{load_le<std::uint32_t>(raw, next), {}};
    const auto count = load_le<std::uint32_t>(raw, next + 4);
    next += 8;
    if (!fits(end - next, 0, std::uint64_t{count} * record_bytes))
      return at(ErrorCode::kTruncated, next, std::to_string(count) + " records");
    for (std::uint32_t i = 0; i < count; ++i, next += record_bytes)
      part.records.push_back(convert(load_le<Raw>(raw, next)));
    out.push_back(std::move(part));
  }
  return {};
}

}  // namespace

Result<BtfExt> BtfExt::parse(ByteSpan raw) {
  if (raw.size() < kOldHeaderBytes)
    return at(ErrorCode::kTruncated, 0, std::to_string(raw.size()) + " bytes");
  ExtHeader header{};
  std::memcpy(&header, raw.data(), kOldHeaderBytes);
  if (header.magic != BTF_MAGIC) return at(ErrorCode::kMalformed, 0, "magic " + hex(header.magic));
  if (header.version != BTF_VERSION || header.flags != 0)
    return at(ErrorCode::kUnsupported, 2,
              "version " + std::to_string(header.version) + ", flags " + hex(header.flags));
  if (header.header_bytes < kOldHeaderBytes || header.header_bytes % 4 != 0)
    return at(ErrorCode::kMalformed, 4, "a header of " + hex(header.header_bytes) + " bytes");
  if (header.header_bytes > raw.size())
    return at(ErrorCode::kTruncated, 4, "a header of " + hex(header.header_bytes) + " bytes");
  if (header.header_bytes >= sizeof header) std::memcpy(&header, raw.data(), sizeof header);

  BtfExt ext;
  const std::uint64_t base = header.header_bytes;
  if (auto done = read_part<Function>(raw, base + header.functions_at, header.functions_bytes,
                                      ext.functions);
      !done)
    return done.error();
  if (auto done = read_part<RawLine>(raw, base + header.lines_at, header.lines_bytes, ext.lines);
      !done)
    return done.error();
  if (auto done = read_part<Relocation>(raw, base + header.relocations_at, header.relocations_bytes,
                                        ext.relocations);
      !done)
    return done.error();
  return ext;
}

}  // namespace sevmon::ids
