// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <utility>

#include <unistd.h>

#include <sevmon/channel.hpp>
#include <sevmon/cursor.hpp>
#include <sevmon/text.hpp>

#include "channel/crypto.hpp"
#include "channel/file.hpp"
#include "channel/key_file.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::IdBytes;
using common::Result;

/// An entry on the stack for as long as it takes to put it into locked memory.
struct WipedEntry {
  sevmon_key_entry entry{};
  ~WipedEntry() { OPENSSL_cleanse(&entry, sizeof(entry)); }
};

Result<KeyFile> agent_file(const std::string& path) {
  auto file = KeyFile::read(path);
  if (!file && file.error().code == ErrorCode::kNotFound)
    return KeyFile::make_empty(random_array<SEVMON_ID_BYTES>());
  return file;
}

Result<void> add_key(const std::string& ids_path, const std::string& agent_path) {
  const auto lock = lock_folder_of(agent_path);
  if (!lock) return lock.error();
  auto agent = agent_file(agent_path);
  if (!agent) return agent.error();
  if (agent->head().count >= SEVMON_MAX_KEYS)
    return Error{ErrorCode::kKey, agent_path + ": full: one agent serves " +
                                      std::to_string(SEVMON_MAX_KEYS) + " IDSs"};
  WipedEntry fresh;
  random_bytes(fresh.entry.ids_id);
  random_bytes(fresh.entry.psk);
  IdBytes agent_id;
  std::ranges::copy(agent->head().agent_id, agent_id.begin());
  auto ids = KeyFile::make_empty(agent_id);
  ids.add(fresh.entry);
  agent->add(fresh.entry);

  if (auto ok = write_new(ids_path, ids.bytes()); !ok)
    return Error{ErrorCode::kIo, ok.error().detail};
  auto replaced = replace(agent_path, agent->bytes());
  // A key that the agent does not have is of no use to anybody.
  if (!replaced) ::unlink(ids_path.c_str());
  return replaced;
}

/// "0123…, 4567…": the IDSs that an agent's file has keys of.
std::string list_ids(const KeyFile& file) {
  std::string ids;
  for (std::size_t i = 0; i < file.head().count; ++i)
    ids += (i == 0 ? "" : ", ") + hex(std::span<const std::uint8_t>{file.entry(i).ids_id});
  return ids;
}

bool is_same_path(const std::string& a, const std::string& b) {
  std::error_code error_a, error_b;
  return std::filesystem::weakly_canonical(a, error_a) ==
             std::filesystem::weakly_canonical(b, error_b) &&
         !error_a && !error_b;
}

}  // namespace

struct Key::Impl {
  explicit Impl(KeyFile key_file) : file{std::move(key_file)} {
    std::ranges::copy(file.head().agent_id, agent_id.begin());
    std::ranges::copy(file.entry(0).ids_id, ids_id.begin());
  }
  KeyFile file;
  IdBytes agent_id;
  IdBytes ids_id;
};

Key::Key() = default;
Key::Key(Key&&) noexcept = default;
Key& Key::operator=(Key&&) noexcept = default;
Key::~Key() = default;

Result<Key> Key::parse(std::span<const std::byte> bytes) {
  auto file = KeyFile::parse(bytes);
  if (!file) return file.error();
  if (file->head().count != 1)
    return Error{ErrorCode::kKey, "key file: " + std::to_string(file->head().count) +
                                      " entries: an agent's, not an IDS's"};
  Key key;
  key.impl_ = std::make_unique<Impl>(*std::move(file));
  return key;
}

Result<Key> Key::load(const std::string& path) {
  const auto file = KeyFile::read(path);
  if (!file)
    return Error{file.error().code == ErrorCode::kKey ? ErrorCode::kKey : ErrorCode::kIo,
                 file.error().detail};
  auto key = parse(file->bytes());
  if (!key) return Error{key.error().code, path + ": " + key.error().detail};
  return key;
}

const IdBytes& Key::agent_id() const {
  return impl_->agent_id;
}
const IdBytes& Key::ids_id() const {
  return impl_->ids_id;
}

std::span<const std::uint8_t, SEVMON_PSK_BYTES> Key::psk() const {
  return impl_->file.entry(0).psk;
}

Result<void> generate_key(const std::string& ids_path, const std::string& agent_path) {
  if (is_same_path(ids_path, agent_path))
    return Error{ErrorCode::kUsage, ids_path + ": the IDS's and the agent's key file at once"};
  try {
    return add_key(ids_path, agent_path);
  } catch (const CryptoFailure& failure) {
    return Error{ErrorCode::kInternal, failure.what()};
  }
}

Result<void> revoke_key(const IdBytes& ids_id, const std::string& agent_path) {
  const auto lock = lock_folder_of(agent_path);
  if (!lock) return lock.error();
  auto agent = KeyFile::read(agent_path);
  if (!agent) return agent.error();
  std::size_t index = 0;
  while (index < agent->head().count && !std::ranges::equal(agent->entry(index).ids_id, ids_id))
    ++index;
  if (index == agent->head().count)
    return Error{ErrorCode::kNotFound,
                 agent_path + ": no key of that IDS there, only of " + list_ids(*agent)};
  if (agent->head().count == 1)
    return Error{ErrorCode::kKey, agent_path + ": its only key; an agent needs one"};
  agent->remove(index);
  return replace(agent_path, agent->bytes());
}

}  // namespace sevmon::ids
