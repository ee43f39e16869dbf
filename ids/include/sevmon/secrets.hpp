// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sevmon::ids {

/// Give keys and what they are made from a place of their own: locked in memory, left out of core
/// dumps, with pages around it that cannot be touched (OpenSSL's secure heap). Call it before the
/// first key is read; without it keys are wiped all the same, but may be swapped out.
/// @return false when the system does not allow it to be locked (RLIMIT_MEMLOCK), or the program
/// has
///         made such a heap itself.
bool lock_secrets();

}  // namespace sevmon::ids
