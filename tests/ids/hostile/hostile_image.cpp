// SPDX-License-Identifier: Apache-2.0
// Whatever is in the memory that it reads, the IDS ends, soon, with an answer or an error about
// what it read:
//
//   real image ─► frames that the commands look at ─► some of them altered ─► the commands again
//                 (recorded once)                     (seeded, again and again)
//
//   hostile-image IMAGE PROFILE [--runs N] [--seed N]    ends with "Ok: N" and "Fail: N"
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "image_session.hpp"

#include <sevmon/kernel.hpp>
#include <sevmon/modules.hpp>
#include <sevmon/os_version.hpp>
#include <sevmon/process_program.hpp>
#include <sevmon/processes.hpp>
#include <sevmon/translation.hpp>

namespace {

using namespace sevmon;

// Far over what a run takes: a guard against one without end, not a figure.
constexpr unsigned kHangSeconds = 120;
// Beside the image, whose pages count once they were looked at.
constexpr long kMaxGrowthKib = 1024 * 1024;

volatile std::sig_atomic_t current_seed = 0;

void say_which(int) {
  std::printf("seed %ld: no end within %u s\n", static_cast<long>(current_seed), kHangSeconds);
  std::fflush(stdout);
  _exit(1);
}

/// One run of one command: "ok", "torn", or the error's name.
struct Outcome {
  std::string what;
  std::string broken;  // why this must not be
};

/// An error about the memory is an answer; one about the channel, or of our own, is a mistake: no
/// byte of the target's memory is the channel's business.
Outcome judge(const common::Error& error) {
  using common::ErrorCode;
  static constexpr ErrorCode kAboutMemory[] = {ErrorCode::kTorn, ErrorCode::kNotMapped,
                                               ErrorCode::kNotFound, ErrorCode::kMismatch,
                                               ErrorCode::kTooLarge};
  if (std::ranges::find(kAboutMemory, error.code) != std::end(kAboutMemory))
    return {std::string{name(error.code)}, {}};
  return {std::string{name(error.code)}, error.message()};
}

// An image does not move: nothing in it is about to show up.
constexpr std::chrono::milliseconds kSettle{0};

Outcome run_os_version(ids::Kernel& kernel) {
  const auto version = ids::read_os_version(kernel);
  if (!version) return judge(version.error());
  if (version->banner.size() > 4096 || version->nodename.size() > 64) return {"ok", "too long"};
  return {"ok", {}};
}

Outcome check_list(const common::Result<ids::ProcessList>& list,
                   const ids::ProcessOptions& options) {
  if (!list) return judge(list.error());
  Outcome outcome{std::string{ids::name(list->consistency)}, {}};
  if (list->processes.size() > options.max_tasks) outcome.broken = "more tasks than the bound";
  if (list->passes > options.max_passes) outcome.broken = "more passes than the bound";
  const bool tears = std::ranges::any_of(list->notes, [](const ids::ProcessNote& note) {
    return note.kind == ids::ProcessNote::Kind::kTear;
  });
  if (tears && list->consistency != ids::Consistency::kTorn)
    outcome.broken = "notes of tears in a list that is not called torn";
  for (const auto& process : list->processes)
    if (process.name.size() > 16) outcome.broken = "a name over TASK_COMM_LEN";
  return outcome;
}

Outcome run_ps(ids::Kernel& kernel, bool threads) {
  const ids::ProcessOptions options{.threads = threads, .settle = kSettle};
  return check_list(ids::list_processes(kernel, options), options);
}

Outcome check_list(const common::Result<ids::ModuleList>& list, const ids::ModuleOptions& options) {
  if (!list) return judge(list.error());
  Outcome outcome{std::string{ids::name(list->consistency)}, {}};
  if (list->modules.size() > options.max_modules) outcome.broken = "more modules than the bound";
  if (list->passes > options.max_passes) outcome.broken = "more passes than the bound";
  const bool tears = std::ranges::any_of(list->notes, [](const ids::ModuleNote& note) {
    return note.kind == ids::ModuleNote::Kind::kTear;
  });
  if (tears && list->consistency != ids::Consistency::kTorn)
    outcome.broken = "notes of tears in a list that is not called torn";
  return outcome;
}

Outcome run_modules(ids::Kernel& kernel) {
  const ids::ModuleOptions options{.settle = kSettle};
  return check_list(ids::list_modules(kernel, options), options);
}

/// Linked once for each place that the kernel is taken to be at.
template <typename Program>
Program* program_for(ids::Kernel& kernel) {
  static std::map<std::uint64_t, Program> linked;
  const auto slide = kernel.slide_bytes();
  if (const auto found = linked.find(slide); found != linked.end()) return &found->second;
  auto program = Program::link(kernel);
  return program ? &linked.emplace(slide, *std::move(program)).first->second : nullptr;
}

/// By the program in the agent; it cannot refuse what is in memory.
template <typename Program, typename Options, typename List>
Outcome run_program(ids::Channel& channel, ids::Kernel& kernel, List list) {
  auto* const program = program_for<Program>(kernel);
  if (program == nullptr) return {"link", "the program does not link"};
  Options options{.settle = kSettle};
  options.run_program = [&](std::span<const std::byte> input) {
    return program->run(channel, input,
                        {.domain = {}, .root = kernel.root(), .budget = SEVMON_RUN_MAX_BUDGET});
  };
  return check_list(list(kernel, options), options);
}

Outcome run_ps_program(ids::Channel& channel, ids::Kernel& kernel) {
  return run_program<ids::ProcessProgram, ids::ProcessOptions>(channel, kernel,
                                                               ids::list_processes);
}

Outcome run_modules_program(ids::Channel& channel, ids::Kernel& kernel) {
  return run_program<ids::ModuleProgram, ids::ModuleOptions>(channel, kernel, ids::list_modules);
}

Outcome run_translation(ids::Channel& channel, ids::Kernel& kernel) {
  const ids::TranslationOptions options{.settle = kSettle};
  const auto report = ids::check_translation(channel, {}, kernel, options);
  if (!report) return judge(report.error());
  Outcome outcome{report->findings.empty() ? report->complete ? "clean" : "incomplete" : "findings",
                  {}};
  if (report->findings.size() > options.max_findings)
    outcome.broken = "more findings than the bound";
  if (report->tables > options.max_tables) outcome.broken = "more tables than the bound";
  if (!report->complete && report->notes.empty()) outcome.broken = "incomplete, and not said why";
  return outcome;
}

class Runs {
 public:
  Runs(test::AlteredImage& image, const ids::KernelInfo& info) : image_{image}, info_{&info} {}

  /// Every command once over what the image is now. @return false when one did what must not be.
  bool once(const std::string& label) {
    auto channel = test::open_session(image_);
    if (!channel) return note(label, "open", judge(channel.error()));
    auto kernel = ids::Kernel::attach(**channel, std::span{&info_, 1});
    if (!kernel) return note(label, "attach", judge(kernel.error()));
    bool good = note(label, "attach", {"ok", {}});
    good &= note(label, "os-version", run_os_version(*kernel));
    good &= note(label, "ps", run_ps(*kernel, false));
    good &= note(label, "ps by program", run_ps_program(**channel, *kernel));
    good &= note(label, "modules", run_modules(*kernel));
    good &= note(label, "modules by program", run_modules_program(**channel, *kernel));
    good &= note(label, "ps --threads", run_ps(*kernel, true));
    good &= note(label, "check translation", run_translation(**channel, *kernel));
    most_requests_ = std::max(most_requests_, (*channel)->stats().frames_sent);
    return good;
  }

  bool note(const std::string& label, const char* command, const Outcome& outcome) {
    ++tally_[std::string{command} + ": " + outcome.what];
    if (outcome.broken.empty()) return true;
    std::printf("%s: %s: %s: %s\n", label.c_str(), command, outcome.what.c_str(),
                outcome.broken.c_str());
    return false;
  }

  void print() const {
    for (const auto& [what, count] : tally_) std::printf("  %-40s %6u\n", what.c_str(), count);
    std::printf("  most requests in a run: %llu\n",
                static_cast<unsigned long long>(most_requests_));
  }
  void forget() { tally_.clear(); }
  const std::map<std::string, unsigned>& tally() const { return tally_; }

 private:
  test::AlteredImage& image_;
  const ids::KernelInfo* info_;
  std::map<std::string, unsigned> tally_;
  std::uint64_t most_requests_ = 0;
};

long resident_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

int run(const std::string& image_path, const std::string& profile_path, unsigned runs,
        unsigned seed) {
  auto inputs = test::open_inputs(image_path, profile_path);
  if (!inputs) {
    std::printf("%s\n", inputs.error().message().c_str());
    return 2;
  }
  auto& image = inputs->image;
  Runs all{image, inputs->profile};
  image.record();
  if (!all.once("unaltered") || all.tally().count("check translation: clean") == 0) {
    all.print();
    return 2;
  }
  image.collect_pointers();
  all.forget();

  const long before = resident_kib();
  unsigned failed = 0;
  std::signal(SIGALRM, say_which);
  for (unsigned i = 0; i < runs; ++i) {
    std::mt19937_64 random{seed + i};
    current_seed = static_cast<std::sig_atomic_t>(seed + i);
    image.alter(random, static_cast<unsigned>(random() % 4) + 1);
    alarm(kHangSeconds);
    if (!all.once("seed " + std::to_string(seed + i))) ++failed;
  }
  alarm(0);
  all.print();
  const long growth = resident_kib() - before;
  std::printf("  memory grew by %ld KiB, some of it the image's\n", growth);
  const auto image_kib = static_cast<long>(image.image().frame_end() * test::kPageBytes / 1024);
  if (growth > kMaxGrowthKib + image_kib) ++failed;
  std::printf("Ok: %u\nFail: %u\n", runs - std::min(failed, runs), failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Read an image that an intruder altered.", "hostile-image"};
  std::string image, profile;
  unsigned runs = 100, seed = 1;
  app.add_option("image", image)->required();
  app.add_option("profile", profile)->required();
  app.add_option("--runs", runs);
  app.add_option("--seed", seed);
  CLI11_PARSE(app, argc, argv);
  return run(image, profile, runs, seed);
}
