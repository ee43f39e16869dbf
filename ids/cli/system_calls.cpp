// SPDX-License-Identifier: Apache-2.0
#include "system_calls.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace sevmon::cli {
namespace {

constexpr std::array kAllowed{
    // What is open already: the socket, the terminal, the file that is written.
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close),
    SCMP_SYS(lseek), SCMP_SYS(fsync), SCMP_SYS(ftruncate), SCMP_SYS(fstat), SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
    SCMP_SYS(pselect6), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
    SCMP_SYS(timerfd_settime),
    // Memory, threads and signals, as glibc needs them.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(munlock),
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(wait4),
    // The undefined sanitizer asks with a pipe whether memory can be read. It leads nowhere.
    SCMP_SYS(pipe), SCMP_SYS(pipe2),
    // Randomness and clocks: not every vDSO has all of them.
    SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(getrusage), SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(signalfd4), SCMP_SYS(pause), SCMP_SYS(setitimer), SCMP_SYS(newfstatat)};

constexpr std::array kToReconnect{
    SCMP_SYS(connect),    SCMP_SYS(bind),          SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(sendmmsg),   SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2),    SCMP_SYS(timerfd_create),
    SCMP_SYS(stat),       SCMP_SYS(lstat),         SCMP_SYS(access),      SCMP_SYS(faccessat),
    SCMP_SYS(getdents64), SCMP_SYS(readlink),      SCMP_SYS(uname),       SCMP_SYS(geteuid),
    SCMP_SYS(getuid),     SCMP_SYS(mlock),         SCMP_SYS(fcntl)};

// Of no use to us and of much to an intruder: he shall not try twice.
constexpr std::array kDeadly{SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
                             SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev)};

class Filter {
 public:
  Filter() : context_{seccomp_init(SCMP_ACT_ERRNO(EPERM))} {
    if (context_ == nullptr) error_ = -ENOMEM;
  }
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  template <typename Calls>
  void add(const Calls& calls, std::uint32_t action) {
    for (const int call : calls)
      if (error_ == 0) error_ = seccomp_rule_add(context_, action, call, 0);
  }
  /// Allow `call` where its argument `index`, under `mask`, is `value`.
  void allow_if(int call, unsigned index, scmp_datum_t mask, scmp_datum_t value) {
    const scmp_arg_cmp comparison{
        .arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    if (error_ == 0)
      error_ = seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call, 1, &comparison);
  }
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    if (error_ == 0) error_ = seccomp_attr_set(context_, attribute, value);
  }
  int load() {
    if (error_ == 0) error_ = seccomp_load(context_);
    return error_;
  }

 private:
  scmp_filter_ctx context_;
  int error_ = 0;
};

constexpr scmp_datum_t kAll = ~scmp_datum_t{0};

void add_common(Filter& filter) {
  filter.add(kAllowed, SCMP_ACT_ALLOW);
  filter.add(kDeadly, SCMP_ACT_KILL_PROCESS);
  // No memory that can be written and run.
  filter.allow_if(SCMP_SYS(mmap), 2, PROT_EXEC, 0);
  filter.allow_if(SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
  // clone3() hides its flags from the filter; told that it does not exist, glibc takes clone().
  filter.add(std::array{SCMP_SYS(clone3)}, SCMP_ACT_ERRNO(ENOSYS));
  constexpr scmp_datum_t kThread = CLONE_THREAD | CLONE_VM;
  filter.allow_if(SCMP_SYS(clone), 0, kThread, kThread);
  // abort(), to itself and to nobody else.
  filter.allow_if(SCMP_SYS(tgkill), 0, kAll, static_cast<scmp_datum_t>(getpid()));
  // Is it a terminal, and how wide? Is there something to read? No TIOCSTI, which types.
  for (const scmp_datum_t request : {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO})
    filter.allow_if(SCMP_SYS(ioctl), 1, kAll, request);
}

void add_reconnecting(Filter& filter) {
  filter.add(kToReconnect, SCMP_ACT_ALLOW);
  // The resolver asks name servers, nscd or systemd-resolved, and which addresses this machine has.
  for (const scmp_datum_t family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
    filter.allow_if(SCMP_SYS(socket), 0, kAll, family);
  constexpr scmp_datum_t kWriting = O_ACCMODE | O_CREAT | O_TRUNC;
  filter.allow_if(SCMP_SYS(openat), 2, kWriting, O_RDONLY);
  filter.allow_if(SCMP_SYS(open), 1, kWriting, O_RDONLY);
  // The resolver's libraries may be loaded only now.
  filter.allow_if(SCMP_SYS(mmap), 2, PROT_EXEC | PROT_WRITE, PROT_EXEC);
}

}  // namespace

common::Result<void> restrict_system_calls(SystemCalls allowed) {
  Filter filter;
  filter.set(SCMP_FLTATR_CTL_NNP, 1);
  filter.set(SCMP_FLTATR_CTL_TSYNC, 1);  // the resolver's thread, too
  filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  add_common(filter);
  if (allowed == SystemCalls::kReconnects) add_reconnecting(filter);
  if (const int error = filter.load(); error != 0)
    return common::Error{common::ErrorCode::kIo,
                         std::string{"seccomp: "} + std::strerror(error < 0 ? -error : EINVAL)};
  return {};
}

}  // namespace sevmon::cli
