// SPDX-License-Identifier: Apache-2.0
// What all coroutines here share.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "process/log.hpp"

namespace sevmon::proxy {

namespace asio = boost::asio;

/// Errors as values: `auto [error, bytes] = co_await socket.async_send(…, kTuple);`
inline constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

inline asio::awaitable<void> sleep_for(std::chrono::milliseconds duration) {
  asio::steady_timer timer{co_await asio::this_coro::executor, duration};
  co_await timer.async_wait(kTuple);
}

/// `work`'s result, or nothing when it was cancelled after `limit`.
template <typename T>
asio::awaitable<std::optional<T>> within(std::chrono::milliseconds limit, asio::awaitable<T> work) {
  using asio::experimental::awaitable_operators::operator||;
  auto first = co_await (std::move(work) || sleep_for(limit));
  if (first.index() == 1) co_return std::nullopt;
  co_return std::optional<T>{std::get<0>(std::move(first))};
}

/// Whether `work` ended by itself, not cancelled after `limit`.
inline asio::awaitable<bool> finished_within(std::chrono::milliseconds limit,
                                             asio::awaitable<void> work) {
  using asio::experimental::awaitable_operators::operator||;
  const auto first = co_await (std::move(work) || sleep_for(limit));
  co_return first.index() == 0;
}

/// A condition variable for coroutines of one executor. Waiters look at their condition again after
/// each wake-up.
class Signal {
 public:
  explicit Signal(const asio::any_io_executor& executor)
      : timer_{executor, asio::steady_timer::time_point::max()} {}
  void notify() { timer_.cancel(); }
  asio::awaitable<void> wait() { co_await timer_.async_wait(kTuple); }

 private:
  asio::steady_timer timer_;
};

/// Completion of a spawned coroutine: nothing that escapes from one is lost.
struct ReportException {
  const char* who;
  void operator()(const std::exception_ptr& error) const {
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& what) {
      log(LogLevel::kError, std::string{who} + ": " + what.what());
    }
  }
};

}  // namespace sevmon::proxy
