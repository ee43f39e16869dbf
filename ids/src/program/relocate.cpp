// SPDX-License-Identifier: Apache-2.0
#include "program/relocate.hpp"

#include <bpf/btf.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include <sevmon/text.hpp>

#include "program/relo_core_shim.h"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

constexpr std::uint32_t kLastKind = 12;  // BPF_CORE_TYPE_MATCHES
constexpr std::uint32_t kTypeIdLocal = 6;
constexpr std::size_t kMaxAccessBytes = 256;

std::string_view essential(const char* name) {
  return {name, sevmon_core_essential_length(name)};
}

/// sscanf(), in relo_core.c, would take signs and blanks, and numbers that overflow.
bool is_access(std::string_view text) {
  if (text.empty() || text.size() > kMaxAccessBytes) return false;
  std::size_t digits = 0;
  for (const char c : text) {
    digits = c == ':' ? 0 : digits + 1;
    if (c != ':' && (c < '0' || c > '9')) return false;
    if (digits > 6) return false;
  }
  return text.front() != ':' && text.back() != ':' && text.find("::") == text.npos;
}

class Relocator {
 public:
  Relocator(const ProgramObject::Impl& object, const ProgramTarget& target,
            std::vector<sevmon_bpf_insn>& insns)
      : object_{object}, target_{target}, insns_{insns}, local_{object.types->handle()} {}

  Result<std::vector<Unresolved>> run() {
    for (const auto& part : object_.ext.relocations) {
      const char* name = btf__str_by_offset(local_, part.section);
      const auto* place = object_.place_of(std::string_view{name != nullptr ? name : ""});
      if (place == nullptr || place->region != 0)
        return Error{ErrorCode::kUnsupported,
                     "relocations of types in section " + escape(name != nullptr ? name : "?")};
      for (const auto& record : part.records) {
        if (record.offset % sizeof(sevmon_bpf_insn) != 0 ||
            record.offset >= object_.elf.sections()[place->section].bytes)
          return Error{ErrorCode::kMalformed,
                       ".BTF.ext relocates " + hex(record.offset) + " in section " + escape(name)};
        const auto at = (place->offset + record.offset) / sizeof(sevmon_bpf_insn);
        if (auto done = relocate(record, static_cast<std::uint32_t>(at)); !done)
          return done.error();
      }
    }
    return std::move(unresolved_);
  }

 private:
  Result<void> relocate(const BtfExt::Relocation& record, std::uint32_t at) {
    const char* access = btf__str_by_offset(local_, record.access);
    if (record.type == 0 || record.type >= btf__type_cnt(local_) || record.kind > kLastKind ||
        access == nullptr || !is_access(access))
      return Error{ErrorCode::kMalformed, "a relocation of kind " + std::to_string(record.kind) +
                                              " by type " + std::to_string(record.type) +
                                              object_.where(at)};
    // Two for one instruction would see each other's result.
    if (!seen_.emplace(at, record.kind).second)
      return Error{ErrorCode::kMalformed, "two relocations by type" + object_.where(at)};
    const bool is_wide = insns_[at].code == BPF_LD_IMM64;
    if (is_wide && at + 1 >= insns_.size())
      return Error{ErrorCode::kMalformed, "half an instruction" + object_.where(at)};

    const std::vector<std::uint32_t>* candidates = &none_;
    if (record.kind != kTypeIdLocal) {
      if (auto ready = load_kernel(); !ready) return ready;
      candidates = &candidates_of(record.type);
    }
    std::array<sevmon_bpf_insn, 2> patched{insns_[at], is_wide ? insns_[at + 1] : insns_[at]};
    sevmon_core_relocation relocation{};
    relocation.local = local_;
    relocation.kernel = kernel_ ? kernel_->handle() : nullptr;
    relocation.type_id = record.type;
    relocation.access_str_off = record.access;
    relocation.kind = record.kind;
    relocation.candidates = candidates->data();
    relocation.candidate_count = static_cast<std::uint32_t>(candidates->size());
    relocation.insn = patched.data();
    if (sevmon_core_relocate(&relocation) != 0)
      return Error{ErrorCode::kMalformed, what(relocation) + " cannot be had from " +
                                              target_.release + object_.where(at) + ": " +
                                              escape(sevmon_core_last_words())};
    if (relocation.poisoned != 0) unresolved_.push_back({at, insns_[at], what(relocation)});
    insns_[at] = patched[0];
    if (is_wide) insns_[at + 1] = patched[1];
    return {};
  }

  static std::string what(const sevmon_core_relocation& relocation) {
    return relocation.place[0] != '\0' ? escape(relocation.place) : "a relocation";
  }

  Result<void> load_kernel() {
    if (kernel_) return {};
    if (target_.btf.empty())
      return Error{ErrorCode::kNotFound, "the program asks for the kernel's types: --profile"};
    auto types = Btf::parse(target_.btf);
    if (!types) return types.error();
    kernel_.emplace(std::move(*types));
    return {};
  }

  /// The kernel's types that have the name and kind of one of ours.
  const std::vector<std::uint32_t>& candidates_of(std::uint32_t local_id) {
    const auto [entry, is_new] = candidates_.try_emplace(local_id);
    if (!is_new) return entry->second;
    const btf_type* local = btf__type_by_id(local_, local_id);
    const auto name = essential(btf__str_by_offset(local_, local->name_off));
    if (name.empty()) return entry->second;
    const btf* kernel = kernel_->handle();
    for (std::uint32_t id = 1; id < btf__type_cnt(kernel); ++id) {
      const btf_type* type = btf__type_by_id(kernel, id);
      const bool same_kind =
          btf_kind(type) == btf_kind(local) || (btf_is_any_enum(type) && btf_is_any_enum(local));
      if (same_kind && essential(btf__str_by_offset(kernel, type->name_off)) == name)
        entry->second.push_back(id);
    }
    return entry->second;
  }

  const ProgramObject::Impl& object_;
  const ProgramTarget& target_;
  std::vector<sevmon_bpf_insn>& insns_;
  const btf* local_;
  std::optional<Btf> kernel_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> candidates_;
  const std::vector<std::uint32_t> none_;
  std::map<std::uint32_t, std::uint32_t> seen_;
  std::vector<Unresolved> unresolved_;
};

}  // namespace

Result<std::vector<Unresolved>> relocate_types(const ProgramObject::Impl& object,
                                               const ProgramTarget& target,
                                               std::vector<sevmon_bpf_insn>& insns) {
  return Relocator{object, target, insns}.run();
}

}  // namespace sevmon::ids
