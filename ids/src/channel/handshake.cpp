// SPDX-License-Identifier: Apache-2.0
#include "channel/handshake.hpp"

#include <algorithm>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/text.hpp>

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using std::chrono::milliseconds;

constexpr unsigned kMaxTries = 8;
constexpr milliseconds kFirstBackoff{8};
// Between two looks for a free place: each costs the agent a Diffie-Hellman.
constexpr milliseconds kPlaceBackoff{500};
// After a challenge of another agent's: an honest relay answers a frame once, so ours would have to
// overtake an injected one.
constexpr milliseconds kOtherAgentGrace{500};

template <common::Plain T>
std::vector<std::byte> to_frame(const T& value) {
  const auto bytes = common::bytes_of(value);
  return {bytes.begin(), bytes.end()};
}

sevmon_prologue make_prologue(const sevmon_challenge& challenge) {
  sevmon_prologue prologue{};
  std::copy_n(SEVMON_PROLOGUE_MAGIC, sizeof(prologue.magic), prologue.magic);
  prologue.version = SEVMON_PROTOCOL_VERSION;
  std::ranges::copy(challenge.agent_id, prologue.agent_id);
  std::ranges::copy(challenge.ids_id, prologue.ids_id);
  std::ranges::copy(challenge.boot_nonce, prologue.boot_nonce);
  std::ranges::copy(challenge.challenge, prologue.challenge);
  return prologue;
}

/// Whose challenge this is, if nothing else is wrong with it.
std::optional<common::IdBytes> agent_of(std::span<const std::byte> frame,
                                        const common::IdBytes& ids_id) {
  common::Reader reader{frame};
  const auto challenge = reader.take<sevmon_challenge>();
  const auto agent_id = std::to_array(challenge.agent_id);
  if (!reader.done() || !common::decode_challenge(frame, ids_id, agent_id)) return std::nullopt;
  return agent_id;
}

/// An agent answers an IDS that it does not know, or knows no longer, like one whose key is wrong.
std::string describe_refusal(std::int32_t notice) {
  if (notice != SEVMON_NOTICE_REJECTED) return describe_notice(notice);
  return "the agent did not take the handshake: it has no such key (another agent's, replaced, or "
         "revoked), or the relay only says so";
}

}  // namespace

std::string describe_notice(std::int32_t notice) {
  switch (notice) {
    case SEVMON_NOTICE_REJECTED:
      return "the agent did not take the frame (another key, another boot, or a lost session)";
    case SEVMON_NOTICE_NO_AGENT:
      return "there is no agent behind the relay";
    case SEVMON_NOTICE_BUSY:
      return "the agent is busy";
    case SEVMON_NOTICE_MALFORMED:
      return "the relay finds our envelope malformed";
    case SEVMON_NOTICE_LIMIT:
      return "the relay has too many connections";
    case SEVMON_NOTICE_TIMEOUT:
      return "the relay gave up waiting";
    case SEVMON_NOTICE_SHUTDOWN:
      return "the relay is stopping";
    case SEVMON_NOTICE_INTERNAL:
      return "the relay or its helper failed";
  }
  return "notice " + std::to_string(notice);
}

milliseconds backoff(milliseconds mean, unsigned step) {
  const auto range = static_cast<std::uint64_t>(mean.count()) << std::min(step, 10u);
  const auto random = std::bit_cast<std::uint64_t>(random_array<8>());
  return milliseconds{range / 2 + random % (range + 1)};
}

Handshake::Handshake(const Key& key, const common::IdBytes& connection_id, std::uint8_t size_class,
                     milliseconds answer_timeout, TimePoint now)
    : key_{key},
      connection_id_{connection_id},
      size_class_{size_class},
      answer_timeout_{answer_timeout},
      deadline_{now + 2 * answer_timeout},
      wake_{now} {}

std::optional<std::vector<std::byte>> Handshake::poll(TimePoint now, std::uint32_t tag) {
  if (state_ == State::kOver || now < wake_) return std::nullopt;
  if (now >= deadline_ || state_ == State::kChallenge || state_ == State::kAccept) {
    expire();
    return std::nullopt;
  }
  if (state_ == State::kHello) {
    await(State::kChallenge, now, tag);
    return to_frame(common::make_hello(key_.ids_id()));
  }
  auto frame = initiate();
  await(State::kAccept, now, tag);
  initiated_ = now;
  return frame;
}

std::vector<std::byte> Handshake::initiate() {
  const auto prologue = make_prologue(challenge_);
  noise_.emplace(as_u8(common::bytes_of(prologue)), key_.psk(), generate_keypair());
  sevmon_initiate payload{};
  std::ranges::copy(connection_id_, payload.connection_id);
  payload.size_class = size_class_;
  const auto message = noise_->write_message(as_u8(common::bytes_of(payload)));

  const sevmon_header header{.type = SEVMON_FRAME_INITIATE,
                             .version = SEVMON_PROTOCOL_VERSION,
                             .size_class = 0,
                             .flags = 0,
                             .session = 0,
                             .n = 0};
  std::vector<std::byte> frame(SEVMON_HANDSHAKE_FRAME_BYTES);
  common::Writer writer{frame};
  writer.put(header);
  writer.put(key_.ids_id());
  writer.bytes(std::as_bytes(std::span{message}));
  return frame;
}

void Handshake::await(State state, TimePoint now, std::uint32_t tag) {
  state_ = state;
  tag_ = tag;
  other_agent_.reset();
  wake_ = std::min(now + answer_timeout_, deadline_);
}

Handshake::Verdict Handshake::take(const Delivery& delivery, TimePoint now) {
  if (delivery.notice != 0) return take_notice(delivery, now);
  const auto header = common::decode_header(delivery.frame);
  if (!header) return Verdict::kNotMine;
  switch (header->type) {
    case SEVMON_FRAME_CHALLENGE:
      return take_challenge(delivery, now);
    case SEVMON_FRAME_ACCEPT:
      return take_accept(delivery, now);
  }
  return Verdict::kNotMine;
}

Handshake::Verdict Handshake::take_notice(const Delivery& delivery, TimePoint now) {
  const bool is_waiting = state_ == State::kChallenge || state_ == State::kAccept;
  if (!is_waiting || delivery.tag != tag_) return Verdict::kNotMine;
  if (delivery.notice == SEVMON_NOTICE_REJECTED || delivery.notice == SEVMON_NOTICE_BUSY)
    retry(delivery.notice, now);
  else
    fail(ErrorCode::kRefused, describe_notice(delivery.notice));
  return Verdict::kTaken;
}

/// Another handshake of this IDS may have changed the challenge under ours.
void Handshake::retry(std::int32_t notice, TimePoint now) {
  noise_.reset();
  last_notice_ = notice;
  if (++tries_ >= kMaxTries) return fail(ErrorCode::kRefused, describe_refusal(notice));
  state_ = State::kHello;
  wake_ = std::min(now + backoff(kFirstBackoff, tries_ - 1), deadline_);
}

/// The agent itself says, sealed, that every place is taken. Those of clients that are gone without
/// a word are free when they have been idle for SEVMON_IDLE_SECONDS, so waiting is worth while.
void Handshake::wait_for_place(TimePoint now) {
  noise_.reset();
  if (!is_full_) deadline_ += answer_timeout_;
  is_full_ = true;
  state_ = State::kHello;
  wake_ = std::min(now + backoff(kPlaceBackoff, 0), deadline_);
}

Handshake::Verdict Handshake::take_challenge(const Delivery& delivery, TimePoint now) {
  const auto challenge = common::decode_challenge(delivery.frame, key_.ids_id(), key_.agent_id());
  if (!challenge) {
    const auto other_agent = agent_of(delivery.frame, key_.ids_id());
    if (other_agent && state_ == State::kChallenge && delivery.tag == tag_) {
      other_agent_ = other_agent;
      wake_ = std::min(wake_, now + kOtherAgentGrace);
    }
    return forged(challenge.error().detail);
  }
  if (state_ != State::kChallenge) return junk("a challenge that was not asked for");
  challenge_ = *challenge;
  state_ = State::kInitiate;
  wake_ = now;
  return Verdict::kTaken;
}

Handshake::Verdict Handshake::take_accept(const Delivery& delivery, TimePoint now) {
  if (state_ != State::kAccept) return junk("an acceptance that was not asked for");
  common::Reader reader{delivery.frame};
  reader.bytes(sizeof(sevmon_header));
  const auto ids_id = reader.take<common::IdBytes>();
  const auto message = reader.bytes(SEVMON_NOISE_MESSAGE_BYTES);
  if (!reader.done() || ids_id != key_.ids_id()) return forged("an acceptance for another IDS");
  const auto finished = noise_->read_message(as_u8(message));
  if (!finished) return forged("an acceptance whose tag is wrong");
  return take_payload(*finished, now);
}

Handshake::Verdict Handshake::take_payload(const NoiseInitiator::Finished& finished,
                                           TimePoint now) {
  common::Reader reader{std::as_bytes(std::span{finished.payload})};
  const auto accept = reader.take<sevmon_accept>();
  const bool is_ok = accept.status == SEVMON_ACCEPT_OK;
  if (!reader.done() || accept.zero0 != 0 || !common::all_zero(common::bytes_of(accept.zero)) ||
      accept.status > SEVMON_ACCEPT_BUSY || is_ok == (accept.session == 0)) {
    fail(ErrorCode::kMalformed, "the agent's acceptance cannot be");
    return Verdict::kTaken;
  }
  if (!is_ok) {
    if (accept.status == SEVMON_ACCEPT_BUSY)
      wait_for_place(now);
    else
      fail(ErrorCode::kRefused, "the agent finds our handshake malformed");
    return Verdict::kTaken;
  }
  Opened opened{std::make_unique<Session>(finished.keys, accept.session, size_class_, initiated_),
                {},
                accept.time_ns};
  std::ranges::copy(challenge_.boot_nonce, opened.boot_nonce.begin());
  result_.emplace(std::move(opened));
  noise_.reset();
  state_ = State::kOver;
  return Verdict::kTaken;
}

Handshake::Verdict Handshake::junk(std::string why) {
  ++junk_count_;
  last_junk_ = std::move(why);
  return Verdict::kJunk;
}

Handshake::Verdict Handshake::forged(std::string why) {
  static_cast<void>(junk(std::move(why)));
  return Verdict::kForged;
}

std::string Handshake::describe_junk() const {
  if (other_agent_)
    return "the key is for agent " + hex(key_.agent_id()) + ", and what answers says it is agent " +
           hex(*other_agent_) + ": another machine's key file or address, or somebody in between";
  return std::to_string(junk_count_) +
         " answers to the handshake, none of which verifies: " + last_junk_;
}

void Handshake::expire() {
  if (is_full_ && state_ == State::kHello)
    return fail(ErrorCode::kRefused, "the agent has no free connection for this IDS");
  if (junk_count_ > 0) return fail(ErrorCode::kForged, describe_junk());
  if (tries_ > 0 && state_ == State::kHello)
    return fail(ErrorCode::kRefused, describe_refusal(last_notice_));
  fail(ErrorCode::kTimeout,
       "no answer to the handshake within " + std::to_string(answer_timeout_.count()) + " ms");
}

void Handshake::fail(ErrorCode code, std::string detail) {
  result_.emplace(common::Error{code, std::move(detail)});
  noise_.reset();
  state_ = State::kOver;
}

}  // namespace sevmon::ids
