// SPDX-License-Identifier: Apache-2.0
#include "channel/connection.hpp"

#include <algorithm>
#include <utility>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using std::chrono::milliseconds;

constexpr milliseconds kBusyBackoff{10};
// After a rekey that failed: the session is still good, and one attempt costs the agent a hash.
constexpr std::chrono::seconds kRekeyPause{5};

/// Notices after which the relay closes, whatever frame they name.
std::optional<Error> ends_connection(std::int32_t notice) {
  switch (notice) {
    case SEVMON_NOTICE_MALFORMED:
    case SEVMON_NOTICE_LIMIT:
      return Error{ErrorCode::kRefused, describe_notice(notice)};
    case SEVMON_NOTICE_TIMEOUT:
      return Error{ErrorCode::kTimeout, describe_notice(notice)};
    case SEVMON_NOTICE_SHUTDOWN:
      return Error{ErrorCode::kConnect, describe_notice(notice)};
  }
  return std::nullopt;
}

Response to_response(const common::ResponseView& view, FrameBytes opened) {
  Response response{.head = view.head, .body = std::move(opened), .items = {}};
  response.items.reserve(view.items.size());
  const auto body = Session::body_in(response.body);
  for (const auto& place : view.items)
    response.items.push_back({place.status, place.level, body.subspan(place.offset, place.bytes)});
  return response;
}

/// Requests that are all there, and answers in their order.
class List : public Connection::Work {
 public:
  explicit List(std::span<const sevmon_request_body> requests)
      : requests_{requests}, responses_(requests.size()) {}

  Result<std::optional<sevmon_request_body>> next(bool) override {
    if (is_over()) return {std::nullopt};
    return {requests_[next_++]};
  }
  bool is_over() const override { return next_ == requests_.size(); }
  Result<void> put(std::size_t index, Response response) override {
    responses_[index] = std::move(response);
    return {};
  }
  std::size_t total(std::size_t) const override { return requests_.size(); }

  std::vector<Response>& responses() { return responses_; }

 private:
  std::span<const sevmon_request_body> requests_;
  std::vector<Response> responses_;
  std::size_t next_ = 0;
};

}  // namespace

Connection::Connection(std::unique_ptr<FrameTransport> transport, Key key,
                       const ChannelOptions& options)
    : transport_{std::move(transport)},
      key_{std::move(key)},
      options_{options},
      connection_id_{options.connection_id.value_or(random_array<SEVMON_ID_BYTES>())} {}

Result<void> Connection::establish() {
  List nothing{{}};
  Batch batch{.work = nothing, .needs_session = true};
  return pump(batch);
}

Result<std::vector<Response>> Connection::run(std::span<const sevmon_request_body> requests) {
  List list{requests};
  if (auto ok = run(list); !ok) return ok.error();
  return std::move(list.responses());
}

Result<void> Connection::run(Work& work) {
  // After an exception: their places are in a batch that is gone.
  for (const auto& session : sessions_) session->waiting.clear();
  Batch batch{.work = work};
  auto ok = pump(batch);
  // After an error: these numbers are given up, and their answers will be counted as they come.
  for (const auto& session : sessions_) session->waiting.clear();
  const auto total = batch.total();
  stats_.round_trips += (total + options_.pipeline_depth - 1) / options_.pipeline_depth;
  return ok;
}

void Connection::close(milliseconds timeout) {
  is_closing_ = true;
  if (!options_.says_goodbye) return;
  if (broken_ || !has_session(Clock::now())) return;
  options_.answer_timeout = timeout;
  options_.progress = nullptr;
  sevmon_item item{};
  item.type = SEVMON_ITEM_CLOSE;
  sevmon_request_head head{};
  head.domid = SEVMON_DOMID_DOM0;
  const auto request = common::make_request(head, std::span{&item, 1}, options_.size_class);
  if (request) static_cast<void>(run(std::span{&*request, 1}));
}

/// The loop. Every turn looks at the deadlines, so junk that never ends ends nothing but itself.
Result<void> Connection::pump(Batch& batch) {
  if (broken_) return *broken_;
  while (true) {
    const auto now = Clock::now();
    maybe_start_handshake(batch, now);
    if (auto ok = advance_handshake(batch, now); !ok) return ok;
    if (now >= next_look_)
      if (auto ok = look_at_waiting(batch, now); !ok) return ok;
    if (auto ok = send_more(batch, now); !ok) return ok;
    if (batch.all_sent() && batch.done == batch.sent && !handshake_) return {};
    // Its time ran out between two looks at the clock, and there will be no other.
    if (is_closing_ && waiting() == 0 && !has_session(now))
      return Error{ErrorCode::kTimeout, "the session is over"};
    auto delivery = transport_->receive(wake());
    if (!delivery && delivery.error().code == ErrorCode::kTimeout) continue;
    if (!delivery) return broken(std::move(delivery).error());
    if (auto ok = take(batch, *std::move(delivery)); !ok) return ok;
  }
}

// ---- Sending ----

Result<void> Connection::send(std::span<const std::byte> frame, std::uint32_t tag, TimePoint now) {
  auto sent = transport_->send(frame, tag, now + options_.answer_timeout);
  if (sent) {
    stats_.bytes_sent += sizeof(sevmon_envelope) + frame.size();
    return {};
  }
  if (sent.error().code == ErrorCode::kTimeout) return sent;
  // A relay that closes says why before it does; that may lie here unread.
  for (auto delivery = transport_->receive(now); delivery; delivery = transport_->receive(now))
    if (auto why = ends_connection(delivery->notice)) return broken(*std::move(why));
  return broken(std::move(sent).error());
}

Result<void> Connection::send_more(Batch& batch, TimePoint now) {
  while (!batch.all_sent() && waiting() < options_.pipeline_depth && has_session(now)) {
    if (!batch.next) {
      const bool may_wait = waiting() == 0 && !handshake_;
      auto next = batch.work.next(may_wait);
      if (!next) return next.error();
      if (!*next) return {};
      batch.next = *next;
      // Meanwhile the session may have come to its end.
      if (may_wait) now = Clock::now();
      if (!has_session(now)) return {};
    }
    auto [n, frame] = current().seal(*batch.next);
    Waiting entry{.index = batch.sent++,
                  .tag = next_tag_++,
                  .deadline = now + options_.answer_timeout,
                  .request = *std::exchange(batch.next, std::nullopt),
                  .frame = std::move(frame),
                  .resend_at = {}};
    if (auto ok = send(entry.frame, entry.tag, now); !ok) return ok;
    next_look_ = std::min(next_look_, entry.deadline);
    current().waiting.emplace(n, std::move(entry));
    ++stats_.frames_sent;
  }
  return {};
}

/// What has come due since it was looked at last: mostly nothing, so it is not done at every turn.
Result<void> Connection::look_at_waiting(const Batch& batch, TimePoint now) {
  if (auto ok = resend_due(now); !ok) return ok;
  if (auto ok = check_deadlines(batch, now); !ok) return ok;
  next_look_ = TimePoint::max();
  for_each_waiting([&](Session&, Waiting& entry) {
    next_look_ = std::min(next_look_, entry.deadline);
    if (entry.resend_at) next_look_ = std::min(next_look_, *entry.resend_at);
  });
  return {};
}

/// The very same frame: the agent did not mark its number, and if the relay lied about that, a
/// marked number never runs again.
Result<void> Connection::resend_due(TimePoint now) {
  Result<void> result;
  for_each_waiting([&](Session&, Waiting& entry) {
    if (!result || !entry.resend_at || now < *entry.resend_at) return;
    entry.resend_at.reset();
    ++entry.resends;
    result = send(entry.frame, entry.tag, now);
  });
  return result;
}

Result<void> Connection::check_deadlines(const Batch& batch, TimePoint now) const {
  std::size_t late = 0;
  bool was_busy = false;
  for_each_waiting([&](Session&, Waiting& entry) {
    if (now < entry.deadline) return;
    ++late;
    was_busy |= entry.resends > 0 || entry.resend_at.has_value();
  });
  if (late == 0) return {};
  const auto total = batch.total();
  const auto missing = std::to_string(total - batch.done) + " of " + std::to_string(total) +
                       " requests unanswered after " +
                       std::to_string(options_.answer_timeout.count()) + " ms";
  if (batch.forged > 0)
    return Error{ErrorCode::kForged, missing + "; " + std::to_string(batch.forged) +
                                         " answers did not verify: " + batch.last_forged};
  if (was_busy)
    return Error{ErrorCode::kRefused, missing + ": " + describe_notice(SEVMON_NOTICE_BUSY)};
  return Error{ErrorCode::kTimeout, missing};
}

// ---- Receiving ----

Result<void> Connection::take(Batch& batch, Delivery delivery) {
  stats_.bytes_received += sizeof(sevmon_envelope) + delivery.frame.size();
  if (auto why = ends_connection(delivery.notice)) return broken(*std::move(why));
  if (handshake_) {
    const auto verdict = handshake_->take(delivery, Clock::now());
    if (verdict == Handshake::Verdict::kJunk || verdict == Handshake::Verdict::kForged)
      ++stats_.discarded;
    if (verdict == Handshake::Verdict::kForged) ++stats_.unverified;
    if (verdict != Handshake::Verdict::kNotMine) return {};
  }
  if (delivery.notice != 0) return take_notice(delivery);

  const auto header = common::decode_header(delivery.frame);
  if (!header) {
    discard_forged(batch, header.error().detail);
    return {};
  }
  for (auto at = sessions_.begin(); at != sessions_.end(); ++at) {
    if (!(*at)->is_for(*header)) continue;
    // Opened where it is. An agent that started again may have given a number twice: then there is
    // another session to try with the frame as it came.
    const bool is_last = std::none_of(
        at + 1, sessions_.end(), [&](const auto& session) { return session->is_for(*header); });
    auto frame = is_last ? std::move(delivery.frame) : delivery.frame;
    if ((*at)->open_in_place(*header, frame))
      return take_answer(batch, **at, header->n, std::move(frame));
  }
  if (header->type == SEVMON_FRAME_RESPONSE)
    discard_forged(batch, "frame: no session's tag");
  else
    ++stats_.discarded;  // the end of a handshake that was given up
  return {};
}

Result<void> Connection::take_notice(const Delivery& delivery) {
  Result<void> result;
  bool is_ours = false;
  for_each_waiting([&](Session& session, Waiting& entry) {
    if (entry.tag != delivery.tag) return;
    is_ours = true;
    if (delivery.notice == SEVMON_NOTICE_BUSY) {
      if (!entry.resend_at)
        entry.resend_at = Clock::now() + backoff(kBusyBackoff, std::min(entry.resends, 4u));
      next_look_ = std::min(next_look_, *entry.resend_at);
      return;
    }
    // If it is true, the session is lost: the next exchange makes a new one.
    if (delivery.notice == SEVMON_NOTICE_REJECTED) session.retire();
    result = Error{ErrorCode::kRefused, describe_notice(delivery.notice)};
  });
  if (!is_ours) ++stats_.discarded;
  return result;
}

Result<void> Connection::take_answer(Batch& batch, Session& session, std::uint64_t n,
                                     FrameBytes opened) {
  const auto found = session.waiting.find(n);
  if (found == session.waiting.end()) {
    ++stats_.discarded;  // repeated, or given up: right, and too late
    return {};
  }
  const auto index = found->second.index;
  auto view = common::decode_response(Session::body_in(opened), n, options_.size_class,
                                      found->second.request);
  session.waiting.erase(found);
  // The tag is the agent's, so this is no forgery, and no other answer will come.
  if (!view) return view.error();
  if (auto ok = batch.work.put(index, to_response(*view, std::move(opened))); !ok) return ok;
  ++batch.done;
  ++stats_.frames_received;
  if (options_.progress) options_.progress(batch.done, batch.total());
  return {};
}

void Connection::discard_forged(Batch& batch, std::string why) {
  ++stats_.discarded;
  ++stats_.unverified;
  ++batch.forged;
  batch.last_forged = std::move(why);
}

// ---- Sessions ----

bool Connection::wants_rekey(TimePoint now) const {
  return now - current().started() >= options_.rekey_after ||
         current().sent() >= options_.rekey_after_messages || current().is_worn();
}

/// Beside running requests when the session will soon be over; instead of them when it is. Never
/// while an older session is still waited for: the agent keeps only one.
void Connection::maybe_start_handshake(const Batch& batch, TimePoint now) {
  if (handshake_ || is_closing_) return;
  if (batch.all_sent() && !batch.needs_session) return;
  if (has_session(now)) {
    const bool old_ones_wait =
        std::any_of(sessions_.begin(), sessions_.end() - 1,
                    [](const auto& session) { return !session->waiting.empty(); });
    if (batch.needs_session || now < next_rekey_ || old_ones_wait || !wants_rekey(now)) return;
  }
  handshake_.emplace(key_, connection_id_, options_.size_class, options_.answer_timeout, now);
}

Result<void> Connection::advance_handshake(const Batch& batch, TimePoint now) {
  if (!handshake_) return {};
  if (const auto frame = handshake_->poll(now, next_tag_)) {
    if (auto ok = send(*frame, next_tag_++, now); !ok) return ok;
    ++stats_.round_trips;
  }
  auto& result = handshake_->result();
  if (!result) return {};
  auto opened = *std::move(result);
  handshake_.reset();
  if (!opened) {
    next_rekey_ = now + kRekeyPause;
    const bool needs_one = batch.needs_session || !batch.all_sent();
    return needs_one && !has_session(now) ? Result<void>{opened.error()} : Result<void>{};
  }
  if (!sessions_.empty()) {
    ++stats_.rekeys;
    // The one just replaced stays: answers that come too late should still be known as such.
    auto replaced = std::move(sessions_.back());
    sessions_.pop_back();
    std::erase_if(sessions_, [](const auto& session) { return session->waiting.empty(); });
    sessions_.push_back(std::move(replaced));
  }
  sessions_.push_back(std::move(opened->session));
  boot_nonce_ = opened->boot_nonce;
  return {};
}

// ---- Bookkeeping ----

void Connection::for_each_waiting(const std::function<void(Session&, Waiting&)>& visit) const {
  for (const auto& session : sessions_)
    for (auto& [n, entry] : session->waiting) visit(*session, entry);
}

std::size_t Connection::waiting() const {
  std::size_t count = 0;
  for (const auto& session : sessions_) count += session->waiting.size();
  return count;
}

TimePoint Connection::wake() const {
  return std::min(handshake_ ? handshake_->wake() : Clock::now() + options_.answer_timeout,
                  next_look_);
}

Error Connection::broken(Error error) {
  broken_ = error;
  return error;
}

}  // namespace sevmon::ids
