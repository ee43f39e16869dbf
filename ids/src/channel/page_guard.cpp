// SPDX-License-Identifier: Apache-2.0
#include "channel/page_guard.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace sevmon::ids {
namespace {

constexpr std::uintptr_t kPage = 4096;

struct Guarded {
  std::atomic<bool> is_used{false};
  // For the handler: empty until both are there.
  std::atomic<std::uintptr_t> start{0}, end{0};
};
std::array<Guarded, 32> guarded;
struct sigaction before;

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

bool is_guarded(std::uintptr_t address) {
  for (const auto& range : guarded)
    if (address >= range.start && address < range.end) return true;
  return false;
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  auto* const page = reinterpret_cast<void*>(address & ~(kPage - 1));
  // A system call and nothing else, so a signal handler may make it.
  if (info->si_code > 0 && is_guarded(address) &&
      mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          page) {
    errno = saved;
    return;
  }
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(signal, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    before.sa_handler(signal);
  else
    sigaction(signal, &before, nullptr);  // and the access comes again
  errno = saved;
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

}  // namespace

std::optional<unsigned> guard_pages(const void* start, std::size_t bytes) {
  static std::once_flag installed;
  std::call_once(installed, install);
  for (unsigned place = 0; place < guarded.size(); ++place) {
    auto& range = guarded[place];
    if (range.is_used.exchange(true)) continue;
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    range.start = address;
    range.end = address + bytes;
    return place;
  }
  return std::nullopt;
}

void unguard_pages(unsigned place) {
  auto& range = guarded[place];
  range.end = 0;
  range.start = 0;
  range.is_used = false;
}

}  // namespace sevmon::ids
