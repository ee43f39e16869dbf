// SPDX-License-Identifier: Apache-2.0
#include "program/object.hpp"

#include <bpf/btf.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include <sevmon/text.hpp>

#include "profile/file_io.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

using Impl = ProgramObject::Impl;
using Section = ElfObject::Section;

constexpr std::size_t kMaxFileBytes = 16U << 20;
constexpr std::string_view kEntrySection = "sevmon";
constexpr unsigned kCode = 0;  // the region that is none

bool is_code(const Section& section) {
  return (section.flags & SHF_EXECINSTR) != 0;
}

bool is_called(const Section& section, std::string_view name) {
  return section.name == name ||
         (section.name.starts_with(name) && section.name[name.size()] == '.');
}

struct Parser {
  Impl& object;

  Result<void> parse() {
    auto elf = ElfObject::parse(object.file);
    if (!elf) return elf.error();
    object.elf = std::move(*elf);
    if (auto done = read_types(); !done) return done;
    if (auto done = refuse_others(); !done) return done;
    if (auto done = place_code(); !done) return done;
    if (auto done = place_data(); !done) return done;
    return read_lines();
  }

  Result<void> read_types() {
    const Section* raw = object.elf.find(".BTF");
    const Section* ext = object.elf.find(".BTF.ext");
    if (raw == nullptr || ext == nullptr)
      return Error{ErrorCode::kUnsupported, std::string{"no section "} +
                                                (raw == nullptr ? ".BTF" : ".BTF.ext") +
                                                ": compile with clang -g"};
    auto types = Btf::parse(raw->data);
    if (!types) return types.error();
    object.types.emplace(std::move(*types));
    auto parsed = BtfExt::parse(ext->data);
    if (!parsed) return parsed.error();
    object.ext = std::move(*parsed);
    const btf* handle = object.types->handle();
    for (std::uint32_t id = 1; id < btf__type_cnt(handle); ++id) {
      const btf_type* type = btf__type_by_id(handle, id);
      if (!btf_is_datasec(type) || name_of(type) != ".ksyms") continue;
      for (const auto& variable : std::span{btf_var_secinfos(type), btf_vlen(type)})
        object.kernel_symbols.insert(name_of(btf__type_by_id(handle, variable.type)));
    }
    return {};
  }

  std::string_view name_of(const btf_type* type) const { return text_at(type->name_off); }
  std::string_view text_at(std::uint32_t offset) const {
    const char* text = btf__str_by_offset(object.types->handle(), offset);
    return text != nullptr ? text : "";
  }

  /// What would be loaded and has no place in an image.
  Result<void> refuse_others() const {
    for (const auto& section : object.elf.sections()) {
      if ((section.flags & SHF_ALLOC) == 0 || section.bytes == 0) continue;
      const std::string what = "section " + escape(section.name);
      if (is_code(section) && section.name != kEntrySection && section.name != ".text")
        return Error{ErrorCode::kUnsupported,
                     what + ": a program's one entry is in SEC(\"sevmon\")"};
      if (section.name == ".maps" || section.name == ".kconfig")
        return Error{ErrorCode::kUnsupported, what + ": a program's map is its global variables"};
      if (!is_code(section) && !is_data(section) && section.name != "license")
        return Error{ErrorCode::kUnsupported, what + " has no place in a program"};
    }
    return {};
  }

  static bool is_data(const Section& section) {
    return is_called(section, ".rodata") || is_called(section, ".data") ||
           is_called(section, ".bss");
  }

  Result<void> place_code() {
    const Section* entry = object.elf.find(kEntrySection);
    if (entry == nullptr || !is_code(*entry))
      return Error{ErrorCode::kMalformed, "no function in SEC(\"sevmon\")"};
    if (auto done = check_entry(*entry); !done) return done;
    for (const std::string_view name : {kEntrySection, std::string_view{".text"}}) {
      const Section* section = object.elf.find(name);
      if (section == nullptr || section->bytes == 0) continue;
      if (section->bytes % sizeof(sevmon_bpf_insn) != 0 || section->data.empty())
        return Error{ErrorCode::kMalformed,
                     "section " + std::string{name} + " of " + hex(section->bytes) + " bytes"};
      add_place(*section, kCode,
                static_cast<std::uint32_t>(object.insns.size() * sizeof(sevmon_bpf_insn)));
      const std::size_t count = section->bytes / sizeof(sevmon_bpf_insn);
      if (object.insns.size() + count > SEVMON_PROGRAM_MAX_INSNS)
        return Error{ErrorCode::kTooLarge, std::to_string(object.insns.size() + count) +
                                               " instructions, at most " +
                                               std::to_string(SEVMON_PROGRAM_MAX_INSNS)};
      for (std::size_t i = 0; i < count; ++i)
        object.insns.push_back(
            load_le<sevmon_bpf_insn>(section->data, i * sizeof(sevmon_bpf_insn)));
    }
    return {};
  }

  Result<void> check_entry(const Section& entry) const {
    const auto index = static_cast<std::uint32_t>(&entry - object.elf.sections().data());
    std::string first;
    for (const auto& symbol : object.elf.symbols()) {
      if (symbol.type != STT_FUNC || symbol.section != index) continue;
      if (!first.empty())
        return Error{ErrorCode::kUnsupported, "SEC(\"sevmon\") has " + first + "() and " +
                                                  escape(symbol.name) + "(): one entry, please"};
      if (symbol.value != 0)
        return Error{ErrorCode::kMalformed, "the entry begins at " + hex(symbol.value)};
      first = escape(symbol.name);
    }
    if (first.empty()) return Error{ErrorCode::kMalformed, "no function in SEC(\"sevmon\")"};
    return {};
  }

  void add_place(const Section& section, unsigned region, std::uint32_t offset) {
    object.places.push_back(
        {static_cast<std::uint32_t>(&section - object.elf.sections().data()), region, offset});
  }

  Result<void> place_data() {
    for (const auto& section : object.elf.sections())
      if (is_called(section, ".rodata"))
        if (auto done =
                append(section, SEVMON_REGION_DATA, object.data, SEVMON_PROGRAM_MAX_DATA_BYTES);
            !done)
          return done;
    for (const auto& section : object.elf.sections())
      if (is_called(section, ".data"))
        if (auto done =
                append(section, SEVMON_REGION_MAP, object.init, SEVMON_PROGRAM_MAX_MAP_BYTES);
            !done)
          return done;
    std::uint64_t map_bytes = object.init.size();
    for (const auto& section : object.elf.sections()) {
      if (!is_called(section, ".bss") || section.bytes == 0) continue;
      if (section.type != SHT_NOBITS)
        return Error{ErrorCode::kMalformed, "section " + escape(section.name) + " holds bytes"};
      map_bytes = (map_bytes + section.align - 1) / section.align * section.align;
      if (section.bytes > SEVMON_PROGRAM_MAX_MAP_BYTES ||
          map_bytes + section.bytes > SEVMON_PROGRAM_MAX_MAP_BYTES)
        return too_large(section, SEVMON_PROGRAM_MAX_MAP_BYTES);
      add_place(section, SEVMON_REGION_MAP, static_cast<std::uint32_t>(map_bytes));
      map_bytes += section.bytes;
    }
    object.map_bytes = static_cast<std::uint32_t>(map_bytes);
    return {};
  }

  static Error too_large(const Section& section, std::uint64_t limit) {
    return {ErrorCode::kTooLarge, "with section " + escape(section.name) + " of " +
                                      std::to_string(section.bytes) + " bytes it is over " +
                                      std::to_string(limit)};
  }

  Result<void> append(const Section& section, unsigned region, std::vector<std::uint8_t>& out,
                      std::uint64_t limit) {
    if (section.bytes == 0) return {};
    if (section.type == SHT_NOBITS)
      return Error{ErrorCode::kMalformed, "section " + escape(section.name) + " holds no bytes"};
    if (!section.relocations.empty())
      return Error{ErrorCode::kUnsupported, "section " + escape(section.name) + " at " +
                                                hex(section.relocations.front().offset) +
                                                ": a pointer that is set before the program runs"};
    out.resize((out.size() + section.align - 1) / section.align * section.align);
    if (out.size() + section.data.size() > limit) return too_large(section, limit);
    add_place(section, region, static_cast<std::uint32_t>(out.size()));
    const auto* from = reinterpret_cast<const std::uint8_t*>(section.data.data());
    out.insert(out.end(), from, from + section.data.size());
    return {};
  }

  /// Of a record in .BTF.ext: its instruction. Other sections' (there are none) have no place.
  Result<std::uint32_t> insn_of(const Impl::Place& place, std::uint32_t offset) const {
    if (offset % sizeof(sevmon_bpf_insn) != 0 ||
        offset >= object.elf.sections()[place.section].bytes)
      return Error{ErrorCode::kMalformed, ".BTF.ext names " + hex(offset) + " in section " +
                                              escape(object.elf.sections()[place.section].name)};
    return static_cast<std::uint32_t>((place.offset + offset) / sizeof(sevmon_bpf_insn));
  }

  Result<void> read_lines() {
    for (const auto& part : object.ext.lines) {
      const auto* place = object.place_of(text_at(part.section));
      if (place == nullptr || place->region != kCode) continue;
      for (const auto& record : part.records) {
        const auto insn = insn_of(*place, record.offset);
        if (!insn) return insn.error();
        std::string_view text = text_at(record.text), file = text_at(record.file);
        if (file.starts_with("./")) file.remove_prefix(2);
        text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
        object.lines.push_back({.insn = *insn,
                                .file = std::string{file},
                                .line = record.line,
                                .column = record.column,
                                .text = std::string{text},
                                .function = {}});
      }
    }
    std::ranges::stable_sort(object.lines, {}, &SourceLine::insn);
    return name_functions();
  }

  Result<void> name_functions() {
    std::vector<std::pair<std::uint32_t, std::string_view>> functions;
    for (const auto& part : object.ext.functions) {
      const auto* place = object.place_of(text_at(part.section));
      if (place == nullptr || place->region != kCode) continue;
      for (const auto& record : part.records) {
        const auto insn = insn_of(*place, record.offset);
        if (!insn) return insn.error();
        const btf_type* type = btf__type_by_id(object.types->handle(), record.type);
        if (type == nullptr || !btf_is_func(type))
          return Error{ErrorCode::kMalformed,
                       ".BTF.ext: type " + std::to_string(record.type) + " is no function"};
        functions.emplace_back(*insn, name_of(type));
      }
    }
    std::ranges::sort(functions);
    auto next = functions.begin();
    std::string_view current;
    for (auto& line : object.lines) {
      for (; next != functions.end() && next->first <= line.insn; ++next) current = next->second;
      line.function = current;
    }
    return {};
  }
};

}  // namespace

const Impl::Place* Impl::place_of(std::uint32_t section) const {
  const auto found = std::ranges::find(places, section, &Place::section);
  return found == places.end() ? nullptr : &*found;
}

const Impl::Place* Impl::place_of(std::string_view section) const {
  const auto found = std::ranges::find_if(
      places, [&](const Place& place) { return elf.sections()[place.section].name == section; });
  return found == places.end() ? nullptr : &*found;
}

std::string Impl::where(std::uint32_t insn) const {
  auto at = std::ranges::upper_bound(lines, insn, {}, &SourceLine::insn);
  if (at == lines.begin()) return " (instruction " + std::to_string(insn) + ")";
  --at;
  return " (" + escape(at->file) + ":" + std::to_string(at->line) + ": \"" + escape(at->text) +
         "\")";
}

ProgramObject::ProgramObject(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
ProgramObject::ProgramObject(ProgramObject&&) noexcept = default;
ProgramObject& ProgramObject::operator=(ProgramObject&&) noexcept = default;
ProgramObject::~ProgramObject() = default;

Result<ProgramObject> ProgramObject::parse(std::span<const std::byte> file) {
  if (file.size() > kMaxFileBytes)
    return Error{ErrorCode::kTooLarge, "an object of " + std::to_string(file.size()) + " bytes"};
  auto impl = std::make_unique<Impl>();
  impl->file.assign(file.begin(), file.end());
  if (auto parsed = Parser{*impl}.parse(); !parsed) return parsed.error();
  return ProgramObject{std::move(impl)};
}

Result<ProgramObject> ProgramObject::load(const std::string& path) {
  const auto file = read_file(path, kMaxFileBytes);
  if (!file) return file.error();
  auto object = parse(*file);
  if (!object) return Error{object.error().code, path + ": " + object.error().detail};
  return object;
}

}  // namespace sevmon::ids
