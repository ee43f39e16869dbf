// SPDX-License-Identifier: Apache-2.0
#include <sevmon/profile.hpp>

#include <utility>

#include "profile/btf.hpp"
#include "profile/elf.hpp"
#include "profile/file_io.hpp"
#include "profile/kallsyms.hpp"
#include "profile/profile_file.hpp"
#include "profile/symbols.hpp"
#include "profile/vmlinuz.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

namespace {

constexpr std::size_t kMaxFileBytes = 1u << 30;
constexpr std::uint64_t kMaxSymbolDistance = 1u << 20;
constexpr std::string_view kBannerStart = "Linux version ";

Error in_file(const std::string& path, const Error& error) {
  return {error.code, path + ": " + error.detail};
}

Result<SymbolTable> read_symbols(const Elf& elf) {
  std::vector<KernelRegion> regions;
  for (const Elf::Section& section : elf.sections())
    if (section.is_loaded && !section.bytes.empty())
      regions.push_back({section.address, section.bytes, section.is_executable});
  return read_kallsyms(regions);
}

/// linux_banner's text without its newline. It also proves that the symbols were read right.
Result<std::string> read_banner(const Elf& elf, const SymbolTable& symbols) {
  constexpr std::size_t kMaxBannerBytes = 1024;
  const auto symbol = symbols.find("linux_banner");
  if (!symbol) return Error{ErrorCode::kNotFound, "kallsyms has no linux_banner"};
  const ByteSpan bytes = elf.at(symbol->address);
  std::string_view text{reinterpret_cast<const char*>(bytes.data()),
                        std::min(bytes.size(), kMaxBannerBytes)};
  const std::size_t end = std::min(text.find('\n'), text.find('\0'));
  if (!text.starts_with(kBannerStart) || end == text.npos)
    return Error{ErrorCode::kMalformed, "linux_banner at address " + hex(symbol->address) +
                                            " does not start with \"Linux version \" and end"};
  return std::string{text.substr(0, end)};
}

std::string release_in(std::string_view banner) {
  const std::string_view rest = banner.substr(kBannerStart.size());
  return std::string{rest.substr(0, rest.find(' '))};
}

}  // namespace

struct Profile::Impl {
  KernelIdentity identity;
  SymbolTable symbols;
  Btf types;

  Error of_this_kernel(const Error& error) const {
    return {error.code, error.detail + " (kernel " + identity.release + ")"};
  }
};

Profile::Profile() = default;
Profile::Profile(Profile&&) noexcept = default;
Profile& Profile::operator=(Profile&&) noexcept = default;
Profile::~Profile() = default;

Result<Profile> Profile::build(const std::string& vmlinuz_path) {
  const auto file = read_file(vmlinuz_path, kMaxFileBytes);
  if (!file) return file.error();
  const auto vmlinux = extract_vmlinux(*file);
  if (!vmlinux) return in_file(vmlinuz_path, vmlinux.error());
  const auto elf = Elf::parse(*vmlinux);
  if (!elf) return in_file(vmlinuz_path, elf.error());
  auto symbols = read_symbols(*elf);
  if (!symbols) return in_file(vmlinuz_path, symbols.error());
  auto banner = read_banner(*elf, *symbols);
  if (!banner) return in_file(vmlinuz_path, banner.error());
  const Elf::Section* btf = elf->find(".BTF");
  if (btf == nullptr)
    return in_file(vmlinuz_path, {ErrorCode::kNotFound,
                                  "no .BTF section: a kernel without CONFIG_DEBUG_INFO_BTF"});
  auto types = Btf::parse(btf->bytes);
  if (!types) return in_file(vmlinuz_path, types.error());

  Profile profile;
  std::string release = release_in(*banner);
  profile.impl_ = std::unique_ptr<Impl>{new Impl{.identity = {.banner = *std::move(banner),
                                                              .release = std::move(release),
                                                              .build_id = elf->build_id(),
                                                              .file_sha256 = sha256(*file),
                                                              .file_bytes = file->size()},
                                                 .symbols = *std::move(symbols),
                                                 .types = *std::move(types)}};
  return profile;
}

Result<Profile> Profile::load(const std::string& path) {
  const auto file = read_file(path, kMaxFileBytes);
  if (!file) return file.error();
  auto content = decode_profile(*file);
  if (!content) return in_file(path, content.error());
  auto types = Btf::parse(content->btf);
  if (!types) return in_file(path, types.error());
  Profile profile;
  profile.impl_ = std::unique_ptr<Impl>{new Impl{.identity = std::move(content->identity),
                                                 .symbols = std::move(content->symbols),
                                                 .types = *std::move(types)}};
  return profile;
}

Result<void> Profile::save(const std::string& path) const {
  return write_file(path, encode_profile(impl_->identity, impl_->symbols, impl_->types.raw()));
}

const std::string& Profile::banner() const {
  return impl_->identity.banner;
}
const std::string& Profile::release() const {
  return impl_->identity.release;
}
const std::string& Profile::build_id() const {
  return impl_->identity.build_id;
}
std::uint64_t Profile::file_bytes() const {
  return impl_->identity.file_bytes;
}

const std::array<std::uint8_t, 32>& Profile::file_sha256() const {
  return impl_->identity.file_sha256;
}

Result<Gva> Profile::symbol(std::string_view name) const {
  if (const auto found = impl_->symbols.find(name)) return Gva{found->address};
  return impl_->of_this_kernel({ErrorCode::kNotFound, "no symbol " + std::string{name}});
}

bool Profile::has_symbol(std::string_view name) const {
  return impl_->symbols.find(name).has_value();
}

std::size_t Profile::symbol_count() const {
  return impl_->symbols.size();
}

std::optional<Symbol> Profile::symbol_at(Gva address) const {
  const auto found = impl_->symbols.find_at(address.value);
  if (!found || address.value - found->address > kMaxSymbolDistance) return std::nullopt;
  return Symbol{std::string{found->name}, Gva{found->address}, found->type};
}

void Profile::for_each_symbol(const std::function<void(const Symbol&)>& visit) const {
  for (std::size_t i = 0; i < impl_->symbols.size(); ++i) {
    const SymbolTable::Entry entry = impl_->symbols.entry(i);
    visit({std::string{entry.name}, Gva{entry.address}, entry.type});
  }
}

Result<Member> Profile::member(std::string_view type, std::string_view path) const {
  auto found = impl_->types.member(type, path);
  if (!found) return impl_->of_this_kernel(found.error());
  return found;
}

bool Profile::has_member(std::string_view type, std::string_view path) const {
  return impl_->types.member(type, path).has_value();
}

Result<std::uint32_t> Profile::size_of(std::string_view type) const {
  auto found = impl_->types.size_of(type);
  if (!found) return impl_->of_this_kernel(found.error());
  return found;
}

Result<std::int64_t> Profile::enumerator(std::string_view name) const {
  auto found = impl_->types.enumerator(name);
  if (!found) return impl_->of_this_kernel(found.error());
  return found;
}

std::size_t Profile::type_count() const {
  return impl_->types.type_count();
}
std::span<const std::byte> Profile::btf() const {
  return impl_->types.raw();
}

}  // namespace sevmon::ids
