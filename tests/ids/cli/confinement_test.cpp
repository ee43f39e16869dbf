// SPDX-License-Identifier: Apache-2.0
// Each test confines a child: what it then tries decides how it ends.
#include "confinement.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace sevmon::cli {
namespace {

constexpr int kNotConfined = 99;

/// Exit code of a confined child that runs `attempt`, or 1000 + the signal that ended it.
int confined(SystemCalls calls, const std::function<int()>& attempt) {
  const pid_t child = fork();
  if (child == 0) _exit(confine(calls, "") ? attempt() : kNotConfined);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

int errno_of(long result) {
  return result < 0 ? errno : 0;
}

int open_for_reading() {
  return errno_of(open("/proc/self/status", O_RDONLY));
}
int open_for_writing() {
  return errno_of(open("/dev/null", O_WRONLY));
}
int make_socket() {
  return errno_of(socket(AF_INET, SOCK_STREAM, 0));
}
int map_code() {
  void* const page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? errno : 0;
}
int start_program() {
  execl("/bin/true", "true", nullptr);
  return errno;
}
int make_process() {
  return errno_of(fork());
}
int run_thread() {
  int ran = 1;
  std::thread{[&ran] { ran = 0; }}.join();
  return ran;
}

TEST(Confinement, Settled) {
  const auto in = [](int (*attempt)()) { return confined(SystemCalls::kSettled, attempt); };
  EXPECT_EQ(in(open_for_reading), EPERM);
  EXPECT_EQ(in(open_for_writing), EPERM);
  EXPECT_EQ(in(make_socket), EPERM);
  EXPECT_EQ(in(map_code), EPERM);
  EXPECT_EQ(in(make_process), EPERM);
  EXPECT_EQ(in(start_program), 1000 + SIGSYS);
  EXPECT_EQ(in(run_thread), 0);
}

TEST(Confinement, Reconnects) {
  const auto in = [](int (*attempt)()) { return confined(SystemCalls::kReconnects, attempt); };
  EXPECT_EQ(in(make_socket), 0);
  EXPECT_EQ(in(open_for_writing), EPERM);
  EXPECT_EQ(in(map_code), EPERM);
  EXPECT_EQ(in(make_process), EPERM);
  EXPECT_EQ(in(start_program), 1000 + SIGSYS);
  EXPECT_EQ(in(run_thread), 0);
}

TEST(Confinement, RootIsGivenUpForGood) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  EXPECT_EQ(
      confined(SystemCalls::kReconnects, [] { return getuid() != 0 && geteuid() != 0 ? 0 : 1; }),
      0);
  EXPECT_EQ(confined(SystemCalls::kSettled, [] { return errno_of(setuid(0)); }), EPERM);
}

TEST(Confinement, AThreadThatWasThereBeforeIsConfinedToo) {
  EXPECT_EQ(confined(SystemCalls::kSettled, [] { return 0; }), 0);
  const pid_t child = fork();
  if (child == 0) {
    int ends[2];
    if (pipe(ends) != 0) _exit(1);
    int found = 0;
    std::thread earlier{[&] {
      char byte = 0;
      if (read(ends[0], &byte, 1) == 1) found = make_socket();
    }};
    if (!confine(SystemCalls::kSettled, "") || write(ends[1], "x", 1) != 1) _exit(1);
    earlier.join();
    _exit(found == EPERM ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Confinement, AnUnknownUserIsAnError) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  const auto done = confine(SystemCalls::kSettled, "no-such-user-here");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, common::ErrorCode::kUsage);
}

TEST(Confinement, SignalsNobodyElse) {
  EXPECT_EQ(confined(SystemCalls::kSettled,
                     [] {
                       const auto other = getppid();
                       return syscall(SYS_tgkill, other, other, 0) < 0 && errno == EPERM ? 0 : 1;
                     }),
            0);
  EXPECT_EQ(confined(SystemCalls::kSettled, [] { return raise(SIGTERM); }), 1000 + SIGTERM);
}

}  // namespace
}  // namespace sevmon::cli
