// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

#include <sevmon/result.hpp>

namespace sevmon::proxy {

struct UserAndGroup {
  uid_t uid;
  gid_t gid;
};

/// "UID:GID" in decimal, neither 0. Numbers only: names would need NSS, which a static program in
/// an initramfs does not have.
std::optional<UserAndGroup> parse_user_and_group(std::string_view text);

/// Become that user and group for good, with no other groups. @return kIo.
common::Result<void> become(UserAndGroup who);

/// No execve() of this process or its children can gain privileges from here on. @return kIo.
common::Result<void> forbid_new_privileges();

}  // namespace sevmon::proxy
