// SPDX-License-Identifier: Apache-2.0
#include "confinement.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <sevmon/text.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define SEVMON_WITH_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEVMON_WITH_LEAK_CHECK 1
#endif
#endif

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

bool is_confined = false;

Error refused(const std::string& what) {
  return {ErrorCode::kIo, what + ": " + std::strerror(errno)};
}

struct Identity {
  uid_t uid = 65534;  // what nobody has everywhere, where there is no /etc/passwd
  gid_t gid = 65534;
};

Result<Identity> find_user(const std::string& name) {
  const std::string wanted = name.empty() ? "nobody" : name;
  if (const passwd* entry = getpwnam(wanted.c_str())) return Identity{entry->pw_uid, entry->pw_gid};
  if (name.empty()) return Identity{};
  return Error{ErrorCode::kUsage, "user \"" + ids::escape(name) + "\": there is no such user"};
}

Result<void> become(const Identity& identity) {
  const std::string text = "giving up root (--user root keeps it)";
  if (setgroups(0, nullptr) != 0) return refused(text);
  if (setresgid(identity.gid, identity.gid, identity.gid) != 0) return refused(text);
  if (setresuid(identity.uid, identity.uid, identity.uid) != 0) return refused(text);
  if (identity.uid != 0 && setuid(0) == 0)
    return Error{ErrorCode::kInternal, "root that was given up can be taken back"};
  return {};
}

}  // namespace

void protect_memory() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

Result<void> confine(SystemCalls allowed, const std::string& user) {
  if (is_confined) return {};
  if (geteuid() == 0 || getuid() == 0) {
    const auto identity = find_user(user);
    if (!identity) return identity.error();
    if (identity->uid != 0)
      if (auto done = become(*identity); !done) return done;
    // Another identity makes a process one that can be dumped, where the system is set so.
    prctl(PR_SET_DUMPABLE, 0);
  }
  if (auto done = restrict_system_calls(allowed); !done) return done;
  is_confined = true;
  return {};
}

}  // namespace sevmon::cli

#ifdef SEVMON_WITH_LEAK_CHECK
// The sanitizer looks for leaks from a process of its own, which a confined one cannot have.
extern "C" int __lsan_is_turned_off() {
  return sevmon::cli::is_confined ? 1 : 0;
}
#endif
