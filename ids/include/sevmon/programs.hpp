// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sevmon/program.h>
#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// How one run of a program ended, and what it appended.
struct ProgramRun {
  sevmon_run_report report{};
  sevmon_response_head head{};  // of the answer: time, target, root
  std::vector<std::byte> result;
  bool was_loaded = false;  // by this call: the agent did not have the program
};

struct ProgramRunOptions {
  common::DomId domain{SEVMON_DOMID_DOM0};
  Root root{};                        // what the program's reads of virtual memory walk
  std::uint64_t budget = 1ULL << 24;  // 1..SEVMON_RUN_MAX_BUDGET
};

/// The programs that this IDS has in the agent. They are named by their image's SHA-256, belong to
/// the IDS's id and stay when the channel ends; the agent keeps SEVMON_MAX_PROGRAMS and lets go of
/// the one that was not named for longest. Uses the channel, which must outlive it.
class Programs {
 public:
  explicit Programs(Channel& channel) : channel_{channel} {}

  /// A program's name: the first 8 bytes of its image's SHA-256.
  static std::uint64_t name_of(std::span<const std::byte> image);

  /// Load `image` (sevmon_program_head and what follows) unless it is there.
  /// @return kUsage: its size; kRefused with the agent's verdict, or when all places are taken by
  ///         programs that run; errors of the channel.
  common::Result<void> load(std::span<const std::byte> image);

  /// Run it, and load it first if the agent does not have it: then that takes three round trips
  /// more. Waits for another run of this IDS to end, and for one that was
  /// abandoned to make room.
  /// @return kUsage: input over what fits a request, budget; as load(); kRefused when the agent
  ///         stays busy or does not run it. A run that ends badly is not an error: see
  ///         report.state.
  common::Result<ProgramRun> run(std::span<const std::byte> image, std::span<const std::byte> input,
                                 const ProgramRunOptions& options = {});

  /// @return kNotFound; kRefused while it runs; errors of the channel.
  common::Result<void> unload(std::uint64_t name);

  /// Those that there are.
  common::Result<std::vector<sevmon_program_entry>> list();

 private:
  common::Result<Response> ask(std::uint8_t type, std::span<const std::byte> payload,
                               const ProgramRunOptions& options = {});
  common::Result<void> send(std::span<const std::byte> image, std::uint64_t name);

  Channel& channel_;
};

/// "done", "over budget", …: how a run ended (SEVMON_RUN_*).
std::string describe_run(std::uint32_t state);
/// "a register that may not be set", …: why the agent's verifier refused (SEVMON_VERDICT_*).
std::string describe_verdict(std::uint32_t reason);

}  // namespace sevmon::ids
