// SPDX-License-Identifier: Apache-2.0
#include "bench/paths.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/transport.hpp>

#include "bench/echo_client.hpp"
#include "gcm.h"
#include "image/image_transport.hpp"

namespace sevmon::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 60s;  // emulation is slow

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}

std::uint8_t class_of(std::size_t pages) {
  for (std::uint8_t i = 0; i < SEVMON_CLASSES; ++i)
    if (pages <= SEVMON_CLASS_PAGES(i)) return i;
  throw std::runtime_error{"too many pages for a request"};
}

std::uint32_t answer_bytes(std::size_t pages) {
  return static_cast<std::uint32_t>(SEVMON_RESPONSE_FRAME_BYTES(class_of(pages)));
}

// ---- Agents' ----

/// Items that read one page after the other, over and over again.
class Pages {
 public:
  explicit Pages(const std::string& memory) {
    if (memory.find_first_not_of("0123456789") == memory.npos) {
      count_ = std::stoull(memory);
      return;
    }
    const auto profile = take(ids::Profile::load(memory));
    kind_ = SEVMON_ITEM_READ_VIRTUAL;
    first_ = take(profile.symbol("_text")).value;
    // Up to here every page is there for good: no initialisation code.
    count_ = (take(profile.symbol("_etext")).value - first_) / SEVMON_PAGE_BYTES;
  }

  sevmon_item next() {
    return {kind_, 0, SEVMON_PAGE_BYTES, 0, first_ + next_++ % count_ * SEVMON_PAGE_BYTES};
  }

 private:
  std::uint8_t kind_ = SEVMON_ITEM_READ_PHYSICAL;
  std::uint64_t first_ = 0, count_ = 0, next_ = 0;
};

class AgentPath final : public Path {
 public:
  AgentPath(std::unique_ptr<ids::FrameTransport> transport, ids::Key key,
            const PathOptions& options)
      : pages_{options.memory}, pages_each_{options.pages} {
    ids::ChannelOptions how;
    how.size_class = class_of(options.pages);
    how.answer_timeout = kPatience;
    how.pipeline_depth = options.depth;
    channel_ = take(ids::Channel::open(std::move(transport), std::move(key), how));
  }

  void read(std::size_t requests) override {
    // Bounded, as libsevmon's own readers are: only what is under way is held.
    Stream stream{*this, requests};
    if (auto done = channel_->stream(stream); !done)
      throw std::runtime_error{done.error().message()};
  }

 private:
  class Stream final : public ids::RequestStream {
   public:
    Stream(AgentPath& path, std::size_t requests) : path_{path}, left_{requests} {}
    Next next(ids::Request& request, bool /*nothing_under_way*/) override {
      if (left_ == 0) return Next::kEnd;
      --left_;
      request = {};
      for (std::size_t i = 0; i < path_.pages_each_; ++i)
        request.items.push_back(path_.pages_.next());
      return Next::kRequest;
    }
    common::Result<void> take(std::size_t /*index*/, ids::Response response) override {
      for (const auto& item : response.items)
        if (item.status != SEVMON_STATUS_OK) throw std::runtime_error{"a page could not be read"};
      return {};
    }

   private:
    AgentPath& path_;
    std::size_t left_;
  };

  Pages pages_;
  const std::size_t pages_each_;
  std::unique_ptr<ids::Channel> channel_;
};

std::unique_ptr<Path> make_image_path(const std::string& file, const PathOptions& options) {
  auto connection = take(proxy::connect_image(file, proxy::ImageFormat::kRaw));
  return std::make_unique<AgentPath>(std::move(connection.transport),
                                     take(ids::Key::parse(connection.key_file)), options);
}

// ---- As many bytes, nobody behind them ----

class TcpEchoPath final : public Path {
 public:
  TcpEchoPath(std::uint16_t port, const PathOptions& options) : client_{port}, options_{options} {}

  void read(std::size_t requests) override {
    constexpr std::uint32_t kEnvelope = sizeof(sevmon_envelope);
    client_.exchange(requests, options_.depth, kEnvelope + SEVMON_REQUEST_FRAME_BYTES,
                     kEnvelope + answer_bytes(options_.pages));
  }

 private:
  EchoClient client_;
  const PathOptions options_;
};

class LaneEchoPath final : public Path {
 public:
  LaneEchoPath(const std::string& file, const PathOptions& options)
      : transport_{take(ids::connect_shm(take(ids::open_shm(file)), kPatience))},
        depth_{options.depth},
        answer_bytes_{answer_bytes(options.pages)} {}

  void read(std::size_t requests) override {
    std::array<std::byte, SEVMON_REQUEST_FRAME_BYTES> message{};
    std::memcpy(message.data() + sizeof(sevmon_header), &answer_bytes_, sizeof(answer_bytes_));
    std::size_t sent = 0;
    for (std::size_t answered = 0; answered < requests; ++answered) {
      const auto deadline = ids::FrameTransport::Deadline::clock::now() + kPatience;
      for (; sent < requests && sent < answered + depth_; ++sent)
        if (auto done = transport_->send(message, 0, deadline); !done)
          throw std::runtime_error{done.error().message()};
      if (take(transport_->receive(deadline)).frame.size() != answer_bytes_)
        throw std::runtime_error{"an answer of another size"};
    }
  }

 private:
  const std::unique_ptr<ids::FrameTransport> transport_;
  const unsigned depth_;
  const std::uint32_t answer_bytes_;
};

// ---- No way at all ----

/// A file, mapped.
class Mapped {
 public:
  explicit Mapped(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat file {};
    if (fd >= 0 && fstat(fd, &file) == 0) {
      bytes_ = static_cast<std::size_t>(file.st_size);
      at_ = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) close(fd);
    if (at_ == MAP_FAILED) throw std::runtime_error{"cannot map " + path};
  }
  ~Mapped() { munmap(at_, bytes_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  const std::uint8_t* page(std::size_t index) const {
    return static_cast<const std::uint8_t*>(at_) +
           index % (bytes_ / SEVMON_PAGE_BYTES) * SEVMON_PAGE_BYTES;
  }

 private:
  void* at_ = MAP_FAILED;
  std::size_t bytes_ = 0;
};

/// Each page through `copy(page, out)`.
class CopyPath final : public Path {
 public:
  using Copy = std::function<void(const std::uint8_t*, std::uint8_t*)>;

  CopyPath(const std::string& file, const PathOptions& options, Copy copy)
      : file_{file},
        pages_each_{options.pages},
        copy_{std::move(copy)},
        out_(pages_each_ * (SEVMON_PAGE_BYTES + SEVMON_TAG_BYTES)) {}

  void read(std::size_t requests) override {
    for (std::size_t i = 0; i < requests; ++i) {
      for (std::size_t page = 0; page < pages_each_; ++page)
        copy_(file_.page(next_++), out_.data() + page * SEVMON_PAGE_BYTES);
      // Every message is "used".
      __asm__ volatile("" : : "r"(out_.data()) : "memory");
    }
  }

 private:
  const Mapped file_;
  const std::size_t pages_each_;
  const Copy copy_;
  std::vector<std::uint8_t> out_;
  std::size_t next_ = 0;
};

std::unique_ptr<Path> make_gcm_path(const std::string& file, const PathOptions& options) {
  auto key = std::make_shared<sevmon_gcm_key>();
  const std::array<std::uint8_t, 32> raw{1, 2, 3};
  sevmon_gcm_set_key(key.get(), raw.data());
  return std::make_unique<CopyPath>(
      file, options, [key](const std::uint8_t* page, std::uint8_t* out) {
        const std::array<std::uint8_t, 12> nonce{};
        const std::array<std::uint8_t, 16> aad{};
        sevmon_gcm_seal(key.get(), nonce.data(), aad.data(), aad.size(), page, SEVMON_PAGE_BYTES,
                        out, out + SEVMON_PAGE_BYTES);
      });
}

}  // namespace

std::unique_ptr<Path> make_path(const std::string& name, const PathOptions& options) {
  const auto colon = name.find(':');
  if (colon == name.npos) throw std::runtime_error{"no path: " + name};
  const auto kind = name.substr(0, colon), rest = name.substr(colon + 1);
  const auto agent = [&](std::unique_ptr<ids::FrameTransport> transport) {
    return std::make_unique<AgentPath>(std::move(transport), take(ids::Key::load(options.key)),
                                       options);
  };
  if (kind == "tcp") return agent(take(ids::connect_tcp("127.0.0.1", rest, kPatience)));
  if (kind == "shm") return agent(take(ids::connect_shm(take(ids::open_shm(rest)), kPatience)));
  if (kind == "image") return make_image_path(rest, options);
  if (kind == "tcp-echo")
    return std::make_unique<TcpEchoPath>(static_cast<std::uint16_t>(std::stoul(rest)), options);
  if (kind == "shm-echo") return std::make_unique<LaneEchoPath>(rest, options);
  if (kind == "aes-gcm") return make_gcm_path(rest, options);
  if (kind == "memcpy")
    return std::make_unique<CopyPath>(rest, options,
                                      [](const std::uint8_t* page, std::uint8_t* out) {
                                        std::memcpy(out, page, SEVMON_PAGE_BYTES);
                                      });
  throw std::runtime_error{"no path: " + name};
}

}  // namespace sevmon::bench
