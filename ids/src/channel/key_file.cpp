// SPDX-License-Identifier: Apache-2.0
#include "channel/key_file.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sevmon/cursor.hpp>

#include "channel/file.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::size_t kHeadBytes = sizeof(sevmon_key_head);
constexpr std::size_t kEntryBytes = sizeof(sevmon_key_entry);

Error bad(const std::string& what) {
  return {ErrorCode::kKey, "key file: " + what};
}

/// @return an empty string when the head is sound.
std::string fault_of(const sevmon_key_head& head) {
  if (std::memcmp(head.magic, SEVMON_KEY_MAGIC, sizeof(head.magic)) != 0) return "not one";
  if (head.version != 1) return "version " + std::to_string(head.version);
  if (head.count < 1 || head.count > SEVMON_MAX_KEYS)
    return std::to_string(head.count) + " entries";
  if (head.zero != 0) return "reserved bytes";
  if (common::all_zero(common::bytes_of(head.agent_id))) return "no agent id";
  return "";
}

std::string fault_of(const KeyFile& file, std::size_t index) {
  const auto& entry = file.entry(index);
  if (common::all_zero(common::bytes_of(entry.ids_id))) return "no IDS id";
  if (common::all_zero(common::bytes_of(entry.psk))) return "no key";
  for (std::size_t i = 0; i < index; ++i) {
    if (std::ranges::equal(file.entry(i).ids_id, entry.ids_id)) return "an IDS id twice";
    if (std::ranges::equal(file.entry(i).psk, entry.psk)) return "a key twice";
  }
  return "";
}

}  // namespace

LockedPage::LockedPage() {
  void* const page =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc{};
  data_ = static_cast<std::byte*>(page);
  // Without the limit or the privilege for it the key may be swapped out: no reason not to run.
  static_cast<void>(::mlock(data_, kBytes));
  static_cast<void>(::madvise(data_, kBytes, MADV_DONTDUMP));
}

LockedPage::~LockedPage() {
  OPENSSL_cleanse(data_, kBytes);
  ::munmap(data_, kBytes);  // and unlocks
}

const sevmon_key_head& KeyFile::head() const {
  return *reinterpret_cast<const sevmon_key_head*>(page_->bytes().data());
}

const sevmon_key_entry& KeyFile::entry(std::size_t index) const {
  assert(index < head().count);
  return *reinterpret_cast<const sevmon_key_entry*>(
      page_->bytes().subspan(kHeadBytes + index * kEntryBytes).data());
}

std::span<const std::byte> KeyFile::bytes() const {
  return page_->bytes().first(kHeadBytes + head().count * kEntryBytes);
}

Result<KeyFile> KeyFile::parse(std::span<const std::byte> bytes) {
  common::Reader reader{bytes};
  const auto head = reader.take<sevmon_key_head>();
  if (reader.failed()) return bad("truncated");
  if (const auto fault = fault_of(head); !fault.empty()) return bad(fault);
  if (reader.left() != head.count * kEntryBytes)
    return bad(std::to_string(bytes.size()) + " bytes for " + std::to_string(head.count) +
               " entries");
  KeyFile file;
  std::ranges::copy(bytes, file.page_->bytes().begin());
  for (std::size_t i = 0; i < head.count; ++i)
    if (const auto fault = fault_of(file, i); !fault.empty())
      return bad("entry " + std::to_string(i) + ": " + fault);
  return file;
}

Result<KeyFile> KeyFile::read(const std::string& path) {
  auto fd = open_private(path);
  if (!fd) return fd.error();
  const LockedPage page;
  std::size_t filled = 0;
  while (filled < LockedPage::kBytes) {
    const auto room = page.bytes().subspan(filled);
    const auto got = ::read(fd->get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("read", path);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  auto file = parse(page.bytes().first(filled));
  if (!file) return Error{file.error().code, path + ": " + file.error().detail};
  return file;
}

KeyFile KeyFile::make_empty(const common::IdBytes& agent_id) {
  KeyFile file;
  sevmon_key_head head{};
  std::copy_n(SEVMON_KEY_MAGIC, sizeof(head.magic), head.magic);
  head.version = 1;
  std::ranges::copy(agent_id, head.agent_id);
  std::memcpy(file.page_->bytes().data(), &head, sizeof(head));
  return file;
}

void KeyFile::add(const sevmon_key_entry& entry) {
  assert(head().count < SEVMON_MAX_KEYS);
  auto head = this->head();
  std::memcpy(page_->bytes().subspan(kHeadBytes + head.count * kEntryBytes).data(), &entry,
              sizeof(entry));
  ++head.count;
  std::memcpy(page_->bytes().data(), &head, sizeof(head));
}

void KeyFile::remove(std::size_t index) {
  auto head = this->head();
  assert(index < head.count);
  const auto entries = page_->bytes().subspan(kHeadBytes, head.count * kEntryBytes);
  std::ranges::copy(entries.subspan((index + 1) * kEntryBytes),
                    entries.subspan(index * kEntryBytes).begin());
  OPENSSL_cleanse(entries.last(kEntryBytes).data(), kEntryBytes);
  --head.count;
  std::memcpy(page_->bytes().data(), &head, sizeof(head));
}

}  // namespace sevmon::ids
