// SPDX-License-Identifier: Apache-2.0
//
// Many connections to one dom0-proxy, each of which always has a request under way. An agent has
// few sessions for each IDS, so connections share them: a session's frames may come by any way.
//
//   bench-crowd PORT CONNECTIONS ANSWERS KEY...
//       Until ANSWERS times as many answers as connections have come. All are opened.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/heap.hpp>
#include <sevmon/transport.hpp>

#include "bench/rounds.hpp"
#include "channel/handshake.hpp"

namespace {

using namespace sevmon;
using namespace std::chrono_literals;
using ids::Clock;

constexpr auto kClass = SEVMON_CLASS_1_PAGE;
constexpr std::size_t kAnswerBytes =
    sizeof(sevmon_envelope) + SEVMON_RESPONSE_FRAME_BYTES(SEVMON_CLASS_1_PAGE);
// None is answered: something is broken, and no figure would show it.
constexpr int kPatienceMs = 60'000;

template <typename T>
T take(common::Result<T> result) {
  if (!result) throw std::runtime_error{result.error().message()};
  return std::move(*result);
}
void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error{std::string{what} + ": " + std::strerror(errno)};
}

std::unique_ptr<ids::Session> open_session(const std::string& port, const std::string& key_file,
                                           std::uint8_t number) {
  const auto key = take(ids::Key::load(key_file));
  const auto transport = take(ids::connect_tcp("127.0.0.1", port, 60s));
  ids::Handshake handshake{key, {number}, kClass, 60s, Clock::now()};
  while (!handshake.result()) {
    if (const auto frame = handshake.poll(Clock::now(), 1))
      if (const auto sent = transport->send(*frame, 1, Clock::now() + 60s); !sent)
        throw std::runtime_error{sent.error().message()};
    if (const auto got = transport->receive(handshake.wake())) handshake.take(*got, Clock::now());
  }
  return take(*std::move(handshake.result())).session;
}

sevmon_request_body one_page() {
  sevmon_item item{};
  item.type = SEVMON_ITEM_READ_PHYSICAL;
  item.bytes = SEVMON_PAGE_BYTES;
  sevmon_request_head head{};
  head.domid = SEVMON_DOMID_DOM0;
  return take(common::make_request(head, std::span{&item, 1}, kClass));
}

/// One of the crowd.
class Member {
 public:
  Member(std::uint16_t port, ids::Session& session)
      : fd_{socket(AF_INET, SOCK_STREAM, 0)}, session_{session}, in_(kAnswerBytes) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    require(fd_ >= 0 && connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0,
            "cannot connect");
  }
  ~Member() { close(fd_); }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  int fd() const { return fd_; }
  std::size_t answers() const { return waits_.size(); }
  const std::vector<double>& waits_us() const { return waits_; }

  void ask(const sevmon_request_body& body) {
    const auto [n, frame] = session_.seal(body);
    n_ = n;
    const auto envelope = common::encode_envelope(
        {.bytes = static_cast<std::uint32_t>(frame.size()), .tag = 1, .status = 0, .zero = 0});
    std::vector<std::byte> unit{envelope.begin(), envelope.end()};
    unit.insert(unit.end(), frame.begin(), frame.end());
    asked_ = Clock::now();
    require(send(fd_, unit.data(), unit.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(unit.size()),
            "cannot send");
  }
  /// What is there. @return whether the answer is whole, and it is one.
  bool receive() {
    const auto got = recv(fd_, in_.data() + in_bytes_, in_.size() - in_bytes_, 0);
    require(got > 0, "the connection broke");
    in_bytes_ += static_cast<std::size_t>(got);
    if (const int notice = this->notice())
      throw std::runtime_error{"notice " + std::to_string(notice) + " after " +
                               std::to_string(waits_.size()) + " answers"};
    if (in_bytes_ < in_.size()) return false;
    in_bytes_ = 0;
    const auto frame = std::span{in_}.subspan(sizeof(sevmon_envelope));
    const auto header = take(common::decode_header(frame));
    if (header.n != n_ || !session_.open_in_place(header, frame))
      throw std::runtime_error{"an answer does not verify, or is another's"};
    waits_.push_back(std::chrono::duration<double, std::micro>{Clock::now() - asked_}.count());
    return true;
  }

 private:
  /// What the relay says in place of an answer (SEVMON_NOTICE_*); 0: nothing.
  int notice() const {
    sevmon_envelope envelope{};
    if (in_bytes_ < sizeof(envelope)) return 0;
    std::memcpy(&envelope, in_.data(), sizeof(envelope));
    return envelope.status;
  }

  const int fd_;
  ids::Session& session_;
  std::vector<std::byte> in_;
  std::size_t in_bytes_ = 0;
  std::uint64_t n_ = 0;  // of the request under way
  Clock::time_point asked_;
  std::vector<double> waits_;
};

class Crowd {
 public:
  Crowd(const std::string& port, std::size_t count, const std::vector<std::string>& keys) {
    // As few as there are members: each costs a handshake.
    for (std::uint8_t i = 0; i < SEVMON_MAX_CONNECTIONS; ++i)
      for (const auto& key : keys)
        if (sessions_.size() < count) sessions_.push_back(open_session(port, key, i));
    for (std::size_t i = 0; i < count; ++i) {
      members_.push_back(std::make_unique<Member>(static_cast<std::uint16_t>(std::stoul(port)),
                                                  *sessions_[i % sessions_.size()]));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = members_.back().get();
      require(epoll_ctl(epoll_, EPOLL_CTL_ADD, members_.back()->fd(), &event) == 0, "epoll");
    }
  }
  ~Crowd() { close(epoll_); }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  /// All ask, and ask again when they are answered, until so many answers have come.
  void run(std::size_t answers) {
    const auto body = one_page();
    const auto start = Clock::now();
    for (const auto& member : members_) member->ask(body);
    for (std::size_t count = 0; count < answers;) {
      std::array<epoll_event, 64> events;
      const int ready = epoll_wait(epoll_, events.data(), events.size(), kPatienceMs);
      if (ready == 0) throw std::runtime_error{"nobody is answered"};
      for (int i = 0; i < ready; ++i) {
        auto& member = *static_cast<Member*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!member.receive()) continue;
        ++count;
        member.ask(body);
      }
    }
    seconds_ = std::chrono::duration<double>{Clock::now() - start}.count();
  }

  nlohmann::ordered_json report() const {
    std::vector<double> waits, counts;
    for (const auto& member : members_) {
      counts.push_back(static_cast<double>(member->answers()));
      waits.insert(waits.end(), member->waits_us().begin(), member->waits_us().end());
    }
    return {{"connections", members_.size()},
            {"sessions", sessions_.size()},
            {"answers", waits.size()},
            {"answers_per_second", static_cast<double>(waits.size()) / seconds_},
            {"fewest_of_one", bench::quantile(counts, 0)},
            {"most_of_one", bench::quantile(counts, 1)},
            {"half_within_us", bench::quantile(waits, 0.5)},
            {"99_percent_within_us", bench::quantile(waits, 0.99)},
            {"longest_us", bench::quantile(waits, 1)}};
  }

 private:
  const int epoll_ = epoll_create1(0);
  std::vector<std::unique_ptr<ids::Session>> sessions_;
  std::vector<std::unique_ptr<Member>> members_;
  double seconds_ = 0;
};

int run(const std::vector<std::string>& words) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  const auto count = std::stoul(words.at(1));
  Crowd crowd{words.at(0), count, {words.begin() + 3, words.end()}};
  crowd.run(count * std::stoul(words.at(2)));
  std::puts(crowd.report().dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  common::keep_freed_memory(common::kIdsHeapBytes);  // as sevmon does
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 4) {
    std::fputs("usage: bench-crowd PORT CONNECTIONS ANSWERS KEY...\n", stderr);
    return 2;
  }
  try {
    return run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-crowd: %s\n", error.what());
    return 1;
  }
}
