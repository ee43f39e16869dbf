// SPDX-License-Identifier: Apache-2.0
#include "process/privileges.hpp"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;

std::optional<unsigned> parse_number(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // -1 means "leave it as it is" to the system calls.
  if (error != std::errc{} || end != text.data() + text.size() || number == 0 || number == ~0U)
    return std::nullopt;
  return number;
}

Error failed(const char* call) {
  return Error{ErrorCode::kIo, std::string{call} + ": " + std::strerror(errno)};
}

}  // namespace

std::optional<UserAndGroup> parse_user_and_group(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto uid = parse_number(text.substr(0, colon));
  const auto gid = parse_number(text.substr(colon + 1));
  if (!uid || !gid) return std::nullopt;
  return UserAndGroup{*uid, *gid};
}

common::Result<void> become(UserAndGroup who) {
  // Groups first: without root they could not be given up any more. Leaving uid 0 also clears every
  // capability set (capabilities(7)).
  if (setgroups(0, nullptr)) return failed("setgroups");
  if (setresgid(who.gid, who.gid, who.gid)) return failed("setresgid");
  if (setresuid(who.uid, who.uid, who.uid)) return failed("setresuid");
  if (setuid(0) == 0) return Error{ErrorCode::kIo, "setuid(0) still works"};
  return {};
}

common::Result<void> forbid_new_privileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return failed("prctl(PR_SET_NO_NEW_PRIVS)");
  return {};
}

}  // namespace sevmon::proxy
