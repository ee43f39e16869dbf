// SPDX-License-Identifier: Apache-2.0
#include "profile/vmlinuz.hpp"

#include <string>

#include "profile/decompress.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
constexpr std::size_t kSetupSectsAt = 0x1f1;
constexpr std::size_t kBootFlagAt = 0x1fe;
constexpr std::size_t kHeaderMagicAt = 0x202;
constexpr std::size_t kVersionAt = 0x206;
constexpr std::size_t kPayloadOffsetAt = 0x248;
constexpr std::size_t kPayloadLengthAt = 0x24c;
constexpr std::size_t kHeaderEnd = 0x250;
constexpr std::uint16_t kBootFlag = 0xaa55;
constexpr std::uint32_t kHeaderMagic = 0x53726448;   // "HdrS"
constexpr std::uint16_t kFirstWithPayload = 0x0208;  // 2.08
constexpr std::uint32_t kElfMagic = 0x464c457f;      // "\x7fELF"
constexpr std::size_t kSectorBytes = 512;
constexpr std::size_t kTrailerBytes = 4;

bool is_elf(ByteSpan bytes) {
  return bytes.size() >= 4 && load_le<std::uint32_t>(bytes, 0) == kElfMagic;
}

struct Payload {
  std::size_t file_offset;
  ByteSpan bytes;
};

Result<Payload> find_payload(ByteSpan file) {
  if (file.size() < kHeaderEnd)
    return Error{ErrorCode::kTruncated, "file ends at " + hex(file.size()) +
                                            ", inside the bzImage header that reaches " +
                                            hex(kHeaderEnd)};
  if (load_le<std::uint16_t>(file, kBootFlagAt) != kBootFlag ||
      load_le<std::uint32_t>(file, kHeaderMagicAt) != kHeaderMagic)
    return Error{ErrorCode::kUnsupported,
                 "neither a bzImage (no HdrS at 0x202) nor an ELF file (no magic at 0)"};
  const auto version = load_le<std::uint16_t>(file, kVersionAt);
  if (version < kFirstWithPayload)
    return Error{ErrorCode::kUnsupported, "boot protocol " + hex(version) +
                                              " at 0x206 tells no payload; 0x208 is the first"};
  std::size_t setup_sectors = load_le<std::uint8_t>(file, kSetupSectsAt);
  if (setup_sectors == 0) setup_sectors = 4;  // boot.rst: for backwards compatibility
  const std::uint64_t offset = (setup_sectors + 1) * kSectorBytes +
                               std::uint64_t{load_le<std::uint32_t>(file, kPayloadOffsetAt)};
  const auto length = load_le<std::uint32_t>(file, kPayloadLengthAt);
  if (!fits(file.size(), offset, length))
    return Error{ErrorCode::kTruncated, "payload of " + std::to_string(length) +
                                            " bytes at file offset " + hex(offset) +
                                            " passes the file's end at " + hex(file.size())};
  return Payload{static_cast<std::size_t>(offset), file.subspan(offset, length)};
}

Result<std::vector<std::byte>> unpack(const Payload& payload, std::size_t limit_bytes) {
  const Compression compression = detect_compression(payload.bytes);
  if (compression == Compression::kNone)
    return Error{ErrorCode::kUnsupported, "payload at file offset " + hex(payload.file_offset) +
                                              " has no known compression"};
  // The build appends the size of the data as 32 bits; gzip ends in the same word by itself.
  if (payload.bytes.size() < kTrailerBytes)
    return Error{ErrorCode::kTruncated, "payload at file offset " + hex(payload.file_offset) +
                                            " is shorter than its size word"};
  const ByteSpan stream = compression == Compression::kGzip
                              ? payload.bytes
                              : payload.bytes.first(payload.bytes.size() - kTrailerBytes);
  auto vmlinux = decompress(stream, limit_bytes);
  if (!vmlinux)
    return Error{vmlinux.error().code, vmlinux.error().detail + " (payload at file offset " +
                                           hex(payload.file_offset) + ", " +
                                           std::to_string(payload.bytes.size()) + " bytes)"};
  const auto promised = load_le<std::uint32_t>(payload.bytes, payload.bytes.size() - kTrailerBytes);
  if (vmlinux->size() != promised)
    return Error{ErrorCode::kMalformed,
                 std::string{name(compression)} + " payload at file offset " +
                     hex(payload.file_offset) + " holds " + std::to_string(vmlinux->size()) +
                     " bytes, its size word says " + std::to_string(promised)};
  return vmlinux;
}

Result<std::vector<std::byte>> copy_elf(ByteSpan bytes, std::size_t limit_bytes) {
  if (bytes.size() > limit_bytes)
    return Error{ErrorCode::kTooLarge, "ELF file of " + std::to_string(bytes.size()) + " bytes"};
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace

Result<std::vector<std::byte>> extract_vmlinux(ByteSpan file, std::size_t limit_bytes) {
  if (is_elf(file)) return copy_elf(file, limit_bytes);
  const auto payload = find_payload(file);
  if (!payload) return payload.error();
  if (is_elf(payload->bytes)) return copy_elf(payload->bytes, limit_bytes);
  auto vmlinux = unpack(*payload, limit_bytes);
  if (vmlinux && !is_elf(*vmlinux))
    return Error{ErrorCode::kMalformed, "payload at file offset " + hex(payload->file_offset) +
                                            " decompresses to no ELF file"};
  return vmlinux;
}

}  // namespace sevmon::ids
