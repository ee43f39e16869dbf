// SPDX-License-Identifier: Apache-2.0
#include "xen_backend.hpp"

#include <errno.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/generic/seq_packet_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstring>
#include <unordered_map>

#include "asio.hpp"
#include "helper/ipc.hpp"

namespace sevmon::proxy {

namespace {

using SeqPacket = asio::generic::seq_packet_protocol;

class XenBackend : public Backend, public std::enable_shared_from_this<XenBackend> {
 public:
  XenBackend(const asio::any_io_executor& executor, std::string path, std::size_t max_calls)
      : executor_{executor}, path_{std::move(path)}, max_calls_{max_calls} {}

  Submission submit(std::span<const std::byte> frame) override {
    return {.now = {}, .later = call({frame.begin(), frame.end()})};
  }
  void stop() override;
  std::string describe() const override { return "xen through " + path_; }

 private:
  struct Call {
    explicit Call(const asio::any_io_executor& executor) : done{executor} {}
    Signal done;
    std::optional<BackendAnswer> answer;
  };
  using Socket = std::shared_ptr<SeqPacket::socket>;

  asio::awaitable<BackendAnswer> call(std::vector<std::byte> frame);
  Socket connection();
  asio::awaitable<void> receive(Socket socket);
  bool take_reply(std::span<const std::byte> message);
  void finish(std::uint64_t id, BackendAnswer answer);
  void disconnect(Socket socket, const std::string& why);

  const asio::any_io_executor executor_;
  const std::string path_;
  const std::size_t max_calls_;
  Socket socket_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Call>> calls_;
  std::uint64_t next_id_ = 1;
  bool stopped_ = false;
  LimitedLog helper_log_;
};

asio::awaitable<BackendAnswer> XenBackend::call(std::vector<std::byte> frame) {
  const auto self = shared_from_this();
  if (calls_.size() >= max_calls_) co_return BackendAnswer{.error = EBUSY, .frame = {}};
  const Socket socket = connection();
  if (!socket) co_return BackendAnswer{.error = EPIPE, .frame = {}};
  const std::uint64_t id = next_id_++;
  const auto call = calls_.emplace(id, std::make_shared<Call>(executor_)).first->second;
  const auto head =
      encode_ipc_header({.id = id, .status = 0, .bytes = static_cast<std::uint32_t>(frame.size())});
  const std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::buffer(frame)};
  const auto [error, sent] = co_await socket->async_send(parts, 0, kTuple);
  if (error) {
    // Cancelled before it went out, or the helper is gone.
    calls_.erase(id);
    if (error != asio::error::operation_aborted) disconnect(socket, error.message());
    if (!call->answer) co_return BackendAnswer{.error = EPIPE, .frame = {}};
  }
  // After a cancelled wait the entry stays until its reply comes: it still occupies a worker.
  if (!call->answer) co_await call->done.wait();
  if (!call->answer) co_return BackendAnswer{.error = ETIMEDOUT, .frame = {}};
  co_return std::move(*call->answer);
}

void XenBackend::stop() {
  stopped_ = true;
  if (socket_) disconnect(socket_, "stopping");
}

XenBackend::Socket XenBackend::connection() {
  if (socket_ || stopped_) return socket_;
  boost::system::error_code error;
  auto socket = std::make_shared<SeqPacket::socket>(executor_);
  socket->open(SeqPacket{AF_UNIX, 0}, error);
  // Does not wait on a local socket: a full queue is an error, too.
  if (!error) socket->non_blocking(true, error);
  if (!error) socket->connect(asio::local::stream_protocol::endpoint{path_}, error);
  if (error) {
    helper_log_.log(LogLevel::kError, "no helper at " + path_ + ": " + error.message());
    return nullptr;
  }
  enlarge_socket_buffers(socket->native_handle());
  socket_ = socket;
  asio::co_spawn(
      executor_, [self = shared_from_this(), socket] { return self->receive(socket); },
      ReportException{"helper connection"});
  return socket_;
}

asio::awaitable<void> XenBackend::receive(Socket socket) {
  std::vector<std::byte> buffer(kMaxIpcReplyBytes + 1);
  while (true) {
    SeqPacket::socket::message_flags flags = 0;
    const auto [error, bytes] = co_await socket->async_receive(asio::buffer(buffer), flags, kTuple);
    if (error || bytes == 0) {
      disconnect(socket, error ? error.message() : "it closed the connection");
      co_return;
    }
    if (!take_reply(std::span{buffer}.first(bytes))) {
      disconnect(socket, "its reply makes no sense");
      co_return;
    }
  }
}

bool XenBackend::take_reply(std::span<const std::byte> message) {
  const auto reply = decode_ipc_reply(message);
  if (!reply || !calls_.contains(reply->id)) return false;
  finish(reply->id,
         BackendAnswer{.error = -reply->status,
                       .frame = std::vector<std::byte>{reply->frame.begin(), reply->frame.end()}});
  return true;
}

void XenBackend::finish(std::uint64_t id, BackendAnswer answer) {
  const auto call = calls_.extract(id);
  call.mapped()->answer = std::move(answer);
  call.mapped()->done.notify();
}

void XenBackend::disconnect(Socket socket, const std::string& why) {
  if (socket_ != socket) return;
  socket_ = nullptr;
  boost::system::error_code ignored;
  socket->close(ignored);
  if (!stopped_) helper_log_.log(LogLevel::kError, "lost the helper: " + why);
  while (!calls_.empty()) finish(calls_.begin()->first, {.error = EPIPE, .frame = {}});
}

}  // namespace

std::shared_ptr<Backend> make_xen_backend(const asio::any_io_executor& executor,
                                          std::string helper_socket, std::size_t max_calls) {
  return std::make_shared<XenBackend>(executor, std::move(helper_socket), max_calls);
}

}  // namespace sevmon::proxy
