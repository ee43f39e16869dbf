// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sevmon::cli {

enum class Answer : std::uint8_t { kNo, kYes, kUnknown };

/// "no", "yes", "unknown".
const char* name(Answer answer);

struct OwnSev {
  Answer answer = Answer::kUnknown;
  std::string reason;  // for people
};

/// Does this very machine run under SEV? Only MSR C001_0131 says so for certain, and user space can
/// read it only as root with the msr module; the CPUID bit alone says that the CPU could. So the
/// honest answer is often "unknown". Wrong only if this machine's own kernel lies.
OwnSev detect_own_sev();

}  // namespace sevmon::cli
