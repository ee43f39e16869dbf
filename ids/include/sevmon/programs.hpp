// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
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

/// What an atomic run may pause the target for, if nothing else is asked for.
inline constexpr std::chrono::microseconds kDefaultPause{50000};

struct ProgramRunOptions {
  common::DomId domain{SEVMON_DOMID_DOM0};
  Root root{};                        // what the program's reads of virtual memory walk
  std::uint64_t budget = 1ULL << 24;  // 1..SEVMON_RUN_MAX_BUDGET
  /// Atomic: with the target's vCPUs paused, for up to so long (SEVMON_RUN_MAX_PAUSE_US).
  std::optional<std::chrono::microseconds> pause{};
};

/// Run again and again, at intervals drawn at random from min to max, by Xen's timer.
struct ProgramSchedule {
  std::chrono::milliseconds min{500};  // SEVMON_SCHEDULE_MIN_MS..max; at least four pauses
  std::chrono::milliseconds max{1500};
  ProgramRunOptions run{.pause = kDefaultPause};
};

/// One run of a standing program.
struct StandingRun {
  sevmon_result_head head{};
  std::vector<std::byte> result;
};

/// What waited in the agent, oldest first.
struct Collected {
  std::uint64_t agent_ns = 0;     // the host's clock at the answer
  std::uint64_t next_number = 0;  // that the next run gets
  std::uint64_t skipped = 0;      // runs so far that did not take place: too much was waiting
  std::uint32_t waiting = 0;      // that did not fit the answer
  std::vector<StandingRun> runs;
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

  /// Run it, and load it first if the agent does not have it: then that takes four round trips
  /// more. Waits for another run of this IDS to end, and for one that was
  /// abandoned to make room.
  /// @return kUsage: input over what fits a request, budget; as load(); kRefused when the agent
  ///         stays busy or does not run it. A run that ends badly is not an error: see
  ///         report.state.
  common::Result<ProgramRun> run(std::span<const std::byte> image, std::span<const std::byte> input,
                                 const ProgramRunOptions& options = {});

  /// Load it if need be, and schedule it, in place of a schedule that it has. It has variables of
  /// its own, which those of run() are not. Schedule and results belong to the IDS's id: they
  /// outlive the channel, not the agent's boot.
  /// @return the agent's answer, whose time is when the schedule began, and whose domid that of its
  ///         target; kUsage: as run(), intervals; as load(); kUnsupported: a memory image;
  ///         kRefused.
  common::Result<sevmon_response_head> schedule(std::span<const std::byte> image,
                                                std::span<const std::byte> input,
                                                const ProgramSchedule& schedule);

  /// @return kNotFound: no such program; errors of the channel. To have no schedule is no error.
  common::Result<void> unschedule(std::uint64_t name);

  /// The oldest results of this IDS's standing programs, as many as fit an answer. Those up to
  /// number `seen` are let go of before; the others stay, to be collected again.
  /// @return kRefused: the oldest one does not fit this channel's size class; errors of the
  ///         channel.
  common::Result<Collected> collect(std::uint64_t seen);

  /// @return kNotFound; kRefused while it runs or is scheduled; errors of the channel.
  common::Result<void> unload(std::uint64_t name);

  /// Those that there are.
  common::Result<std::vector<sevmon_program_entry>> list();

 private:
  common::Result<Response> ask(std::uint8_t type, std::span<const std::byte> payload,
                               const ProgramRunOptions& options = {});
  common::Result<void> name_item(std::uint8_t type, std::uint64_t name);
  common::Result<void> send(std::span<const std::byte> image, std::uint64_t name);

  Channel& channel_;
};

/// A time in which a standing program did not run although it should have.
struct StandingGap {
  std::uint64_t program = 0;
  std::uint64_t after = 0;       // the number of the run before it; 0: none was collected with it
  std::uint64_t ns = 0;          // from its end
  std::uint64_t allowed_ns = 0;  // the schedule's longest interval, and what others may take
  bool is_open = false;          // up to the answer: no run came after it
};

/// Where runs of `entries`' schedules came late, or have not come yet, by the host's clock. A run
/// that was skipped ends no gap: it saw nothing. `entries` are listed after `collected`, so that
/// a run between the two is none.
std::vector<StandingGap> find_gaps(const Collected& collected,
                                   std::span<const sevmon_program_entry> entries);

/// Out of budget or time: what there is of a result is a part.
bool is_truncated(const sevmon_run_report& report);
/// "done", "over budget", …: how a run ended (SEVMON_RUN_*).
std::string describe_run(std::uint32_t state);
/// "a register that may not be set", …: why the agent's verifier refused (SEVMON_VERDICT_*).
std::string describe_verdict(std::uint32_t reason);

}  // namespace sevmon::ids
