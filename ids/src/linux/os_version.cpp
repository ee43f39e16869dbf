// SPDX-License-Identifier: Apache-2.0
#include <sevmon/os_version.hpp>

#include <algorithm>
#include <utility>

#include "linux/hostile.hpp"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint32_t kMaxBannerBytes = 512;

constexpr std::pair<const char*, std::string OsVersion::*> kFields[] = {
    {"sysname", &OsVersion::sysname}, {"nodename", &OsVersion::nodename},
    {"release", &OsVersion::release}, {"version", &OsVersion::version},
    {"machine", &OsVersion::machine}, {"domainname", &OsVersion::domainname},
};

struct Place {
  common::Gva linked{};
  std::uint32_t bytes = 0;
};

Result<Place> field_place(const KernelInfo& info, const char* field) {
  const auto base = info.symbol("init_uts_ns");
  if (!base) return base.error();
  const auto name = info.member("uts_namespace", "name");
  if (!name) return name.error();
  const auto member = info.member("new_utsname", field);
  if (!member) return member.error();
  return Place{*base + name->offset_bytes + member->offset_bytes, member->size_bytes};
}

}  // namespace

std::vector<Range> first_os_version_ranges(const KernelInfo& info) {
  std::vector<Range> ranges;
  if (const auto banner = info.symbol("linux_banner")) ranges.push_back({*banner, kMaxBannerBytes});
  for (const auto& [field, member] : kFields)
    if (const auto place = field_place(info, field))
      ranges.push_back({place->linked, place->bytes});
  return ranges;
}

Result<OsVersion> read_os_version(Kernel& kernel) {
  const auto memory = kernel.next_epoch();
  OsVersion version;
  const auto banner = kernel.symbol("linux_banner");
  if (!banner) return banner.error();
  auto text = memory->read_string(*banner, kMaxBannerBytes);
  if (!text) return text.error();
  version.banner = text->substr(0, text->find('\n'));
  for (const auto& [field, member] : kFields) {
    const auto place = field_place(kernel.info(), field);
    if (!place) return place.error();
    auto value = memory->read_string(kernel.relocate(place->linked), place->bytes);
    if (!value)
      return Error{value.error().code,
                   std::string{"init_uts_ns.name."} + field + ": " + value.error().detail};
    version.*member = std::move(*value);
  }
  return version;
}

}  // namespace sevmon::ids
