// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

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
/// One delivery of the greatest size, so that the peer never decides how much we hold.
constexpr std::size_t kMaxBufferedBytes = sizeof(sevmon_envelope) + SEVMON_MAX_FRAME_BYTES;

/// Reading and writing go on side by side whenever somebody waits for either: a relay that stops
/// reading until its answers are taken cannot block us. Both stay under way when a deadline passes,
/// so a frame of which half is there is not lost.
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
  void start_read();
  void start_write();
  /// Move bytes until something happened. @return false at the deadline.
  bool wait(Deadline deadline);
  Result<std::optional<Delivery>> next_delivery();

  std::string description_;
  asio::io_context io_;
  tcp::socket socket_;
  std::array<std::byte, kMaxBufferedBytes> in_;
  std::size_t in_bytes_ = 0;
  bool is_reading_ = false;
  std::vector<std::byte> writing_;   // given to the socket
  std::vector<std::byte> queued_;    // to go after it
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
  if (!error) socket_.non_blocking(true, error);
  if (error) return connection_error(description_, error);
  return {};
}

/// Wait for bytes, then take those that are there: nothing owns the buffer between two calls.
void TcpTransport::start_read() {
  if (is_reading_ || read_error_ || in_bytes_ == in_.size()) return;
  is_reading_ = true;
  socket_.async_wait(tcp::socket::wait_read, [this](error_code error) {
    is_reading_ = false;
    const auto room = std::span{in_}.subspan(in_bytes_);
    if (!error) in_bytes_ += socket_.read_some(asio::buffer(room.data(), room.size()), error);
    if (error == asio::error::eof)
      read_error_ = Error{ErrorCode::kConnect, "the relay closed"};
    else if (error && error != asio::error::would_block)
      read_error_ = connection_error("receive", error);
  });
}

void TcpTransport::start_write() {
  if (!writing_.empty() || queued_.empty() || write_error_) return;
  writing_.swap(queued_);
  asio::async_write(socket_, asio::buffer(writing_), [this](const error_code& error, std::size_t) {
    writing_.clear();
    if (error) write_error_ = connection_error("send", error);
  });
}

bool TcpTransport::wait(Deadline deadline) {
  start_write();
  start_read();
  io_.restart();
  return io_.poll_one() > 0 || io_.run_one_until(deadline) > 0;
}

Result<void> TcpTransport::send(std::span<const std::byte> frame, std::uint32_t tag,
                                Deadline deadline) {
  while (!fatal_ && !write_error_ && queued_.size() + frame.size() > kMaxQueuedBytes)
    if (!wait(deadline)) return Error{ErrorCode::kTimeout, "the relay takes no more bytes"};
  if (fatal_) return *fatal_;
  if (write_error_) return *write_error_;
  const auto envelope = common::encode_envelope(
      {.bytes = static_cast<std::uint32_t>(frame.size()), .tag = tag, .status = 0, .zero = 0});
  queued_.insert(queued_.end(), envelope.begin(), envelope.end());
  queued_.insert(queued_.end(), frame.begin(), frame.end());
  start_write();
  io_.restart();
  io_.poll();  // the socket usually takes it at once
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

/// The first delivery in the buffer, if it is there whole.
Result<std::optional<Delivery>> TcpTransport::next_delivery() {
  if (fatal_) return *fatal_;
  common::Reader reader{std::span{in_}.first(in_bytes_)};
  const auto head = reader.bytes(sizeof(sevmon_envelope));
  if (reader.failed()) return std::optional<Delivery>{};
  const auto envelope =
      common::decode_envelope(head.first<sizeof(sevmon_envelope)>(), common::Direction::kToIds);
  if (!envelope) {
    // Where the next envelope starts nobody knows.
    fatal_ = Error{ErrorCode::kMalformed, "the relay's " + envelope.error().detail};
    return *fatal_;
  }
  const auto frame = reader.bytes(envelope->bytes);
  if (reader.failed()) return std::optional<Delivery>{};
  Delivery delivery{envelope->tag, envelope->status, {frame.begin(), frame.end()}};
  const auto taken = in_bytes_ - reader.left();
  std::copy(in_.begin() + taken, in_.begin() + in_bytes_, in_.begin());
  in_bytes_ -= taken;
  return std::optional{std::move(delivery)};
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
