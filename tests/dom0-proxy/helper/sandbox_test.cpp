// SPDX-License-Identifier: Apache-2.0
#include "helper/sandbox.hpp"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/xen.h>
// Needs the types of the header above it.
#include <xen/sys/privcmd.h>

#include <linux/capability.h>
#include <algorithm>
#include <thread>

#include "helper/fake_call.hpp"
#include "process/privileges.hpp"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SEVMON_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SEVMON_SANITIZED 1
#endif

namespace sevmon::proxy::test {
namespace {

// Runs `check` in a child. @return its exit status: 0 when `check` held.
template <typename Check>
int in_child(Check check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

template <typename Check>
int in_sandbox(Check check) {
  return in_child([&] {
    if (!forbid_new_privileges() || !enter_sandbox()) ::_exit(99);
    return check();
  });
}

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef SEVMON_SANITIZED
    GTEST_SKIP() << "sanitizers' runtimes make system calls of their own";
#endif
  }
};

bool refused(long result) {
  return result < 0 && errno == EPERM;
}

TEST_F(Sandbox, RefusesFilesNetworkProcessesAndOtherIoctls) {
  EXPECT_EQ(in_sandbox([] { return refused(::open("/dev/null", O_RDONLY)); }), 0);
  EXPECT_EQ(in_sandbox([] { return refused(::socket(AF_INET, SOCK_STREAM, 0)); }), 0);
  EXPECT_EQ(in_sandbox([] { return refused(::fork()); }), 0);
  EXPECT_EQ(in_sandbox([] { return refused(::execl("/bin/true", "true", nullptr)); }), 0);
  EXPECT_EQ(in_sandbox([] { return refused(::ioctl(0, IOCTL_PRIVCMD_MMAPBATCH_V2, nullptr)); }), 0);
  EXPECT_EQ(in_sandbox([] { return refused(::ioctl(0, FIONREAD, nullptr)); }), 0);
  // Not even ones whose lower half is the hypercall's.
  EXPECT_EQ(in_sandbox([] {
              return refused(::syscall(SYS_ioctl, -1, 1UL << 32 | IOCTL_PRIVCMD_HYPERCALL, 0));
            }),
            0);
  EXPECT_EQ(in_sandbox([] { return refused(::prctl(PR_SET_DUMPABLE, 1)); }), 0);
}

TEST_F(Sandbox, LetsTheHypercallThrough) {
  EXPECT_EQ(in_sandbox(
                [] { return ::ioctl(-1, IOCTL_PRIVCMD_HYPERCALL, nullptr) < 0 && errno == EBADF; }),
            0);
}

TEST_F(Sandbox, LetsTheHelperServe) {
  const TemporaryDirectory directory;
  const auto path = directory.file("helper.sock");
  const auto listener = listen_seqpacket(path, -1);
  ASSERT_TRUE(listener);
  const Descriptor stop{::eventfd(0, 0)};
  const Descriptor client{::socket(AF_UNIX, SOCK_SEQPACKET, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(in_sandbox([&] {
              FakeCall call{FakeCall::echo};
              HelperServer server{call, 4};
              std::thread thread{[&] { (void)server.run(listener->get(), stop.get()); }};
              const Bytes frame(32, std::byte{1});
              const auto head = encode_ipc_header({.id = 1, .status = 0, .bytes = 32});
              // Not insert(): GCC 12 sees an overflow in it that is not there.
              Bytes message(head.size() + frame.size());
              std::copy(frame.begin(), frame.end(),
                        std::copy(head.begin(), head.end(), message.begin()));
              ::sendto(client.get(), message.data(), message.size(), 0, nullptr, 0);
              Bytes reply(message.size() + 1);
              const auto got = ::recv(client.get(), reply.data(), reply.size(), 0);
              reply.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
              eventfd_write(stop.get(), 1);
              thread.join();
              return reply == message;
            }),
            0);
}

bool has_no_capability() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  if (::syscall(SYS_capget, &header, sets)) return false;
  return std::ranges::all_of(sets, [](const auto& set) {
    return set.effective == 0 && set.permitted == 0 && set.inheritable == 0;
  });
}

TEST(Privileges, NothingOfRootIsLeft) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has something to give up";
  EXPECT_EQ(in_child([] {
              const gid_t groups[] = {0, 5};
              if (::setgroups(2, groups)) return false;
              if (!become({.uid = 12345, .gid = 54321})) return false;
              uid_t uid[3];
              gid_t gid[3];
              ::getresuid(&uid[0], &uid[1], &uid[2]);
              ::getresgid(&gid[0], &gid[1], &gid[2]);
              return std::ranges::all_of(uid, [](uid_t id) { return id == 12345; }) &&
                     std::ranges::all_of(gid, [](gid_t id) { return id == 54321; }) &&
                     ::getgroups(0, nullptr) == 0 && has_no_capability();
            }),
            0);
}

TEST(Privileges, ProgramsThatItStartsGainNone) {
  EXPECT_EQ(in_child([] {
              return forbid_new_privileges() && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
            }),
            0);
}

TEST(Privileges, UserAndGroupAreNumbersOverZero) {
  EXPECT_TRUE(parse_user_and_group("1:2"));
  EXPECT_EQ(parse_user_and_group("65534:65533")->gid, 65533U);
  for (const char* text : {"", ":", "1", "1:", ":1", "0:1", "1:0", "-1:1", "1:-1", "a:b", "1:2:3",
                           "1:2 ", " 1:2", "4294967295:1", "1:4294967295", "4294967296:1"})
    EXPECT_FALSE(parse_user_and_group(text)) << text;
}

}  // namespace
}  // namespace sevmon::proxy::test
