// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// What uname(2) would answer in the target's initial namespace, and the kernel's banner. All of it
/// is read from the target's memory: any bytes.
struct OsVersion {
  std::string banner;  // without newline
  std::string sysname;
  std::string nodename;
  std::string release;
  std::string version;
  std::string machine;
  std::string domainname;
};

/// One wave of reads, or none with first_os_version_ranges().
/// @return kNotFound when the profile lacks what this needs; kTorn; errors of the channel.
common::Result<OsVersion> read_os_version(Kernel& kernel);

/// For AttachOptions::first_ranges.
std::vector<Range> first_os_version_ranges(const KernelInfo& info);

}  // namespace sevmon::ids
