// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <sevmon/text.hpp>

#include "program/flow.hpp"
#include "program/object.hpp"
#include "program/relocate.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

namespace {

using Impl = ProgramObject::Impl;
using Symbol = ElfObject::Symbol;

constexpr std::uint32_t kRelocateImmediate = 1;  // R_BPF_64_64
constexpr std::uint32_t kRelocateCall = 10;      // R_BPF_64_32

class Linker {
 public:
  Linker(const Impl& object, const ProgramTarget& target)
      : object_{object}, target_{target}, insns_{object.insns} {}

  Result<ProgramImage> link() {
    auto unresolved = relocate_types(object_, target_, insns_);
    if (!unresolved) return unresolved.error();
    for (const auto& place : object_.places) {
      if (place.region != 0) continue;
      for (const auto& relocation : object_.elf.sections()[place.section].relocations)
        if (auto done = relocate(place, relocation); !done) return done.error();
    }
    ProgramImage image;
    if (auto done = settle(*unresolved, image); !done) return done.error();
    assemble(image);
    if (image.bytes.size() > SEVMON_PROGRAM_MAX_BYTES)
      return Error{ErrorCode::kTooLarge, "an image of " + std::to_string(image.bytes.size()) +
                                             " bytes, at most " +
                                             std::to_string(SEVMON_PROGRAM_MAX_BYTES)};
    return image;
  }

 private:
  Result<void> relocate(const Impl::Place& place, const ElfObject::Relocation& relocation) {
    const auto& symbol = object_.elf.symbols()[relocation.symbol];
    const auto at =
        static_cast<std::uint32_t>((place.offset + relocation.offset) / sizeof(sevmon_bpf_insn));
    const bool is_wide = insns_[at].code == BPF_LD_IMM64 && at + 1 < insns_.size();
    const bool is_call = insns_[at].code == (BPF_JMP | BPF_CALL);
    if (relocation.offset % sizeof(sevmon_bpf_insn) == 0) {
      if (relocation.type == kRelocateImmediate && is_wide) return set_immediate(at, symbol);
      if (relocation.type == kRelocateCall && is_call) return set_call(at, symbol);
    }
    return Error{ErrorCode::kUnsupported, "relocation of type " + std::to_string(relocation.type) +
                                              " of " + named(symbol) + " at " +
                                              hex(relocation.offset) + object_.where(at)};
  }

  static std::string named(const Symbol& symbol) { return '"' + escape(symbol.name) + '"'; }

  Result<void> set_immediate(std::uint32_t at, const Symbol& symbol) {
    auto& low = insns_[at];
    auto& high = insns_[at + 1];
    const auto addend = static_cast<std::uint64_t>(static_cast<std::uint32_t>(low.imm)) |
                        static_cast<std::uint64_t>(static_cast<std::uint32_t>(high.imm)) << 32;
    const auto address =
        symbol.section == 0 ? kernel_address(at, symbol, addend) : own_address(at, symbol, addend);
    if (!address) return address.error();
    low.imm = static_cast<std::int32_t>(*address);
    high.imm = static_cast<std::int32_t>(*address >> 32);
    return {};
  }

  Result<std::uint64_t> own_address(std::uint32_t at, const Symbol& symbol, std::uint64_t addend) {
    const auto* place = object_.place_of(symbol.section);
    if (place == nullptr || place->region == 0)
      return Error{ErrorCode::kUnsupported, "the address of " + named(symbol) +
                                                ", which is no variable" + object_.where(at)};
    // The compiler counts from the section's begin and may be off by an index it takes back later.
    const auto bytes = object_.elf.sections()[symbol.section].bytes;
    const auto offset = symbol.value + addend;
    if (offset > bytes && addend <= bytes)
      return Error{ErrorCode::kMalformed,
                   named(symbol) + " plus " + hex(addend) + object_.where(at)};
    if (offset > bytes)
      return Error{ErrorCode::kUnsupported, named(symbol) + " plus " + hex(addend) +
                                                " is outside of its section" + object_.where(at)};
    return (static_cast<std::uint64_t>(place->region) << SEVMON_REGION_SHIFT) + place->offset +
           offset;
  }

  Result<std::uint64_t> kernel_address(std::uint32_t at, const Symbol& symbol,
                                       std::uint64_t addend) {
    if (!object_.kernel_symbols.contains(symbol.name))
      return Error{ErrorCode::kUnsupported,
                   named(symbol) + " is neither here nor declared with __ksym" + object_.where(at)};
    const Result<Gva> address =
        target_.symbol ? target_.symbol(symbol.name)
                       : Result<Gva>{Error{ErrorCode::kNotFound, "no kernel's symbols are known"}};
    if (address) return address->value + addend;
    if (symbol.bind == STB_WEAK && address.error().code == ErrorCode::kNotFound)
      return std::uint64_t{0};
    return Error{address.error().code,
                 named(symbol) + ": " + address.error().detail + object_.where(at)};
  }

  Result<void> set_call(std::uint32_t at, const Symbol& symbol) {
    auto& insn = insns_[at];
    const auto* place = symbol.section != 0 ? object_.place_of(symbol.section) : nullptr;
    if (BPF_SRC(&insn) != BPF_CALL_LOCAL || place == nullptr || place->region != 0)
      return Error{
          ErrorCode::kUnsupported,
          "a call of " + named(symbol) + ", which is not in this program" + object_.where(at)};
    // A section's symbol stands for its begin, and the call says how far behind.
    const auto target =
        static_cast<std::int64_t>((place->offset + symbol.value) / sizeof(sevmon_bpf_insn)) +
        insn.imm + 1;
    if (target < 0 || target >= static_cast<std::int64_t>(insns_.size()))
      return Error{ErrorCode::kMalformed, "a call of " + named(symbol) + " leads to " +
                                              std::to_string(target) + object_.where(at)};
    insn.imm = static_cast<std::int32_t>(target - at - 1);
    return {};
  }

  /// What has no answer may stand where nothing leads to. What stands there does nothing then,
  /// since the agent's verifier looks at all instructions; but a register that was set stays so.
  Result<void> settle(const std::vector<Unresolved>& unresolved, ProgramImage& image) {
    if (unresolved.empty()) return {};
    const Flow flow =
        analyse_flow(insns_, {object_.map_bytes, static_cast<std::uint32_t>(object_.data.size())});
    for (const auto& one : unresolved) {
      if (flow.reached[one.insn])
        return Error{ErrorCode::kNotFound,
                     one.what + " is not in " + target_.release + object_.where(one.insn)};
      image.replaced.push_back(one.insn);
      insns_[one.insn] = nothing_for(one.original);
      if (one.original.code == BPF_LD_IMM64) insns_[one.insn + 1] = {};
    }
    return {};
  }

  static sevmon_bpf_insn nothing_for(const sevmon_bpf_insn& original) {
    const auto to = static_cast<std::uint8_t>(BPF_DST(&original));
    switch (BPF_CLASS(original.code)) {
      case BPF_LD:
        return {BPF_LD_IMM64, to, 0, 0};
      case BPF_LDX:
      case BPF_ALU:
      case BPF_ALU64:
        return {BPF_ALU64 | BPF_MOV, to, 0, 0};
      default:
        return {BPF_JMP | BPF_JA, 0, 0, 0};
    }
  }

  void assemble(ProgramImage& image) {
    const sevmon_program_head head{
        .insns = static_cast<std::uint32_t>(insns_.size()),
        .data_bytes = static_cast<std::uint32_t>(object_.data.size()),
        .map_bytes = object_.map_bytes,
        .init_bytes = static_cast<std::uint32_t>(object_.init.size()),
        .zero = {},
    };
    const auto append = [&](const void* from, std::size_t bytes) {
      const auto* begin = static_cast<const std::uint8_t*>(from);
      image.bytes.insert(image.bytes.end(), begin, begin + bytes);
    };
    append(&head, sizeof head);
    append(insns_.data(), insns_.size() * sizeof(sevmon_bpf_insn));
    append(object_.data.data(), object_.data.size());
    append(object_.init.data(), object_.init.size());
    EVP_Digest(image.bytes.data(), image.bytes.size(), image.sha256.data(), nullptr, EVP_sha256(),
               nullptr);
    std::memcpy(&image.name, image.sha256.data(), sizeof image.name);
    image.lines = object_.lines;
  }

  const Impl& object_;
  const ProgramTarget& target_;
  std::vector<sevmon_bpf_insn> insns_;
};

}  // namespace

Result<ProgramImage> ProgramObject::link(const ProgramTarget& target) const {
  return Linker{*impl_, target}.link();
}

ProgramTarget program_target(const Profile& profile,
                             std::function<Result<Gva>(std::string_view)> symbol) {
  if (!symbol) symbol = [&profile](std::string_view name) { return profile.symbol(name); };
  return {profile.release(), profile.btf(), std::move(symbol)};
}

sevmon_program_head ProgramImage::head() const {
  sevmon_program_head head{};
  if (bytes.size() >= sizeof head) std::memcpy(&head, bytes.data(), sizeof head);
  return head;
}

std::span<const std::uint8_t> ProgramImage::instructions() const {
  const std::size_t count = std::size_t{head().insns} * sizeof(sevmon_bpf_insn);
  const std::size_t begin = std::min(sizeof(sevmon_program_head), bytes.size());
  return std::span{bytes}.subspan(begin, std::min(count, bytes.size() - begin));
}

const SourceLine* ProgramImage::line_of(std::uint32_t insn) const {
  const auto after = std::ranges::upper_bound(lines, insn, {}, &SourceLine::insn);
  return after == lines.begin() ? nullptr : &*std::prev(after);
}

}  // namespace sevmon::ids
