// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>
#include <string>

#include <sevmon/program.hpp>
#include <sevmon/text.hpp>

#include "bpf.h"
#include "program/helpers.hpp"

namespace sevmon::ids {
namespace {

/// As clang's own listing: w1 is the low half of r1.
std::string reg(unsigned number, bool is_32 = false) {
  return (is_32 ? "w" : "r") + std::to_string(number);
}

std::string width(std::uint8_t code, bool is_signed = false) {
  return (is_signed ? "s" : "u") + std::to_string(8 * sevmon_bpf_bytes(code));
}

std::string place(unsigned base, int offset, const std::string& type) {
  return "*(" + type + " *)(" + reg(base) + (offset < 0 ? " - " : " + ") +
         std::to_string(offset < 0 ? -offset : offset) + ")";
}

std::string unknown(const sevmon_bpf_insn& insn) {
  std::array<std::uint8_t, sizeof insn> raw;
  std::memcpy(raw.data(), &insn, sizeof insn);
  return "unknown " + hex(std::span{raw});
}

std::string operand(const sevmon_bpf_insn& insn, bool is_32) {
  return (insn.code & BPF_X) != 0 ? reg(BPF_SRC(&insn), is_32) : std::to_string(insn.imm);
}

std::string arithmetic(const sevmon_bpf_insn& insn) {
  const bool is_32 = BPF_CLASS(insn.code) == BPF_ALU;
  const auto to = reg(BPF_DST(&insn), is_32);
  const auto from = operand(insn, is_32);
  const std::string sign = insn.offset == 1 ? "s" : "";
  switch (BPF_OP(insn.code)) {
    case BPF_ADD:
      return to + " += " + from;
    case BPF_SUB:
      return to + " -= " + from;
    case BPF_MUL:
      return to + " *= " + from;
    case BPF_DIV:
      return to + " " + sign + "/= " + from;
    case BPF_OR:
      return to + " |= " + from;
    case BPF_AND:
      return to + " &= " + from;
    case BPF_LSH:
      return to + " <<= " + from;
    case BPF_RSH:
      return to + " >>= " + from;
    case BPF_NEG:
      return to + " = -" + to;
    case BPF_MOD:
      return to + " " + sign + "%= " + from;
    case BPF_XOR:
      return to + " ^= " + from;
    case BPF_MOV:
      return to + " = " +
             (insn.offset != 0 ? "(s" + std::to_string(insn.offset) + ")" + from : from);
    case BPF_ARSH:
      return to + " s>>= " + from;
    case BPF_END:
      return to + " = " + (is_32 ? (insn.code & BPF_X) != 0 ? "be" : "le" : "bswap") +
             std::to_string(insn.imm) + " " + to;
    default:
      return unknown(insn);
  }
}

const char* comparison(std::uint8_t code) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return "==";
    case BPF_JGT:
      return ">";
    case BPF_JGE:
      return ">=";
    case BPF_JSET:
      return "&";
    case BPF_JNE:
      return "!=";
    case BPF_JSGT:
      return "s>";
    case BPF_JSGE:
      return "s>=";
    case BPF_JLT:
      return "<";
    case BPF_JLE:
      return "<=";
    case BPF_JSLT:
      return "s<";
    case BPF_JSLE:
      return "s<=";
    default:
      return nullptr;
  }
}

std::string jump(const sevmon_bpf_insn& insn, std::uint32_t at) {
  const bool is_32 = BPF_CLASS(insn.code) == BPF_JMP32;
  const auto goes = [&](std::int64_t offset) { return std::to_string(at + 1 + offset); };
  switch (BPF_OP(insn.code)) {
    case BPF_JA:
      return "goto " + goes(is_32 ? insn.imm : insn.offset);
    case BPF_EXIT:
      return "exit";
    case BPF_CALL: {
      if (BPF_SRC(&insn) == BPF_CALL_LOCAL) return "call " + goes(insn.imm);
      const Helper* helper = find_helper(insn.imm);
      return "call " +
             (helper != nullptr ? std::string{helper->name} : "helper " + std::to_string(insn.imm));
    }
    default:
      break;
  }
  const char* sign = comparison(insn.code);
  if (sign == nullptr) return unknown(insn);
  return "if " + reg(BPF_DST(&insn), is_32) + " " + sign + " " + operand(insn, is_32) + " goto " +
         goes(insn.offset);
}

}  // namespace

std::string disassemble(std::span<const std::uint8_t> instructions, std::uint32_t at) {
  const auto load = [&](std::uint32_t index) {
    sevmon_bpf_insn insn{};
    const std::size_t begin = std::size_t{index} * sizeof insn;
    if (begin + sizeof insn <= instructions.size())
      std::memcpy(&insn, instructions.data() + begin, sizeof insn);
    return insn;
  };
  const auto insn = load(at);
  switch (BPF_CLASS(insn.code)) {
    case BPF_LD: {
      if (insn.code != BPF_LD_IMM64) return unknown(insn);
      const auto value = static_cast<std::uint64_t>(static_cast<std::uint32_t>(insn.imm)) |
                         static_cast<std::uint64_t>(static_cast<std::uint32_t>(load(at + 1).imm))
                             << 32;
      return reg(BPF_DST(&insn)) + " = " + hex_address(value) + " ll";
    }
    case BPF_LDX:
      return reg(BPF_DST(&insn)) + " = " +
             place(BPF_SRC(&insn), insn.offset, width(insn.code, BPF_MODE(insn.code) == BPF_MEMSX));
    case BPF_ST:
      return place(BPF_DST(&insn), insn.offset, width(insn.code)) + " = " +
             std::to_string(insn.imm);
    case BPF_STX:
      return place(BPF_DST(&insn), insn.offset, width(insn.code)) + " = " + reg(BPF_SRC(&insn));
    case BPF_ALU:
    case BPF_ALU64:
      return arithmetic(insn);
    default:
      return jump(insn, at);
  }
}

}  // namespace sevmon::ids
