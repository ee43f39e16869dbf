// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/result.hpp>

#include "dump/core_file.hpp"

namespace sevmon::ids {

/// What a core of a Linux kernel says beside its memory, as /proc/vmcore does. All of it comes out
/// of the target's own memory: hints for who reads the core.
struct KernelMap {
  std::vector<Mapping> direct;  // all physical memory, ascending by gpa
  std::vector<Mapping> text;    // the kernel's image, likewise
  std::vector<std::byte> vmcoreinfo;
  std::vector<std::string> lacks;  // what could not be had, and why
};

/// Sizes and addresses in it are the target's: all bounded, and the direct map is looked up in the
/// kernel's page table before it is believed.
/// @return errors of the channel.
common::Result<KernelMap> read_kernel_map(Channel& channel, common::DomId domain, Kernel& kernel);

/// Notes of the target's vCPUs, as far as there are any.
common::Result<std::vector<CoreNote>> read_vcpu_notes(Channel& channel, common::DomId domain,
                                                      std::uint32_t vcpus);

}  // namespace sevmon::ids
