// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>
#include <sevmon/transport.hpp>

namespace sevmon::ids {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using common::Error;
using common::ErrorCode;
using common::Result;

/// More than the deepest pipeline: over it send() waits for the peer.
constexpr std::size_t kMaxQueuedBytes = 512 * 1024;
/// Frames leave together when they are this part of all that is under way: a call for each costs
/// more than a frame's encryption, and if all waited for each other, one end would always idle.
constexpr std::size_t kTogether = 8;
/// What is read ahead. With one delivery of the greatest size besides it is all that the peer can
/// have us hold.
constexpr std::size_t kReadAheadBytes = 64 * 1024;
/// A frame over this is read to where it stays, and nothing but the next envelope ahead of it.
constexpr std::size_t kLargeFrameBytes = 16 * 1024;
/// How long one call waits for bytes. A deadline that is nearer takes two calls: poll, and read.
constexpr std::chrono::milliseconds kPatience{200};
/// Going to sleep and being woken takes longer than an agent nearby needs for a page. When an
/// answer came this soon, whole, the next one is looked for as long before anybody sleeps, however
/// many pieces it comes in; when that was in vain, not again for so many answers.
constexpr std::chrono::microseconds kLook{50};
constexpr unsigned kAfterVainLook = 64;

/// Reading and writing go on side by side whenever somebody waits for either: a relay that stops
/// reading until its answers are taken cannot block us. What was read when a deadline passes is
/// kept, so a frame of which half is there is not lost.
class TcpTransport : public FrameTransport {
 public:
  TcpTransport(const std::string& host, const std::string& port)
      : description_{"tcp:" + host + ":" + port}, socket_{io_} {}

  Result<void> connect(const std::string& host, const std::string& port,
                       std::chrono::milliseconds timeout);
  Result<void> send(std::span<const std::byte> frame, std::uint32_t tag,
                    Deadline deadline) override;
  Result<Delivery> receive(Deadline deadline) override;
  std::string describe() const override { return description_; }

 private:
  bool read(int flags);
  void await_bytes();
  void note_delivery();
  void write();
  /// Move bytes until some went or came, or kPatience is over. @return false at the deadline.
  bool wait(Deadline deadline);
  bool wants_to_read() const { return !read_error_ && in_end_ < in_.size(); }
  std::span<const std::byte> unread() const {
    return std::span{in_}.subspan(in_begin_, in_end_ - in_begin_);
  }
  void drop(std::size_t bytes);
  Result<std::optional<Delivery>> next_delivery();
  Result<void> begin_delivery();

  std::string description_;
  asio::io_context io_;
  tcp::socket socket_;  // connected by Asio; then the system's calls do
  std::array<std::byte, kReadAheadBytes> in_;
  std::size_t in_begin_ = 0, in_end_ = 0;
  std::optional<Delivery> partial_;  // its envelope has come
  std::size_t partial_bytes_ = 0;    // of its frame are there
  std::vector<std::byte> queued_;
  std::size_t written_ = 0;  // bytes of it are gone
  std::size_t queued_frames_ = 0;
  std::size_t under_way_ = 0;        // frames without an answer
  bool looks_ = false;               // before it sleeps
  unsigned naps_ = 0;                // so many deliveries it does not look for
  std::optional<Deadline> awaited_;  // since when the next delivery is
  std::optional<Error> read_error_;  // after what is in the buffer
  std::optional<Error> write_error_;
  std::optional<Error> fatal_;
};

Error connection_error(const std::string& what, const error_code& error) {
  return {ErrorCode::kConnect, what + ": " + error.message()};
}

/// getaddrinfo(3) has a patience of its own and cannot be called off. So it runs in a thread that
/// is left behind when its time is over, and owns all that it uses.
Result<tcp::resolver::results_type> resolve(const std::string& host, const std::string& port,
                                            std::chrono::milliseconds timeout) {
  using Found = std::pair<error_code, tcp::resolver::results_type>;
  std::packaged_task<Found()> task{[host, port] {
    asio::io_context io;
    tcp::resolver resolver{io};
    Found found;
    found.second = resolver.resolve(host, port, found.first);
    return found;
  }};
  auto result = task.get_future();
  std::thread{std::move(task)}.detach();
  if (result.wait_for(timeout) != std::future_status::ready)
    return Error{ErrorCode::kTimeout, host + ": its address was not found within " +
                                          std::to_string(timeout.count()) + " ms"};
  auto [error, found] = result.get();
  if (error) return connection_error(host, error);
  return std::move(found);
}

Result<void> TcpTransport::connect(const std::string& host, const std::string& port,
                                   std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto found = resolve(host, port, timeout);
  if (!found) return Error{found.error().code, description_ + ": " + found.error().detail};
  std::optional<error_code> done;
  asio::async_connect(socket_, *found,
                      [&](const error_code& error, const tcp::endpoint&) { done = error; });
  while (!done && io_.run_one_until(deadline) > 0) {
  }
  if (!done) {
    // The handler refers to what is about to go: have it run now.
    error_code ignored;
    socket_.close(ignored);
    io_.run();
    return Error{ErrorCode::kTimeout, description_ + ": not connected within " +
                                          std::to_string(timeout.count()) + " ms"};
  }
  if (*done) return connection_error(description_, *done);
  error_code error;
  socket_.set_option(tcp::no_delay{true}, error);
  if (!error) socket_.native_non_blocking(false, error);
  if (error) return connection_error(description_, error);
  const timeval patience{0, std::chrono::microseconds{kPatience}.count()};
  if (::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
    return connection_error(description_, {errno, boost::system::system_category()});
  return {};
}

/// Take what is there, of the frame that is being read and of what follows it: with MSG_DONTWAIT as
/// `flags` what is there now, without it what comes within kPatience.
/// @return whether there was anything, if only an end.
bool TcpTransport::read(int flags) {
  std::array<iovec, 2> into{};
  std::size_t room = in_.size() - in_end_;
  if (partial_) {
    auto& frame = partial_->frame;
    into[0] = {frame.data() + partial_bytes_, frame.size() - partial_bytes_};
    if (frame.size() > kLargeFrameBytes && into[0].iov_len > 0)
      room = std::min(room, sizeof(sevmon_envelope));
  }
  into[1] = {in_.data() + in_end_, room};
  msghdr message{};
  message.msg_iov = into.data();
  message.msg_iovlen = into.size();
  const auto got = ::recvmsg(socket_.native_handle(), &message, flags);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got == 0) read_error_ = Error{ErrorCode::kConnect, "the relay closed"};
  if (got < 0) read_error_ = connection_error("receive", {errno, boost::system::system_category()});
  const auto bytes = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  const auto of_frame = std::min(bytes, into[0].iov_len);
  partial_bytes_ += of_frame;
  in_end_ += bytes - of_frame;
  return true;
}

/// What comes within kPatience, or nothing.
void TcpTransport::await_bytes() {
  if (!awaited_) awaited_ = std::chrono::steady_clock::now();
  if (looks_) {
    do
      if (read(MSG_DONTWAIT)) return;
    while (std::chrono::steady_clock::now() - *awaited_ < kLook);
    looks_ = false;
    naps_ = kAfterVainLook;
  }
  read(0);
}

/// One is there whole.
void TcpTransport::note_delivery() {
  if (under_way_ > 0) --under_way_;
  looks_ = naps_ == 0 && (!awaited_ || std::chrono::steady_clock::now() - *awaited_ < kLook);
  if (naps_ > 0) --naps_;
  awaited_.reset();
}

/// What the socket takes now.
void TcpTransport::write() {
  queued_frames_ = 0;
  const auto due = std::span{queued_}.subspan(written_);
  if (due.empty() || write_error_) return;
  const auto put =
      ::send(socket_.native_handle(), due.data(), due.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (put < 0 && errno != EAGAIN && errno != EINTR)
    write_error_ = connection_error("send", {errno, boost::system::system_category()});
  written_ += static_cast<std::size_t>(std::max<ssize_t>(put, 0));
  // What is gone goes when it is the greater part: never a byte is moved more than once.
  if (2 * written_ < queued_.size() && !write_error_) return;
  queued_.erase(queued_.begin(), queued_.begin() + static_cast<std::ptrdiff_t>(written_));
  written_ = 0;
  if (write_error_) queued_.clear();
}

bool TcpTransport::wait(Deadline deadline) {
  if (!queued_.empty()) {
    if (wants_to_read() && read(MSG_DONTWAIT)) return true;
    const auto due = queued_.size() - written_;
    write();
    if (queued_.size() - written_ < due) return true;
  }
  const bool waits_to_write = !queued_.empty();
  const auto left = std::max(deadline - std::chrono::steady_clock::now(), Deadline::duration{});
  // Mostly there is nothing else to wait for: then the call that waits brings the bytes as well.
  if (wants_to_read() && !waits_to_write && left > kPatience) {
    await_bytes();
    return true;
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  const timespec patience{seconds.count(), (left - seconds).count()};
  pollfd events{socket_.native_handle(), 0, 0};
  if (wants_to_read()) events.events |= POLLIN;
  if (waits_to_write) events.events |= POLLOUT;
  const int ready = ::ppoll(&events, 1, &patience, nullptr);
  if (ready == 0) return false;
  if (waits_to_write) write();
  if (wants_to_read()) read(MSG_DONTWAIT);
  return true;
}

Result<void> TcpTransport::send(std::span<const std::byte> frame, std::uint32_t tag,
                                Deadline deadline) {
  while (!fatal_ && !write_error_ && queued_.size() - written_ + frame.size() > kMaxQueuedBytes)
    if (!wait(deadline)) return Error{ErrorCode::kTimeout, "the relay takes no more bytes"};
  if (fatal_) return *fatal_;
  if (write_error_) return *write_error_;
  const auto envelope = common::encode_envelope(
      {.bytes = static_cast<std::uint32_t>(frame.size()), .tag = tag, .status = 0, .zero = 0});
  queued_.insert(queued_.end(), envelope.begin(), envelope.end());
  queued_.insert(queued_.end(), frame.begin(), frame.end());
  ++under_way_;
  // The rest goes when there is nothing to receive.
  if (++queued_frames_ >= under_way_ / kTogether) write();
  return {};
}

Result<Delivery> TcpTransport::receive(Deadline deadline) {
  while (true) {
    auto delivery = next_delivery();
    if (!delivery) return delivery.error();
    if (*delivery) return **std::move(delivery);
    if (read_error_) return *read_error_;
    if (!wait(deadline)) return Error{ErrorCode::kTimeout, "nothing from the relay"};
  }
}

void TcpTransport::drop(std::size_t bytes) {
  in_begin_ += bytes;
  if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
}

/// The first delivery, if it is there whole.
Result<std::optional<Delivery>> TcpTransport::next_delivery() {
  if (fatal_) return *fatal_;
  if (!partial_)
    if (auto begun = begin_delivery(); !begun) return begun.error();
  if (!partial_) return std::optional<Delivery>{};
  auto& frame = partial_->frame;
  const auto more = std::min(frame.size() - partial_bytes_, unread().size());
  std::copy_n(unread().begin(), more, frame.begin() + static_cast<std::ptrdiff_t>(partial_bytes_));
  partial_bytes_ += more;
  drop(more);
  if (partial_bytes_ < frame.size()) return std::optional<Delivery>{};
  note_delivery();
  return std::exchange(partial_, std::nullopt);
}

/// Its envelope, if that is there.
Result<void> TcpTransport::begin_delivery() {
  const auto in = unread();
  if (in.size() < sizeof(sevmon_envelope)) {
    // To the front, so that there is room behind it.
    std::copy(in.begin(), in.end(), in_.begin());
    in_begin_ = 0;
    in_end_ = in.size();
    return {};
  }
  const auto envelope =
      common::decode_envelope(in.first<sizeof(sevmon_envelope)>(), common::Direction::kToIds);
  if (!envelope) {
    // Where the next envelope starts nobody knows.
    fatal_ = Error{ErrorCode::kMalformed, "the relay's " + envelope.error().detail};
    return *fatal_;
  }
  drop(sizeof(sevmon_envelope));
  partial_ = Delivery{envelope->tag, envelope->status, FrameBytes(envelope->bytes)};
  partial_bytes_ = 0;
  return {};
}

bool is_port(const std::string& port) {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc{} && end == port.data() + port.size() && number != 0;
}

}  // namespace

Result<std::unique_ptr<FrameTransport>> connect_tcp(const std::string& host,
                                                    const std::string& port,
                                                    std::chrono::milliseconds timeout) {
  if (host.empty() || !is_port(port))
    return Error{ErrorCode::kUsage, "tcp:" + host + ":" + port + ": not HOST:PORT"};
  auto transport = std::make_unique<TcpTransport>(host, port);
  if (auto ok = transport->connect(host, port, timeout); !ok) return ok.error();
  return std::unique_ptr<FrameTransport>{std::move(transport)};
}

}  // namespace sevmon::ids
