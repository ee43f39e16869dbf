// SPDX-License-Identifier: Apache-2.0
#include "checks/address_spaces.hpp"

#include <cstring>
#include <map>
#include <utility>

#include <sevmon/text.hpp>

#include "linux/hostile.hpp"
#include "linux/locate.hpp"

namespace sevmon::ids {

using common::Gva;
using common::Result;

namespace {

constexpr std::size_t kMaxNotes = 64;

struct MmLayout {
  Member mm, active_mm, pgd;
  std::optional<Gva> init_task, efi_mm;

  static Result<MmLayout> resolve(const KernelInfo& info) {
    const auto mm = info.member("task_struct", "mm");
    if (!mm) return mm.error();
    const auto active = info.member("task_struct", "active_mm");
    if (!active) return active.error();
    const auto pgd = info.member("mm_struct", "pgd");
    if (!pgd) return pgd.error();
    MmLayout layout{.mm = *mm, .active_mm = *active, .pgd = *pgd, .init_task = {}, .efi_mm = {}};
    if (const auto task = info.symbol("init_task")) layout.init_task = *task;
    if (const auto efi = info.symbol("efi_mm")) layout.efi_mm = *efi;
    return layout;
  }
};

/// Pointers at `addresses`, read in one wave; 0 where nothing can be read or it can be no pointer.
Result<std::vector<std::uint64_t>> read_pointers(Memory& memory,
                                                 const std::vector<std::uint64_t>& addresses) {
  std::vector<Range> ranges;
  for (const auto address : addresses) ranges.push_back({{address}, 8});
  if (auto fetched = memory.fetch(ranges); !fetched) return fetched.error();
  std::vector<std::uint64_t> pointers;
  for (const auto address : addresses) {
    const auto pointer = memory.read_uint({address}, 8);
    if (!pointer && !is_about_data(pointer.error())) return pointer.error();
    pointers.push_back(pointer && is_kernel_pointer(*pointer) ? *pointer : 0);
  }
  return pointers;
}

struct TaskOf {
  std::int32_t pid = 0;
  Gva task{};
};

/// A task's mm, or the one that it borrows: a kernel thread runs on the tables of whoever ran last.
Result<std::map<std::uint64_t, std::vector<std::int32_t>>> mms_of(
    Memory& memory, const MmLayout& layout, const std::vector<TaskOf>& tasks) {
  std::vector<std::uint64_t> addresses;
  for (const auto& task : tasks)
    for (const auto* member : {&layout.mm, &layout.active_mm})
      addresses.push_back(task.task.value + member->offset_bytes);
  const auto pointers = read_pointers(memory, addresses);
  if (!pointers) return pointers.error();
  std::map<std::uint64_t, std::vector<std::int32_t>> mms;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto own = (*pointers)[2 * i];
    const auto borrowed = (*pointers)[2 * i + 1];
    // Both, should they differ: a kernel thread may use a process's memory for a while.
    if (own != 0) mms[own].push_back(tasks[i].pid);
    if (borrowed != 0 && borrowed != own) mms[borrowed].push_back(tasks[i].pid);
  }
  return mms;
}

}  // namespace

Result<std::vector<VcpuState>> read_vcpus(Channel& channel, common::DomId domain,
                                          std::uint32_t count) {
  std::vector<sevmon_item> items;
  for (std::uint32_t i = 0; i < count; ++i)
    for (const std::uint8_t type : {SEVMON_ITEM_VCPU_STATE, SEVMON_ITEM_TRAP_TABLE}) {
      sevmon_item item{};
      item.type = type;
      item.arg = i;
      items.push_back(item);
    }
  const auto answers = ask(channel, pack(domain, Root{}, items, channel.size_class()));
  if (!answers) return answers.error();
  std::vector<VcpuState> vcpus;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto& state = answers->items[2 * i];
    const auto& traps = answers->items[2 * i + 1];
    VcpuState vcpu{.vcpu = i, .state = {}, .traps = {}};
    if (state.status != SEVMON_STATUS_OK || state.bytes.size() != sizeof(vcpu.state)) continue;
    std::memcpy(&vcpu.state, state.bytes.data(), sizeof(vcpu.state));
    if ((vcpu.state.flags & SEVMON_VCPU_ONLINE) == 0) continue;
    if (traps.status == SEVMON_STATUS_OK) {
      vcpu.traps.resize(traps.bytes.size() / sizeof(sevmon_trap));
      if (!vcpu.traps.empty())
        std::memcpy(vcpu.traps.data(), traps.bytes.data(), vcpu.traps.size() * sizeof(sevmon_trap));
    }
    vcpus.push_back(std::move(vcpu));
  }
  return vcpus;
}

Result<ProcessRoots> read_process_roots(Kernel& kernel, PageTables& tables,
                                        const ProcessList& processes) {
  const auto layout = MmLayout::resolve(kernel.info());
  if (!layout) return layout.error();
  const auto memory = kernel.next_epoch();
  std::vector<TaskOf> tasks;
  if (layout->init_task) tasks.push_back({0, kernel.relocate(*layout->init_task)});
  for (const auto& process : processes.processes) tasks.push_back({process.pid, process.task});
  const auto mms = mms_of(*memory, *layout, tasks);
  if (!mms) return mms.error();

  std::vector<std::uint64_t> addresses;
  for (const auto& [mm, pids] : *mms) addresses.push_back(mm + layout->pgd.offset_bytes);
  if (layout->efi_mm)
    addresses.push_back(kernel.relocate(*layout->efi_mm).value + layout->pgd.offset_bytes);
  const auto pgds = read_pointers(*memory, addresses);
  if (!pgds) return pgds.error();
  const auto frames = tables.translate(kernel.root().frame.value, kernel.root().levels, *pgds);
  if (!frames) return frames.error();

  ProcessRoots found;
  std::size_t at = 0;
  for (const auto& [mm, pids] : *mms) {
    const auto frame = (*frames)[at];
    const auto pgd = (*pgds)[at++];
    if (pgd != 0 && frame && pgd % SEVMON_PAGE_BYTES == 0) {
      for (const auto pid : pids) found.roots.push_back({pid, *frame});
    } else if (found.notes.size() < kMaxNotes) {
      found.notes.push_back("process " + std::to_string(pids.front()) + ": its mm_struct at " +
                            hex_address(mm) + " has no page table that could be read");
    }
  }
  if (layout->efi_mm && pgds->back() != 0) found.efi = frames->back();
  return found;
}

}  // namespace sevmon::ids
