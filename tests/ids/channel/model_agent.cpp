// SPDX-License-Identifier: Apache-2.0
#include "ids/channel/model_agent.hpp"

#include <cstring>

#include <sevmon/cursor.hpp>

namespace sevmon::ids::test {
namespace {

Secret<32> make_psk(std::uint8_t psk_byte) {
  Secret<32> psk;
  for (std::size_t i = 0; i < 32; ++i) psk.edit()[i] = static_cast<std::uint8_t>(0x40 + i);
  psk.edit()[0] = psk_byte;
  return psk;
}

template <common::Plain T>
void append(Bytes& bytes, const T& value) {
  const auto raw = common::bytes_of(value);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

template <common::Plain T>
T from_bytes(std::span<const std::byte> bytes) {
  return common::Reader{bytes}.take<T>();
}

sevmon_header make_header(std::uint8_t type) {
  sevmon_header header{};
  header.type = type;
  header.version = SEVMON_PROTOCOL_VERSION;
  return header;
}

}  // namespace

Bytes key_file(std::uint8_t psk_byte) {
  sevmon_key_head head{};
  std::memcpy(head.magic, SEVMON_KEY_MAGIC, sizeof(head.magic));
  head.version = 1;
  head.count = 1;
  std::ranges::copy(kAgentId, head.agent_id);
  sevmon_key_entry entry{};
  std::ranges::copy(kIdsId, entry.ids_id);
  std::ranges::copy(make_psk(psk_byte).view(), entry.psk);
  Bytes bytes;
  append(bytes, head);
  append(bytes, entry);
  return bytes;
}

std::byte byte_at(std::uint64_t address) {
  return static_cast<std::byte>((address * 0x9e3779b97f4a7c15ull) >> 56);
}

bool is_mapped(std::uint64_t address) {
  return address / SEVMON_PAGE_BYTES % 8 != 7;
}

ModelAgent::ModelAgent(std::uint8_t psk_byte) : psk_{make_psk(psk_byte)} {
  reboot();
}

void ModelAgent::reboot() {
  const std::lock_guard lock{mutex_};
  boot_nonce_ = random_array<16>();
  challenge_ = random_array<16>();
  sessions_.clear();
  next_session_ = 1;
}

std::size_t ModelAgent::session_count() const {
  const std::lock_guard lock{mutex_};
  return sessions_.size();
}

std::size_t ModelAgent::handshakes() const {
  const std::lock_guard lock{mutex_};
  return handshakes_;
}

std::optional<Bytes> ModelAgent::answer(std::span<const std::byte> frame) {
  const std::lock_guard lock{mutex_};
  const auto header = common::decode_header(frame);
  if (!header) return std::nullopt;
  switch (header->type) {
    case SEVMON_FRAME_HELLO:
      return challenge(from_bytes<sevmon_hello>(frame));
    case SEVMON_FRAME_INITIATE:
      return accept(from_bytes<sevmon_handshake>(frame));
    case SEVMON_FRAME_REQUEST:
      return respond(*header, frame);
  }
  return std::nullopt;
}

Bytes ModelAgent::challenge(const sevmon_hello& hello) const {
  sevmon_challenge challenge{};
  challenge.header = make_header(SEVMON_FRAME_CHALLENGE);
  std::ranges::copy(hello.ids_id, challenge.ids_id);
  std::ranges::copy(kAgentId, challenge.agent_id);
  std::ranges::copy(boot_nonce_, challenge.boot_nonce);
  std::ranges::copy(challenge_, challenge.challenge);
  Bytes bytes;
  append(bytes, challenge);
  return bytes;
}

std::optional<Bytes> ModelAgent::accept(const sevmon_handshake& initiate) {
  sevmon_prologue prologue{};
  std::memcpy(prologue.magic, SEVMON_PROLOGUE_MAGIC, sizeof(prologue.magic));
  prologue.version = SEVMON_PROTOCOL_VERSION;
  std::ranges::copy(kAgentId, prologue.agent_id);
  std::ranges::copy(kIdsId, prologue.ids_id);
  std::ranges::copy(boot_nonce_, prologue.boot_nonce);
  std::ranges::copy(challenge_, prologue.challenge);

  SymmetricState noise{as_u8(common::bytes_of(prologue))};
  noise.mix_key_and_hash(psk_.view());
  noise.mix_hash(initiate.ephemeral);
  noise.mix_key(initiate.ephemeral);
  const auto sealed =
      as_u8(common::bytes_of(initiate)).subspan(offsetof(sevmon_handshake, payload));
  const auto payload = noise.decrypt_and_hash(sealed);
  if (!payload) return std::nullopt;
  challenge_ = random_array<16>();
  const auto asked = from_bytes<sevmon_initiate>(std::as_bytes(std::span{*payload}));

  if (on_initiate) on_initiate(asked);
  sevmon_accept accept{};
  accept.session = next_session_++;
  if (on_accept) on_accept(accept);
  const auto e = generate_keypair();
  const auto public_key = ephemeral ? *ephemeral : e.public_key;
  noise.mix_hash(public_key);
  noise.mix_key(public_key);
  const auto shared = x25519(e.private_key, initiate.ephemeral);
  if (!shared) return std::nullopt;
  noise.mix_key(shared->view());
  const auto ciphertext = noise.encrypt_and_hash(as_u8(common::bytes_of(accept)));

  Bytes bytes;
  append(bytes, make_header(SEVMON_FRAME_ACCEPT));
  append(bytes, kIdsId);
  append(bytes, public_key);
  const auto raw = std::as_bytes(std::span{ciphertext});
  bytes.insert(bytes.end(), raw.begin(), raw.end());

  const auto keys = noise.split();
  common::IdBytes connection_id;
  std::ranges::copy(asked.connection_id, connection_id.begin());
  sessions_.emplace(
      accept.session,
      Session{connection_id, asked.size_class, Xaes{keys.requests}, Xaes{keys.responses}, {}});
  ++handshakes_;
  return bytes;
}

std::optional<Bytes> ModelAgent::respond(const sevmon_header& header,
                                         std::span<const std::byte> frame) {
  const auto found = sessions_.find(header.session);
  if (found == sessions_.end() || found->second.size_class != header.size_class)
    return std::nullopt;
  auto& session = found->second;
  const auto raw = as_u8(frame);
  const auto aad = raw.first<sizeof(sevmon_header)>();
  const auto random = raw.subspan<sizeof(sevmon_header), SEVMON_XNONCE_BYTES>();
  std::array<std::byte, SEVMON_REQUEST_BODY_BYTES> body;
  if (!session.requests.open(make_nonce(random, header.n), aad, raw.subspan(SEVMON_BODY_OFFSET),
                             as_u8(std::span<std::byte>{body})))
    return std::nullopt;
  if (!session.seen.insert(header.n).second) return std::nullopt;
  const auto request = common::decode_request(body);
  if (!request) return std::nullopt;

  auto plain = build_body(*request, session, header.n);
  if (on_response) on_response(plain);
  auto answer_header = header;
  answer_header.type = SEVMON_FRAME_RESPONSE;
  const auto fresh = random_array<SEVMON_XNONCE_BYTES>();
  Bytes answer;
  append(answer, answer_header);
  append(answer, fresh);
  answer.resize(SEVMON_RESPONSE_FRAME_BYTES(session.size_class));
  session.responses.seal(make_nonce(fresh, header.n), as_u8(common::bytes_of(answer_header)),
                         as_u8(std::span{plain}),
                         as_u8(std::span{answer}).subspan(SEVMON_BODY_OFFSET));
  for (std::size_t i = 0; i < request->head.items; ++i)
    if (request->items[i].type == SEVMON_ITEM_CLOSE)
      std::erase_if(sessions_, [id = session.connection_id](const auto& entry) {
        return entry.second.connection_id == id;
      });
  return answer;
}

Bytes ModelAgent::build_body(const sevmon_request_body& request, const Session& session,
                             std::uint64_t n) const {
  Bytes body(SEVMON_RESPONSE_BODY_BYTES(session.size_class), std::byte{0});
  sevmon_response_head head{};
  head.n = n;
  head.time_ns = 1;
  head.vcpu = 0xffff;
  head.kind = SEVMON_TARGET_IMAGE;
  head.items = request.head.items;
  std::array<sevmon_item_result, SEVMON_MAX_ITEMS> results{};
  common::DataLayout layout{session.size_class};
  for (std::size_t i = 0; i < head.items; ++i) {
    const auto& item = request.items[i];
    results[i].bytes = common::item_data_bytes(item);
    const auto offset = SEVMON_DATA_OFFSET + layout.place(results[i].bytes);
    if (item.type != SEVMON_ITEM_READ_VIRTUAL) continue;
    if (!is_mapped(item.address)) {
      results[i].status = SEVMON_STATUS_NOT_MAPPED;
      results[i].level = 1;
      continue;
    }
    for (std::uint64_t j = 0; j < item.bytes; ++j) body[offset + j] = byte_at(item.address + j);
  }
  head.data_bytes = layout.used();
  std::memcpy(body.data(), &head, sizeof(head));
  std::memcpy(body.data() + sizeof(head), &results, sizeof(results));
  return body;
}

}  // namespace sevmon::ids::test
