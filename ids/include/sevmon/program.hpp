// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/program.h>
#include <sevmon/profile.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

namespace sevmon::ids {

/// Which line of the source the instructions from `insn` on are of, up to the next one's.
struct SourceLine {
  std::uint32_t insn = 0;
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string text;      // without leading blanks; empty when the compiler left it out
  std::string function;  // empty when it has no name
};

/// What the agent is sent: see program.h.
struct ProgramImage {
  std::vector<std::uint8_t> bytes;
  std::array<std::uint8_t, 32> sha256{};
  std::uint64_t name = 0;  // the first 8 bytes of sha256, little-endian

  std::vector<SourceLine> lines;  // by insn
  /// Relocations that this kernel has no answer to, in code that cannot be reached (behind
  /// bpf_core_field_exists() and the like): the instruction now sets its register to 0 or does
  /// nothing.
  std::vector<std::uint32_t> replaced;

  sevmon_program_head head() const;
  std::span<const std::uint8_t> instructions() const;
  /// The line of an instruction, or nullptr.
  const SourceLine* line_of(std::uint32_t insn) const;
};

/// What a program is linked for.
struct ProgramTarget {
  std::string release;             // "6.1.0-56-amd64": for messages
  std::span<const std::byte> btf;  // its types; may be empty for a program that asks for none
  /// Address of a kernel symbol. @return kNotFound for what the kernel has not.
  std::function<common::Result<common::Gva>(std::string_view)> symbol;
};

/// The types of `profile`; symbols as linked unless `symbol` says otherwise.
ProgramTarget program_target(
    const Profile& profile,
    std::function<common::Result<common::Gva>(std::string_view)> symbol = {});

/// An eBPF object file: one function in section "sevmon", others that it calls in .text, constants
/// (.rodata*), global variables (.data*, .bss*), and what -g adds (.BTF, .BTF.ext). Immutable.
///
/// docs/programs.md says what a program may hold.
class ProgramObject {
 public:
  struct Impl;  // the library's own

  /// Copies `file`. @return kTruncated, kMalformed, kTooLarge, kUnsupported with what and where.
  static common::Result<ProgramObject> parse(std::span<const std::byte> file);
  /// @return also kIo.
  static common::Result<ProgramObject> load(const std::string& path);

  ProgramObject(ProgramObject&&) noexcept;
  ProgramObject& operator=(ProgramObject&&) noexcept;
  ~ProgramObject();

  /// Make the image for one kernel: places of constants and variables, addresses of the kernel's
  /// symbols, offsets and sizes of its types.
  /// @return kUnsupported and kMalformed for what has no place in an image, kTooLarge over a limit
  ///         of program.h, kNotFound for a symbol, member or type that the kernel has not.
  common::Result<ProgramImage> link(const ProgramTarget& target) const;

 private:
  explicit ProgramObject(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What check_program() has to say of one instruction.
struct ProgramFinding {
  enum class Level : std::uint8_t {
    kError,    // it will, or may, end the run: not to be sent
    kWarning,  // worth a look
    kNote,     // as it is for this kernel
  } level = Level::kError;
  std::uint32_t insn = 0;
  std::string file;  // empty, and line 0, when not known
  std::uint32_t line = 0;
  std::string text;
  std::string instruction;  // as disassemble() has it
  std::string reason;
};

/// "error", "warning", "note"
std::string_view name(ProgramFinding::Level level);

struct ProgramCheck {
  std::vector<ProgramFinding> findings;  // by insn; the agent's own refusal is the only one
  std::vector<bool> reached;             // by instruction: can it ever run?
  /// Was every way looked at? When not, there is a warning, and what was not found may be there.
  bool complete = true;
  /// Nothing that the agent would refuse, and no error.
  bool passed() const;
};

/// Would the agent's verifier take `image`, and can a run of it end in a fault? Follows what
/// registers and stack can hold along every way; docs/programs.md has the rules, and what is not
/// looked at.
ProgramCheck check_program(const ProgramImage& image);

/// An instruction as text: "r1 = *(u32 *)(r10 - 8)", "if r1 > 4 goto 17", "call read". Immediates
/// of 64 bits need both halves. `at` is its number, for jumps.
std::string disassemble(std::span<const std::uint8_t> instructions, std::uint32_t at);

/// All of a kernel's types as a C header, vmlinux.h, for programs.
/// @return kTruncated, kMalformed, kUnsupported.
common::Result<std::string> types_as_c(std::span<const std::byte> btf);

}  // namespace sevmon::ids
