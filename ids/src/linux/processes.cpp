// SPDX-License-Identifier: Apache-2.0
#include <sevmon/processes.hpp>

#include <optional>

#include "linux/clock.hpp"
#include "linux/passes.hpp"
#include "linux/process_pass.hpp"

namespace sevmon::ids {

using common::Result;

std::vector<Range> first_process_ranges(const KernelInfo& info) {
  std::vector<Range> ranges = clock_ranges(info);
  if (const auto layouts = ProcessLayouts::resolve(info)) {
    ranges.push_back({layouts->idr + layouts->ids.head_offset, 8});
    layouts->task.append_ranges(layouts->init_task, ranges);
  }
  return ranges;
}

Result<ProcessList> list_processes(Kernel& kernel, const ProcessOptions& options) {
  const auto layouts = ProcessLayouts::resolve(kernel.info());
  if (!layouts) return layouts.error();
  if (options.threads && options.run_program)
    return common::Error{common::ErrorCode::kUsage, "threads are listed by pages"};
  auto boot_unix_ns = options.boot_unix_ns;
  return list_until_stable<ProcessList>(options, [&]() -> Result<ListPass<ProcessList>> {
    const auto memory = kernel.next_epoch();
    auto pass = run_process_pass(kernel, *layouts, *memory, options);
    if (!pass) return pass.error();
    // Once: the first epoch has it already.
    if (!boot_unix_ns) boot_unix_ns = read_boot_time(kernel, *memory);
    pass->list.boot_unix_ns = boot_unix_ns;
    pass->list.method = options.run_program ? ListMethod::kProgram : ListMethod::kPages;
    return pass;
  });
}

}  // namespace sevmon::ids
