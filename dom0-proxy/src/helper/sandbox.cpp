// SPDX-License-Identifier: Apache-2.0
#include "helper/sandbox.hpp"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <xen/xen.h>
// Needs the types of the header above it.
#include <xen/sys/privcmd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>

namespace sevmon::proxy {

namespace {

constexpr std::array kAllowed{
    // Serving.
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(shutdown),
    SCMP_SYS(setsockopt), SCMP_SYS(poll), SCMP_SYS(eventfd2), SCMP_SYS(read), SCMP_SYS(write),
    SCMP_SYS(close), SCMP_SYS(sendto),
    // Threads and memory, as glibc needs them.
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(mmap), SCMP_SYS(munmap),
    SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(sched_yield),
    SCMP_SYS(getrandom), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(tgkill),
    // Under Xen the vDSO has no clock.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(fstat), SCMP_SYS(newfstatat)};

// Allow `call` where its argument `index`, under `mask`, is `value`.
int allow_if(scmp_filter_ctx filter, int call, unsigned index, scmp_datum_t mask,
             scmp_datum_t value) {
  const scmp_arg_cmp comparison{
      .arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
  return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &comparison);
}

int add_rules(scmp_filter_ctx filter) {
  for (const int call : kAllowed)
    if (const int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0)) return error;
  // clone3() hides its flags from the filter; told that it does not exist, glibc takes clone().
  if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0))
    return error;
  constexpr scmp_datum_t kThread = CLONE_THREAD | CLONE_VM;
  if (const int error = allow_if(filter, SCMP_SYS(clone), 0, kThread, kThread)) return error;
  // For the service manager's notifications.
  constexpr scmp_datum_t kAll = ~scmp_datum_t{0};
  if (const int error = allow_if(filter, SCMP_SYS(socket), 0, kAll, AF_UNIX)) return error;
  return allow_if(filter, SCMP_SYS(ioctl), 1, kAll, IOCTL_PRIVCMD_HYPERCALL);
}

}  // namespace

common::Result<void> enter_sandbox() {
  using Filter = std::unique_ptr<void, decltype([](scmp_filter_ctx f) { seccomp_release(f); })>;
  const Filter filter{seccomp_init(SCMP_ACT_ERRNO(EPERM))};
  int error = filter ? add_rules(filter.get()) : -ENOMEM;
  if (!error) error = seccomp_load(filter.get());
  if (error)
    return common::Error{common::ErrorCode::kIo, std::string{"seccomp: "} + std::strerror(-error)};
  return {};
}

}  // namespace sevmon::proxy
