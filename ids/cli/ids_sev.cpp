// SPDX-License-Identifier: Apache-2.0
#include "ids_sev.hpp"

#include <cpuid.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

namespace sevmon::cli {
namespace {

// AMD64 Architecture Programmer's Manual vol. 2, 15.34.10: SEV_STATUS; bits SEV, SEV-ES, SEV-SNP.
constexpr off_t kSevStatusMsr = 0xc0010131;
constexpr std::uint32_t kSevLeaf = 0x8000001f;  // EAX bit 1: SEV supported

std::optional<std::uint64_t> read_msr(off_t msr) {
  const int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::uint64_t value = 0;
  const auto got = pread(fd, &value, sizeof(value), msr);
  close(fd);
  return got == sizeof(value) ? std::optional{value} : std::nullopt;
}

bool runs_under_a_hypervisor() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & (1U << 31)) != 0;
}

bool cpu_can_sev() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(kSevLeaf, &a, &b, &c, &d) != 0 && (a & 2) != 0;
}

}  // namespace

const char* name(Answer answer) {
  return answer == Answer::kYes ? "yes" : answer == Answer::kNo ? "no" : "unknown";
}

OwnSev detect_own_sev() {
  struct stat info {};
  if (stat("/dev/sev-guest", &info) == 0 && S_ISCHR(info.st_mode))
    return {Answer::kYes, "this machine has the guest device of SEV-SNP"};
  if (!runs_under_a_hypervisor()) return {Answer::kNo, "this is no virtual machine"};
  if (!cpu_can_sev()) return {Answer::kNo, "CPUID 8000_001F does not offer SEV"};
  if (const auto status = read_msr(kSevStatusMsr))
    return (*status & 1) != 0 ? OwnSev{Answer::kYes, "MSR C001_0131 says so"}
                              : OwnSev{Answer::kNo, "MSR C001_0131 says so"};
  return {Answer::kUnknown, "the CPU could, but MSR C001_0131 cannot be read from here"};
}

}  // namespace sevmon::cli
