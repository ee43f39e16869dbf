// SPDX-License-Identifier: Apache-2.0
#include "relay.hpp"

#include <errno.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "helper/ipc.hpp"

#include <sevmon/wire.h>

namespace sevmon::proxy {

namespace {

using Clock = asio::steady_timer::clock_type;
using asio::experimental::awaitable_operators::operator||;
using asio::experimental::awaitable_operators::operator&&;

// What a frame may come to occupy until its answer is written.
constexpr std::size_t kWorstBytes = kMaxFrameBytes + sizeof(sevmon_envelope) + kMaxAnswerBytes;

// Answers that one call writes; Asio passes on no more than 64 pieces, and each is two.
constexpr std::size_t kMostAtOnce = 32;

// How often to look again at a peer that is silent while its answers are still under way.
constexpr std::chrono::milliseconds kIdleRecheck{50};

// After a notice that closes: how long and how much to go on reading, so that the peer's bytes in
// flight do not turn the close into a reset that would take the notice away from it.
constexpr std::chrono::milliseconds kLingerTime{1000};
constexpr std::size_t kLingerBytes = 64U << 10;

std::string describe_peer(const asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? "a peer that is gone" : to_text(endpoint);
}

}  // namespace

Relay::Relay(Socket socket, const Settings& settings, std::shared_ptr<Backend> backend,
             std::shared_ptr<Budget> everybody, std::shared_ptr<PeerLogs> logs)
    : socket_{std::move(socket)},
      peer_{describe_peer(socket_)},
      settings_{settings},
      backend_{std::move(backend)},
      everybody_{std::move(everybody)},
      own_{std::make_shared<Budget>(
          std::min(settings.limits.frames_per_connection, settings.limits.frames_unproven),
          settings.limits.bytes_per_connection)},
      logs_{std::move(logs)},
      last_activity_{Clock::now()},
      stop_reading_{socket_.get_executor()},
      part_{socket_.get_executor()},
      output_{socket_.get_executor()} {}

asio::awaitable<void> Relay::run() {
  logs_->connection.log(LogLevel::kInfo, peer_ + " connected");
  boost::system::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
  socket_.set_option(asio::socket_base::keep_alive{true}, ignored);
  socket_.non_blocking(true, ignored);
  co_await (read_until_told() && write_answers());
  if (!aborted_) {
    if (last_notice_) co_await write_last_notice();
    co_await finished_within(kLingerTime, linger());
  }
  socket_.close(ignored);
  logs_->connection.log(LogLevel::kInfo, peer_ + " closed");
}

void Relay::drain() {
  end_with(SEVMON_NOTICE_SHUTDOWN);
}

void Relay::abort() {
  aborted_ = true;
  end_with(0);
  boost::system::error_code ignored;
  socket_.close(ignored);
}

// The first reason is the one that the peer learns.
void Relay::end_with(std::int32_t notice, std::uint32_t tag) {
  if (!last_notice_) {
    last_notice_ = notice;
    last_tag_ = tag;
  }
  reading_done_ = true;
  stop_reading_.notify();
  output_.notify();
}

asio::awaitable<void> Relay::read_until_told() {
  if (!reading_done_) co_await (read_frames() || watch_silence() || stop_reading_.wait());
  reading_done_ = true;
  output_.notify();
}

// GCC 12 miscompiles a co_await inside && or ||: each has its own statement here.
asio::awaitable<void> Relay::read_frames() {
  while (!reading_done_) {
    const auto room = asio::buffer(in_) + in_bytes_;
    is_reading_ = true;
    const auto [error, bytes] = co_await socket_.async_read_some(room, kTuple);
    is_reading_ = false;
    if (error) co_return;
    last_activity_ = Clock::now();
    in_bytes_ += bytes;
    const bool more = co_await take_frames();
    flush();
    if (!more) co_return;
  }
}

/// Hand over all frames that are there whole. @return whether to go on reading.
asio::awaitable<bool> Relay::take_frames() {
  std::size_t taken = 0;
  while (const auto unit = next_unit(std::span{in_}.first(in_bytes_).subspan(taken))) {
    // Back-pressure: nothing more is read before there is room for this one's answer.
    auto shares = try_take_shares();
    if (!shares) {
      flush();  // what is answered shall not wait for that
      // Others' turn: who asks without end, and has room again at once, would else have them all.
      co_await asio::post(socket_.get_executor(), asio::use_awaitable);
      if (reading_done_) co_return false;
      shares = co_await take_shares();
    }
    if (reading_done_) co_return false;
    submit(*unit, *std::move(shares));
    taken += unit->size();
  }
  keep_rest(taken);
  co_return !reading_done_;
}

/// What `in` begins with, if it is there whole. The stream's end, for this side, if it cannot be.
std::optional<Relay::Unit> Relay::next_unit(std::span<const std::byte> in) {
  if (in.size() < sizeof(sevmon_envelope)) return std::nullopt;
  const auto announcement =
      common::decode_envelope(in.first<sizeof(sevmon_envelope)>(), common::Direction::kToAgent);
  if (!announcement) {
    logs_->malformed.log(LogLevel::kWarning, peer_ + ": " + announcement.error().message());
    end_with(SEVMON_NOTICE_MALFORMED);
    return std::nullopt;
  }
  const auto rest = in.subspan(sizeof(sevmon_envelope));
  if (rest.size() < announcement->bytes) return std::nullopt;
  return Unit{.tag = announcement->tag, .frame = rest.first(announcement->bytes)};
}

/// Part of a frame, whose time runs from its first byte on, however few follow at a time.
void Relay::keep_rest(std::size_t taken) {
  in_bytes_ -= taken;
  std::copy_n(in_.begin() + static_cast<std::ptrdiff_t>(taken), in_bytes_, in_.begin());
  const bool is_new = taken > 0 || !part_since_;
  if (in_bytes_ == 0) {
    part_since_.reset();
  } else if (is_new) {
    part_since_ = Clock::now();
    part_.notify();
  }
}

std::optional<Relay::Shares> Relay::try_take_shares() {
  auto own = own_->try_take(kWorstBytes);
  if (!own) return std::nullopt;
  auto everybodys = everybody_->try_take(kWorstBytes);
  if (!everybodys) return std::nullopt;
  return Shares{*std::move(own), *std::move(everybodys)};
}

asio::awaitable<Relay::Shares> Relay::take_shares() {
  Shares shares;
  shares.own = co_await own_->take(kWorstBytes);
  shares.everybodys = co_await everybody_->take(kWorstBytes);
  co_return shares;
}

/// Ends when the peer has been silent for too long: between two frames, or within one.
asio::awaitable<void> Relay::watch_silence() {
  while (true) {
    const auto ends = silence_ends();
    const auto now = Clock::now();
    if (ends <= now) break;
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(ends - now);
    co_await (sleep_for(std::max(rest, kIdleRecheck)) || part_.wait());
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
  }
  logs_->deadline.log(LogLevel::kInfo,
                      peer_ + (part_since_ ? ": a frame did not arrive in time" : ": idle"));
  end_with(SEVMON_NOTICE_TIMEOUT);
}

asio::steady_timer::time_point Relay::silence_ends() const {
  const auto now = Clock::now();
  const auto& limits = settings_.deadlines;
  // Whoever waits for the proxy or the agent is not silent.
  if (!is_reading_) return now + std::min(limits.frame, limits.idle);
  if (part_since_) return *part_since_ + limits.frame;
  if (unanswered_ > 0 || !outgoing_.empty()) return now + kIdleRecheck;
  return last_activity_ + limits.idle;
}

void Relay::submit(const Unit& unit, Shares shares) {
  auto submission = backend_->submit(unit.frame);
  ++unanswered_;
  if (submission.now) return answer(unit.tag, *std::move(submission.now), std::move(shares));
  asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this(), tag = unit.tag, wait = std::move(submission.later),
       shares = std::move(shares)]() mutable {
        return self->answer_later(tag, std::move(wait), std::move(shares));
      },
      ReportException{"answering a frame"});
}

asio::awaitable<void> Relay::answer_later(std::uint32_t tag, asio::awaitable<BackendAnswer> wait,
                                          Shares shares) {
  auto answered = co_await within(settings_.deadlines.answer, std::move(wait));
  if (!answered) answered = BackendAnswer{.error = ETIMEDOUT, .frame = {}};
  answer(tag, *std::move(answered), std::move(shares));
  flush();
}

void Relay::answer(std::uint32_t tag, BackendAnswer answer, Shares shares) {
  const auto bytes = answer.frame.size();
  if (!answer.error && (bytes < kMinFrameBytes || bytes > kMaxAnswerBytes)) answer.error = EIO;
  --unanswered_;
  if (answer.error == ETIMEDOUT) {
    logs_->deadline.log(LogLevel::kWarning, peer_ + ": the agent did not answer in time");
    return end_with(SEVMON_NOTICE_TIMEOUT, tag);
  }
  Outgoing outgoing{.envelope = {}, .frame = {}, .shares = std::move(shares)};
  if (answer.error) {
    const auto notice = notice_for(answer.error);
    logs_->backend.log(notice == SEVMON_NOTICE_INTERNAL ? LogLevel::kError : LogLevel::kDebug,
                       peer_ + ": a frame failed: " + std::strerror(answer.error));
    outgoing.envelope = encode_notice(tag, notice);
  } else {
    outgoing.envelope = encode_answer(tag, static_cast<std::uint32_t>(bytes));
    outgoing.frame = std::move(answer.frame);
    if (outgoing.frame.bytes().front() == std::byte{SEVMON_FRAME_RESPONSE}) prove();
  }
  outgoing.shares.own.shrink(outgoing.size());
  outgoing.shares.everybodys.shrink(outgoing.size());
  if (!aborted_) outgoing_.push_back(std::move(outgoing));
}

// Strangers who do not read their answers could else use up everybody's budget between them.
void Relay::prove() {
  if (is_proven_) return;
  is_proven_ = true;
  own_->set_frames(settings_.limits.frames_per_connection);
}

/// Write what the socket takes now; write_answers() sees to the rest.
void Relay::flush() {
  while (!outgoing_.empty() && !is_full_ && !aborted_) {
    std::vector<asio::const_buffer> pieces;
    pieces.reserve(2 * std::min(outgoing_.size(), kMostAtOnce));
    for (const auto& outgoing : outgoing_) {
      if (pieces.size() == 2 * kMostAtOnce) break;
      const auto frame = outgoing.frame.bytes();
      pieces.push_back(asio::buffer(outgoing.envelope));
      pieces.push_back(asio::buffer(frame.data(), frame.size()));
    }
    // A part of the first may be gone already.
    const auto of_envelope = std::min(front_written_, sizeof(sevmon_envelope));
    pieces[0] += of_envelope;
    pieces[1] += front_written_ - of_envelope;
    boost::system::error_code error;
    const auto written = socket_.write_some(pieces, error);
    if (error == asio::error::would_block)
      is_full_ = true;
    else if (error)
      abort();
    else
      drop_written(written);
  }
  if (is_full_ && !front_since_) front_since_ = Clock::now();
  if (is_full_ || reading_done_) output_.notify();
}

void Relay::drop_written(std::size_t bytes) {
  last_activity_ = Clock::now();
  front_written_ += bytes;
  while (!outgoing_.empty() && front_written_ >= outgoing_.front().size()) {
    front_written_ -= outgoing_.front().size();
    front_since_.reset();
    outgoing_.pop_front();
  }
}

/// Whenever the socket is full: wait until it takes more, with patience for one answer at a time.
asio::awaitable<void> Relay::write_answers() {
  while (!aborted_) {
    if (!is_full_) {
      if (outgoing_.empty() && reading_done_ && unanswered_ == 0) co_return;
      co_await output_.wait();
      continue;
    }
    const auto patience = std::chrono::ceil<std::chrono::milliseconds>(
        *front_since_ + settings_.deadlines.write - Clock::now());
    const auto writable = co_await within(
        std::max(patience, {}), socket_.async_wait(asio::socket_base::wait_write, kTuple));
    if (!writable) logs_->deadline.log(LogLevel::kWarning, peer_ + ": does not read its answers");
    if (!writable || std::get<0>(*writable)) abort();
    is_full_ = false;
    flush();
  }
  outgoing_.clear();
}

asio::awaitable<void> Relay::write_last_notice() {
  const auto notice = encode_notice(last_tag_, last_notice_);
  co_await within(kLingerTime, asio::async_write(socket_, asio::buffer(notice), kTuple));
}

asio::awaitable<void> Relay::linger() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  std::array<std::byte, 4096> discarded;
  for (std::size_t total = 0; total < kLingerBytes;) {
    const auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(discarded), kTuple);
    if (error) co_return;
    total += bytes;
  }
}

}  // namespace sevmon::proxy
