// SPDX-License-Identifier: Apache-2.0
#include "profile/kallsyms.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "profile/kallsyms_tables.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// KSYM_NAME_LEN is 512; its build tool reads up to four times that.
constexpr std::size_t kMaxExpandedBytes = 2048;
// Real kernels: some 5 MiB for all names together.
constexpr std::size_t kMaxTextBytes = 128u << 20;

/// The types and names, NUL-terminated: "Tstart_kernel\0Dinit_task\0…".
struct ExpandedNames {
  std::string text;
  std::vector<std::size_t> starts;

  char type(std::size_t i) const { return text[starts[i]]; }
  std::string_view name(std::size_t i) const { return text.c_str() + starts[i] + 1; }
};

Result<ExpandedNames> expand(const TokenTable& tokens, const NameTable& table) {
  ExpandedNames names;
  names.starts.reserve(table.count);
  names.text.reserve(std::size_t{table.count} * 24);
  std::size_t at = table.names_at;
  for (std::uint32_t i = 0; i < table.count; ++i) {
    names.starts.push_back(names.text.size());
    std::size_t length = 0;
    for (const std::byte byte : next_name(tokens.region.bytes, at, table.has_long_lengths)) {
      const std::string_view token = tokens.tokens[std::to_integer<std::size_t>(byte)];
      length += token.size();
      if (length <= kMaxExpandedBytes) names.text += token;
    }
    if (length < 2 || length > kMaxExpandedBytes)
      return Error{ErrorCode::kMalformed, "kallsyms name " + std::to_string(i) + " at address " +
                                              hex(tokens.region.address + at) + " expands to " +
                                              std::to_string(length) + " characters"};
    names.text.push_back('\0');
    if (names.text.size() > kMaxTextBytes)
      return Error{ErrorCode::kTooLarge, "kallsyms names expand to over " +
                                             std::to_string(kMaxTextBytes) + " characters"};
  }
  return names;
}

enum class Form {
  kAddress,       // 64 bits, the address
  kBaseRelative,  // 32 bits unsigned from the base
  kPerCpuOrBase,  // 32 bits signed: what is not negative is an address, -1 - x counts from the base
  kPlaceRelative,  // 32 bits signed from where it stands
};

struct AddressTable {
  Form form;
  std::size_t at;
  std::uint64_t base = 0;
};

std::size_t entry_bytes(Form form) {
  return form == Form::kAddress ? 8 : 4;
}

std::uint64_t address_of(const KernelRegion& region, const AddressTable& table, std::size_t i) {
  const std::size_t at = table.at + i * entry_bytes(table.form);
  if (table.form == Form::kAddress) return load_le<std::uint64_t>(region.bytes, at);
  const auto value = load_le<std::int32_t>(region.bytes, at);
  const auto extended = static_cast<std::uint64_t>(std::int64_t{value});
  switch (table.form) {
    case Form::kBaseRelative:
      return table.base + static_cast<std::uint32_t>(value);
    case Form::kPerCpuOrBase:
      return value >= 0 ? extended : table.base - 1 - extended;
    default:
      return region.address + at + extended;
  }
}

/// Every place and form that the layouts allow, given where the names are.
std::vector<AddressTable> candidates(const TokenTable& tokens, const NameTable& names) {
  const KernelRegion& region = tokens.region;
  const std::size_t size = region.bytes.size();
  std::vector<AddressTable> tables;
  const auto add = [&](Form form, std::uint64_t at, std::uint64_t base) {
    if (fits(size, at, std::uint64_t{names.count} * entry_bytes(form)))
      tables.push_back({form, static_cast<std::size_t>(at), base});
  };
  const auto add_based = [&](std::uint64_t at, std::uint64_t base_at) {
    if (!fits(size, base_at, 8)) return;
    const auto base = load_le<std::uint64_t>(region.bytes, base_at);
    add(Form::kPerCpuOrBase, at, base);
    add(Form::kBaseRelative, at, base);
  };
  // From 6.4 behind the index. Only one alignment for each form: a table of places that is read
  // from one entry later would look right, each symbol with its neighbour's address.
  const std::size_t at = align_in(region, tokens.index_end, 8);
  add_based(at, align_in(region, at + std::size_t{names.count} * 4, 8));
  add(Form::kAddress, at, 0);
  add(Form::kPlaceRelative, align_in(region, tokens.index_end, 4), 0);
  // To 6.3 before num_syms, everything aligned to 8.
  const std::uint64_t offsets_bytes = (std::uint64_t{names.count} * 4 + 7) & ~std::uint64_t{7};
  if (names.count_at >= 8 + offsets_bytes)
    add_based(names.count_at - 8 - offsets_bytes, names.count_at - 8);
  if (names.count_at >= std::uint64_t{names.count} * 8)
    add(Form::kAddress, names.count_at - std::uint64_t{names.count} * 8, 0);
  return tables;
}

/// Read this way, do the addresses ascend (the build sorts them) and nearly all functions lie in
/// text? Not all: a few labels stand at a section's end or in one that the file leaves out.
bool is_plausible(const AddressTable& table, const ExpandedNames& names, const KernelRegion& region,
                  std::span<const KernelRegion> text) {
  std::size_t functions = 0, in_text = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < names.starts.size(); ++i) {
    const std::uint64_t address = address_of(region, table, i);
    if (address < before) return false;
    before = address;
    if (names.type(i) != 'T' && names.type(i) != 't') continue;
    ++functions;
    in_text += std::any_of(text.begin(), text.end(), [&](const KernelRegion& section) {
      return address - section.address <= section.bytes.size();
    });
  }
  return functions > 0 && in_text >= functions - functions / 10;
}

Result<SymbolTable> read_tables(const TokenTable& tokens, const NameTable& names,
                                std::span<const KernelRegion> text) {
  const auto expanded = expand(tokens, names);
  if (!expanded) return expanded.error();
  for (const AddressTable& addresses : candidates(tokens, names)) {
    if (!is_plausible(addresses, *expanded, tokens.region, text)) continue;
    SymbolTable symbols;
    for (std::size_t i = 0; i < names.count; ++i)
      symbols.add(address_of(tokens.region, addresses, i), expanded->type(i), expanded->name(i));
    symbols.index();
    return symbols;
  }
  return Error{ErrorCode::kMalformed,
               "kallsyms has " + std::to_string(names.count) + " names at address " +
                   hex(tokens.region.address + names.names_at) +
                   ", but nothing around them gives addresses in the kernel's text"};
}

}  // namespace

Result<SymbolTable> read_kallsyms(std::span<const KernelRegion> regions) {
  std::vector<KernelRegion> text;
  std::copy_if(regions.begin(), regions.end(), std::back_inserter(text),
               [](const KernelRegion& region) { return region.is_executable; });
  for (const KernelRegion& region : regions) {
    if (region.is_executable) continue;
    const auto tokens = find_tokens(region);
    if (!tokens) continue;
    const auto names = find_names(*tokens);
    if (!names)
      return Error{ErrorCode::kMalformed, "kallsyms_token_table is at address " +
                                              hex(region.address + tokens->at) +
                                              ", but no names and markers stand before it"};
    return read_tables(*tokens, *names, text);
  }
  return Error{ErrorCode::kNotFound, "no kallsyms_token_table in the kernel's " +
                                         std::to_string(regions.size()) + " loaded sections"};
}

}  // namespace sevmon::ids
