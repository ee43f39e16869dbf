// SPDX-License-Identifier: Apache-2.0
#include "relay.hpp"

#include <errno.h>

#include <algorithm>
#include <array>
#include <boost/asio/read.hpp>
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
      output_{socket_.get_executor()} {}

asio::awaitable<void> Relay::run() {
  logs_->connection.log(LogLevel::kInfo, peer_ + " connected");
  boost::system::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
  socket_.set_option(asio::socket_base::keep_alive{true}, ignored);
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
  if (!reading_done_) co_await (read_frames() || idle_too_long() || stop_reading_.wait());
  reading_done_ = true;
  output_.notify();
}

// GCC 12 miscompiles a co_await inside && or ||: each has its own statement here.
asio::awaitable<void> Relay::read_frames() {
  while (!reading_done_) {
    const bool more = co_await read_one();
    if (!more) co_return;
  }
}

asio::awaitable<bool> Relay::read_one() {
  EnvelopeBytes envelope;
  const std::span in{envelope};
  bool arrived = co_await read_first_byte(in.first(1));
  if (!arrived) co_return false;
  arrived = co_await read_exactly(in.subspan(1));
  if (!arrived) co_return false;
  const auto announcement = common::decode_envelope(envelope, common::Direction::kToAgent);
  if (!announcement) {
    logs_->malformed.log(LogLevel::kWarning, peer_ + ": " + announcement.error().message());
    end_with(SEVMON_NOTICE_MALFORMED);
    co_return false;
  }
  // Back-pressure: not one byte of the frame is read before there is room for its answer.
  Taken taken{.tag = announcement->tag, .frame = {}, .own = {}, .everybodys = {}};
  taken.own = co_await own_->take(kWorstBytes);
  taken.everybodys = co_await everybody_->take(kWorstBytes);
  taken.frame.resize(announcement->bytes);
  arrived = co_await read_exactly(taken.frame);
  if (!arrived) co_return false;
  last_activity_ = Clock::now();
  ++unanswered_;
  asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this(), taken = std::move(taken)]() mutable {
        return self->answer(std::move(taken));
      },
      ReportException{"answering a frame"});
  co_return true;
}

// Waits as long as the peer likes; idle_too_long() is what ends it.
asio::awaitable<bool> Relay::read_first_byte(std::span<std::byte> into) {
  const auto [error, bytes] =
      co_await asio::async_read(socket_, asio::buffer(into.data(), into.size()), kTuple);
  if (!error) last_activity_ = Clock::now();
  co_return !error;
}

asio::awaitable<bool> Relay::read_exactly(std::span<std::byte> into) {
  const auto read =
      co_await within(settings_.deadlines.frame,
                      asio::async_read(socket_, asio::buffer(into.data(), into.size()), kTuple));
  if (read) co_return !std::get<0>(*read);
  logs_->deadline.log(LogLevel::kWarning, peer_ + ": a frame did not arrive in time");
  end_with(SEVMON_NOTICE_TIMEOUT);
  co_return false;
}

asio::awaitable<void> Relay::idle_too_long() {
  const auto limit = settings_.deadlines.idle;
  while (true) {
    const auto since = Clock::now() - last_activity_;
    if (unanswered_ == 0 && outgoing_.empty() && since >= limit) break;
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(limit - since);
    co_await sleep_for(std::max(rest, kIdleRecheck));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
  }
  logs_->deadline.log(LogLevel::kInfo, peer_ + ": idle");
  end_with(SEVMON_NOTICE_TIMEOUT);
}

asio::awaitable<void> Relay::answer(Taken taken) {
  const std::uint32_t tag = taken.tag;
  auto answer =
      co_await within(settings_.deadlines.answer, backend_->submit(std::move(taken.frame)));
  if (!answer) answer = BackendAnswer{.error = ETIMEDOUT, .frame = {}};
  if (!answer->error &&
      (answer->frame.size() < kMinFrameBytes || answer->frame.size() > kMaxAnswerBytes))
    answer->error = EIO;
  --unanswered_;
  if (answer->error == ETIMEDOUT) {
    logs_->deadline.log(LogLevel::kWarning, peer_ + ": the agent did not answer in time");
    end_with(SEVMON_NOTICE_TIMEOUT, tag);
    co_return;
  }
  Outgoing outgoing{.envelope = {},
                    .frame = {},
                    .own = std::move(taken.own),
                    .everybodys = std::move(taken.everybodys)};
  if (answer->error) {
    const auto notice = notice_for(answer->error);
    logs_->backend.log(notice == SEVMON_NOTICE_INTERNAL ? LogLevel::kError : LogLevel::kDebug,
                       peer_ + ": a frame failed: " + std::strerror(answer->error));
    outgoing.envelope = encode_notice(tag, notice);
  } else {
    outgoing.envelope = encode_answer(tag, static_cast<std::uint32_t>(answer->frame.size()));
    outgoing.frame = std::move(answer->frame);
    if (outgoing.frame.front() == std::byte{SEVMON_FRAME_RESPONSE}) prove();
  }
  queue(std::move(outgoing));
}

// Strangers who do not read their answers could else use up everybody's budget between them.
void Relay::prove() {
  if (is_proven_) return;
  is_proven_ = true;
  own_->set_frames(settings_.limits.frames_per_connection);
}

void Relay::queue(Outgoing outgoing) {
  const std::size_t bytes = sizeof(sevmon_envelope) + outgoing.frame.size();
  outgoing.own.shrink(bytes);
  outgoing.everybodys.shrink(bytes);
  if (!aborted_) outgoing_.push_back(std::move(outgoing));
  output_.notify();
}

asio::awaitable<void> Relay::write_answers() {
  while (!aborted_) {
    if (outgoing_.empty()) {
      if (reading_done_ && unanswered_ == 0) co_return;
      co_await output_.wait();
      continue;
    }
    const Outgoing outgoing = std::move(outgoing_.front());
    outgoing_.pop_front();
    const std::array<asio::const_buffer, 2> parts{asio::buffer(outgoing.envelope),
                                                  asio::buffer(outgoing.frame)};
    const auto written =
        co_await within(settings_.deadlines.write, asio::async_write(socket_, parts, kTuple));
    if (!written) logs_->deadline.log(LogLevel::kWarning, peer_ + ": does not read its answers");
    if (!written || std::get<0>(*written)) abort();
    last_activity_ = Clock::now();
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
