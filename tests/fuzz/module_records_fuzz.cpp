// SPDX-License-Identifier: Apache-2.0
// Target: what takes the records of ids/programs/modules.bpf.c. The input is the results of its
// runs, each behind its length (2 bytes). Properties: what is taken stays within its bounds, and no
// name is longer than the kernel's.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "linux/module_records.hpp"
#include "programs/modules.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon;
  constexpr std::uint32_t kMaxModules = 100;
  std::size_t at = 0;
  const auto found = ids::read_module_records(
      [&](std::span<const std::byte>) -> common::Result<ids::ProgramRun> {
        ids::ProgramRun run;
        run.report.state = SEVMON_RUN_DONE;
        std::uint16_t length = 0;
        if (at + sizeof length > size) return run;
        std::memcpy(&length, data + at, sizeof length);
        at += sizeof length;
        const auto bytes =
            std::as_bytes(std::span{data + at, std::min<std::size_t>(length, size - at)});
        run.result.assign(bytes.begin(), bytes.end());
        at += bytes.size();
        return run;
      },
      kMaxModules);
  if (!found || found->listed.size() > kMaxModules ||
      found->uses.size() > SEVMON_MODULES_MAX_USES ||
      found->in_sysfs.size() > SEVMON_MODULES_MAX_SYSFS ||
      found->in_tree.size() > SEVMON_MODULES_MAX_TREE)
    std::abort();
  for (const auto& module : found->listed)
    if (module.name.size() > sizeof(sevmon_module_record::name)) std::abort();
  return 0;
}
