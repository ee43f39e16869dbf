// SPDX-License-Identifier: Apache-2.0
#include "fake_kernel.hpp"

#include <elf.h>
#include <linux/btf.h>

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>

namespace sevmon::ids::fake {

Bytes to_bytes(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

void append(Bytes& out, std::span<const std::byte> more) {
  out.insert(out.end(), more.begin(), more.end());
}

void append_le(Bytes& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void store_le(Bytes& out, std::size_t offset, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    out.at(offset + i) = static_cast<std::byte>(value >> (8 * i));
}

namespace {

void pad_to(Bytes& out, std::size_t alignment) {
  while (out.size() % alignment != 0) out.push_back(std::byte{0});
}

/// 256 tokens: each used character for itself, and some longer ones on codes that are free.
std::vector<std::string> make_tokens(const std::vector<FakeSymbol>& symbols) {
  std::vector<std::string> tokens(256);
  for (const FakeSymbol& symbol : symbols)
    for (const char c : symbol.type + symbol.name)
      tokens[static_cast<unsigned char>(c)] = std::string(1, c);
  std::size_t code = 255;
  for (const char* token : {"function_", "Tf", "per_cpu__", "data_", "_of_", "init_"}) {
    while (!tokens[code].empty()) --code;
    tokens[code] = token;
  }
  return tokens;
}

std::string squeeze(const std::string& text, const std::vector<std::string>& tokens) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t best = static_cast<unsigned char>(text[at]);
    for (std::size_t code = 0; code < tokens.size(); ++code)
      if (tokens[code].size() > tokens[best].size() &&
          text.compare(at, tokens[code].size(), tokens[code]) == 0)
        best = code;
    out.push_back(static_cast<char>(best));
    at += tokens[best].size();
  }
  return out;
}

struct Names {
  Bytes names;
  Bytes markers;
};

Names encode_names(const std::vector<FakeSymbol>& symbols, const std::vector<std::string>& tokens,
                   bool has_long_lengths) {
  Names out;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (i % 256 == 0) append_le(out.markers, out.names.size(), 4);
    const std::string squeezed = squeeze(symbols[i].type + symbols[i].name, tokens);
    if (has_long_lengths && squeezed.size() >= 128) {
      append_le(out.names, (squeezed.size() & 0x7f) | 0x80, 1);
      append_le(out.names, squeezed.size() >> 7, 1);
    } else {
      append_le(out.names, squeezed.size(), 1);
    }
    append(out.names, to_bytes(squeezed));
  }
  return out;
}

void append_tokens(Bytes& out, const std::vector<std::string>& tokens, std::size_t alignment) {
  Bytes index;
  std::size_t offset = 0;
  for (const std::string& token : tokens) {
    append_le(index, offset, 2);
    append(out, to_bytes(token));
    out.push_back(std::byte{0});
    offset += token.size() + 1;
  }
  pad_to(out, alignment);
  append(out, index);
}

std::uint64_t encode_address(std::uint64_t address, KallsymsForm form, std::uint64_t base,
                             std::uint64_t place) {
  switch (form) {
    case KallsymsForm::kAddress:
      return address;
    case KallsymsForm::kBaseRelative:
      return address - base;
    case KallsymsForm::kAbsolutePerCpu:
      return address < (1u << 31) ? address : base - address - 1;
    case KallsymsForm::kPlaceRelative:
      return address - place;
  }
  return 0;
}

void append_addresses(Bytes& out, const std::vector<FakeSymbol>& symbols,
                      const KallsymsOptions& options, std::uint64_t address) {
  const auto first_relative =
      std::find_if(symbols.begin(), symbols.end(), [&](const FakeSymbol& symbol) {
        return options.form != KallsymsForm::kAbsolutePerCpu || symbol.address >= (1u << 31);
      });
  const std::uint64_t base = first_relative->address;
  const std::size_t width = options.form == KallsymsForm::kAddress ? 8 : 4;
  for (const FakeSymbol& symbol : symbols)
    append_le(out, encode_address(symbol.address, options.form, base, address + out.size()), width);
  if (options.form == KallsymsForm::kBaseRelative ||
      options.form == KallsymsForm::kAbsolutePerCpu) {
    pad_to(out, 8);
    append_le(out, base, 8);
  }
}

void append_seqs(Bytes& out, const std::vector<FakeSymbol>& symbols) {
  std::multimap<std::string, std::size_t> by_name;
  for (std::size_t i = 0; i < symbols.size(); ++i) by_name.emplace(symbols[i].name, i);
  for (const auto& [name, i] : by_name)
    for (const int shift : {16, 8, 0}) out.push_back(static_cast<std::byte>(i >> shift));
}

}  // namespace

Bytes encode_kallsyms(const std::vector<FakeSymbol>& symbols, const KallsymsOptions& options,
                      std::uint64_t address) {
  const bool addresses_first =
      options.order == KallsymsOrder::kTo61 || options.order == KallsymsOrder::k62;
  const std::size_t alignment = options.order == KallsymsOrder::k70 ? 4 : 8;
  const std::vector<std::string> tokens = make_tokens(symbols);
  const Names names = encode_names(symbols, tokens, options.has_long_lengths);

  Bytes out;
  if (addresses_first) append_addresses(out, symbols, options, address);
  pad_to(out, alignment);
  append_le(out, symbols.size(), 4);
  pad_to(out, alignment);
  append(out, names.names);
  pad_to(out, alignment);
  append(out, names.markers);
  pad_to(out, alignment);
  if (options.order == KallsymsOrder::k62) append_seqs(out, symbols);
  pad_to(out, alignment);
  append_tokens(out, tokens, alignment);
  pad_to(out, alignment);
  if (!addresses_first) {
    append_addresses(out, symbols, options, address);
    pad_to(out, alignment);
    append_seqs(out, symbols);
  }
  return out;
}

std::vector<FakeSymbol> make_symbols(std::size_t count, bool per_cpu) {
  std::vector<FakeSymbol> symbols;
  if (per_cpu)
    for (std::uint64_t i = 0; i < 9; ++i)
      symbols.push_back({i * 0x40, 'A', "per_cpu__" + std::to_string(i)});
  symbols.push_back({kTextAddress, 'T', "_text"});
  symbols.push_back({kTextAddress, 't', std::string(300, 'q')});
  const std::size_t functions = count * 3 / 4;
  for (std::uint64_t i = 1; symbols.size() < functions; ++i)
    symbols.push_back({kTextAddress + i * 16, 'T', "function_" + std::to_string(i)});
  symbols.push_back({kTextAddress + kTextBytes, 'T', "_etext"});
  symbols.push_back({kRodataAddress, 'D', "twice"});
  symbols.push_back({kRodataAddress + 8, 'd', "twice"});
  symbols.push_back({kRodataAddress + 16, 'D', "init_task"});
  for (std::uint64_t i = 1; symbols.size() < count; ++i)
    symbols.push_back({kRodataAddress + 0x800000 + i * 64, 'b', "data_of_" + std::to_string(i)});
  return symbols;
}

std::uint32_t BtfBuilder::string(const std::string& text) {
  if (text.empty()) return 0;
  const auto offset = static_cast<std::uint32_t>(strings_.size());
  strings_ += text;
  strings_.push_back('\0');
  return offset;
}

std::uint32_t BtfBuilder::start(std::uint32_t kind, std::uint32_t vlen, bool kflag,
                                const std::string& name, std::uint32_t size_or_type) {
  append_le(types_, string(name), 4);
  append_le(types_, vlen | kind << 24 | std::uint32_t{kflag} << 31, 4);
  append_le(types_, size_or_type, 4);
  return next_id_++;
}

std::uint32_t BtfBuilder::add_int(const std::string& name, std::uint32_t bytes) {
  const std::uint32_t id = start(BTF_KIND_INT, 0, false, name, bytes);
  append_le(types_, bytes * 8, 4);
  return id;
}

std::uint32_t BtfBuilder::add_reference(std::uint32_t kind, const std::string& name,
                                        std::uint32_t type) {
  return start(kind, 0, false, name, type);
}

std::uint32_t BtfBuilder::add_array(std::uint32_t element, std::uint32_t index,
                                    std::uint32_t count) {
  const std::uint32_t id = start(BTF_KIND_ARRAY, 0, false, "", 0);
  for (const std::uint32_t word : {element, index, count}) append_le(types_, word, 4);
  return id;
}

std::uint32_t BtfBuilder::add_composite(std::uint32_t kind, const std::string& name,
                                        std::uint32_t bytes, const std::vector<FakeMember>& members,
                                        bool has_bit_fields) {
  const std::uint32_t id =
      start(kind, static_cast<std::uint32_t>(members.size()), has_bit_fields, name, bytes);
  for (const FakeMember& member : members) {
    append_le(types_, string(member.name), 4);
    append_le(types_, member.type, 4);
    append_le(types_, member.bit_offset | member.bit_size << 24, 4);
  }
  return id;
}

std::uint32_t BtfBuilder::add_enum(const std::string& name,
                                   const std::vector<std::pair<std::string, std::int32_t>>& values,
                                   bool is_signed) {
  const std::uint32_t id =
      start(BTF_KIND_ENUM, static_cast<std::uint32_t>(values.size()), is_signed, name, 4);
  for (const auto& [text, value] : values) {
    append_le(types_, string(text), 4);
    append_le(types_, static_cast<std::uint32_t>(value), 4);
  }
  return id;
}

std::uint32_t BtfBuilder::add_enum64(
    const std::string& name, const std::vector<std::pair<std::string, std::uint64_t>>& values) {
  const std::uint32_t id =
      start(BTF_KIND_ENUM64, static_cast<std::uint32_t>(values.size()), false, name, 8);
  for (const auto& [text, value] : values) {
    append_le(types_, string(text), 4);
    append_le(types_, value, 8);
  }
  return id;
}

Bytes BtfBuilder::build() const {
  Bytes out;
  append_le(out, BTF_MAGIC, 2);
  append_le(out, BTF_VERSION, 1);
  append_le(out, 0, 1);
  append_le(out, 24, 4);
  append_le(out, 0, 4);
  append_le(out, types_.size(), 4);
  append_le(out, types_.size(), 4);
  append_le(out, strings_.size(), 4);
  append(out, types_);
  append(out, to_bytes(strings_));
  return out;
}

Bytes make_btf() {
  BtfBuilder btf;
  const auto u8 = btf.add_int("unsigned char", 1);
  const auto u32 = btf.add_int("unsigned int", 4);
  const auto u64 = btf.add_int("unsigned long", 8);
  const auto comm = btf.add_array(u8, u32, 16);
  const auto entity = btf.add_composite(BTF_KIND_STRUCT, "sched_entity", 16,
                                        {{"load", u64, 0}, {"runtime", u64, 64}});
  const auto constant = btf.add_reference(BTF_KIND_CONST, "", entity);
  const auto entity_t = btf.add_reference(BTF_KIND_TYPEDEF, "entity_t", constant);
  const auto anonymous =
      btf.add_composite(BTF_KIND_UNION, "", 8, {{"rcu_users", u32, 0}, {"stack", u64, 0}});
  const auto outer =
      btf.add_composite(BTF_KIND_STRUCT, "", 16, {{"", u32, 0}, {"", anonymous, 64}});
  const auto upids = btf.add_array(entity, u32, 3);
  const auto task = btf.next_id();
  const auto pointer = task + 1;
  btf.add_composite(BTF_KIND_STRUCT, "task_struct", 136,
                    {{"pid", u32, 0},
                     {"in_execve", u32, 37, 3},
                     {"comm", comm, 128},
                     {"se", entity_t, 256},
                     {"parent", pointer, 384},
                     {"", outer, 448},
                     {"numbers", upids, 576}},
                    true);
  btf.add_reference(BTF_KIND_PTR, "", task);
  btf.add_enum("pid_type", {{"PIDTYPE_PID", 0}, {"PIDTYPE_MAX", 4}}, false);
  btf.add_enum("signed_values", {{"MINUS_TWO", -2}}, true);
  btf.add_enum("unsigned_values", {{"ALL_ONES", -1}}, false);
  btf.add_enum64("wide", {{"WIDE_VALUE", 0x123456789abcull}});
  // Names that drivers share: one question with the same answer, one with another.
  btf.add_composite(BTF_KIND_STRUCT, "shared", 8, {{"same", u32, 0}, {"other", u32, 32}});
  btf.add_composite(BTF_KIND_STRUCT, "shared", 8,
                    {{"same", u32, 0}, {"other", u32, 0}, {"only_here", u32, 32}});
  btf.add_enum("", {{"TWICE_SAME", 5}, {"TWICE_OTHER", 1}}, false);
  btf.add_enum("", {{"TWICE_SAME", 5}, {"TWICE_OTHER", 2}}, false);
  btf.add_reference(BTF_KIND_TYPEDEF, "pid_t", u32);
  btf.add_reference(BTF_KIND_FWD, "only_declared", 0);
  return btf.build();
}

Bytes encode_elf(const std::vector<FakeSection>& sections) {
  Bytes names(1), body(64), headers(64);  // section 0 is empty
  const auto add_header = [&](const FakeSection& section, std::size_t offset) {
    append_le(headers, names.size(), 4);
    append(names, to_bytes(section.name));
    names.push_back(std::byte{0});
    append_le(headers, section.type, 4);
    append_le(headers, section.flags, 8);
    append_le(headers, section.address, 8);
    append_le(headers, offset, 8);
    append_le(headers, section.bytes.size(), 8);
    headers.resize(headers.size() + 24);
  };
  for (const FakeSection& section : sections) {
    pad_to(body, 8);
    add_header(section, body.size());
    append(body, section.bytes);
  }
  pad_to(body, 8);
  FakeSection names_section{".shstrtab", SHT_STRTAB, 0, 0, Bytes(names.size() + 10)};
  add_header(names_section, body.size());
  append(body, names);
  pad_to(body, 8);

  const Bytes ident =
      to_bytes(std::string_view{"\x7f"
                                "ELF\2\1\1",
                                7});
  std::copy(ident.begin(), ident.end(), body.begin());
  store_le(body, 16, ET_EXEC, 2);
  store_le(body, 18, EM_X86_64, 2);
  store_le(body, 20, 1, 4);
  store_le(body, 40, body.size(), 8);
  store_le(body, 52, 64, 2);
  store_le(body, 58, 64, 2);
  store_le(body, 60, sections.size() + 2, 2);
  store_le(body, 62, sections.size() + 1, 2);
  append(body, headers);
  return body;
}

Bytes encode_build_id(std::span<const std::byte> id) {
  Bytes notes;
  append_le(notes, 4, 4);  // a note of another owner first
  append_le(notes, 6, 4);
  append_le(notes, 6, 4);
  append(notes, to_bytes(std::string_view{"Xen\0"
                                          "abcdef\0\0",
                                          12}));
  append_le(notes, 4, 4);
  append_le(notes, id.size(), 4);
  append_le(notes, NT_GNU_BUILD_ID, 4);
  append(notes, to_bytes(std::string_view{"GNU\0", 4}));
  append(notes, id);
  return notes;
}

FakeKernel make_kernel(const KallsymsOptions& options) {
  constexpr std::uint64_t kBannerAt = 4096;
  FakeKernel kernel{make_symbols(600, options.form == KallsymsForm::kAbsolutePerCpu), {}};
  const auto after = std::find_if(kernel.symbols.begin(), kernel.symbols.end(), [](const auto& s) {
    return s.address > kRodataAddress + kBannerAt;
  });
  kernel.symbols.insert(after, {kRodataAddress + kBannerAt, 'D', "linux_banner"});

  Bytes rodata(kBannerAt);
  append(rodata, to_bytes(kBanner));
  append(rodata, to_bytes(std::string_view{"\n\0", 2}));
  pad_to(rodata, 64);
  append(rodata, encode_kallsyms(kernel.symbols, options, kRodataAddress + rodata.size()));
  Bytes id;
  for (int i = 0; i < 20; ++i) id.push_back(static_cast<std::byte>(0xa0 + i));
  kernel.vmlinux = encode_elf({
      {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, kTextAddress, Bytes(kTextBytes)},
      {".rodata", SHT_PROGBITS, SHF_ALLOC, kRodataAddress, rodata},
      {".notes", SHT_NOTE, SHF_ALLOC, kRodataAddress + 0x100000, encode_build_id(id)},
      {".BTF", SHT_PROGBITS, SHF_ALLOC, kRodataAddress + 0x110000, make_btf()},
      {".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, kRodataAddress + 0x800000, {}},
  });
  return kernel;
}

}  // namespace sevmon::ids::fake
