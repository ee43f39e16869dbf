// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include <sevmon/text.hpp>

#include "command.hpp"
#include "dump/chunk_reader.hpp"
#include "dump/compressor.hpp"
#include "dump/core_file.hpp"
#include "dump/identity.hpp"
#include "dump/kernel_map.hpp"
#include "dump_file.hpp"
#include "dump_report.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// A target chooses how far its frames go: without --range no further than 1 TiB.
constexpr std::uint64_t kMaxFrames = 1ULL << 28;
constexpr std::uint64_t kPhysicalEnd = 1ULL << 52;

struct Arguments {
  std::string file;
  std::string format = "elf";
  std::vector<std::string> ranges;
  bool zstd = false;
  bool resume = false;
  bool force = false;
  bool progress = false;
};

Error usage(std::string text) {
  return {ErrorCode::kUsage, std::move(text)};
}

/// "0x100000:16M": whole pages that have a part in it.
Result<ids::FrameRun> parse_range(const std::string& text) {
  const auto colon = text.find(':');
  const auto wrong = usage("--range " + ids::escape(text) + ": 0xADDRESS:LENGTH is needed");
  if (colon == text.npos) return wrong;
  const auto place = parse_place(text.substr(0, colon));
  const auto bytes = parse_length(text.substr(colon + 1));
  if (!place || !bytes || !place->symbol.empty()) return wrong;
  if (place->offset >= kPhysicalEnd || *bytes > kPhysicalEnd - place->offset)
    return usage("--range " + ids::escape(text) + ": past the end of physical addresses");
  const auto first = place->offset / SEVMON_PAGE_BYTES;
  const auto end = (place->offset + *bytes + SEVMON_PAGE_BYTES - 1) / SEVMON_PAGE_BYTES;
  return ids::FrameRun{first, end - first};
}

// Set by the first SIGINT, SIGTERM or SIGHUP; the second one is deadly.
std::atomic<bool> is_stopped{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { is_stopped = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  // A file over the limit: an error of write(), not a death.
  std::signal(SIGXFSZ, SIG_IGN);
}

/// Puts chunks into the file, as its format has them.
class ChunkWriter {
 public:
  ChunkWriter(DumpFile& file, const DumpPlan& plan, DumpProgress& progress, DumpMeter& meter)
      : file_{file}, plan_{plan}, progress_{progress}, meter_{meter} {}

  Result<void> take(const ids::Chunk& chunk) {
    if (auto ok = write(chunk); !ok) return ok;
    const DumpStep step{.read = chunk.frames,
                        .present = {chunk.present.begin(), chunk.present.end()},
                        .file_bytes = file_.bytes(),
                        .first_ns = chunk.first_ns,
                        .last_ns = chunk.last_ns};
    step.add_to(progress_);
    if (auto ok = file_.done(step); !ok) return ok;
    // Better now than when all of it is there.
    if (plan_.format == "elf" && progress_.present.runs().size() >= ids::kMaxCoreSegments)
      return Error{ErrorCode::kTooLarge,
                   "the target is in more pieces than a core can have; a LiME "
                   "file (--format lime) can have them"};
    meter_.update(progress_.read.frames());
    return {};
  }

 private:
  Result<void> write(const ids::Chunk& chunk) {
    buffer_.clear();
    for (const auto& run : chunk.present) {
      if (plan_.format == "lime") {
        const auto header = ids::encode_lime_header(run);
        if (auto ok = put(header); !ok) return ok;
      }
      if (auto ok = put(chunk.bytes_of(run)); !ok) return ok;
    }
    if (buffer_.empty()) return {};
    const auto frame = compressor_.compress(buffer_);
    return frame ? file_.append(*frame) : frame.error();
  }
  Result<void> put(std::span<const std::byte> bytes) {
    if (!plan_.zstd) return file_.append(bytes);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }

  DumpFile& file_;
  const DumpPlan& plan_;
  DumpProgress& progress_;
  DumpMeter& meter_;
  ids::Compressor compressor_;
  std::vector<std::byte> buffer_;  // of one chunk, to compress
};

class Dump {
 public:
  Dump(Session& session, const Arguments& arguments) : session_{session}, arguments_{arguments} {}

  Result<int> run() {
    for (auto step : {&Dump::prepare, &Dump::look, &Dump::plan, &Dump::read})
      if (auto ok = (this->*step)(); !ok) return ok.error();
    return finish();
  }

 private:
  /// Before anything is read that comes from outside.
  Result<void> prepare() {
    if (arguments_.file == "-" && (arguments_.format == "elf" || session_.output.json()))
      return usage("standard output takes --format lime, without --json");
    if (arguments_.resume && arguments_.force) return usage("--resume or --force, not both");
    std::vector<ids::FrameRun> runs;
    for (const auto& text : arguments_.ranges) {
      const auto run = parse_range(text);
      if (!run) return run.error();
      runs.push_back(*run);
    }
    ranges_ = ids::merge(std::move(runs));
    if (auto ok = session_.check_target(); !ok) return ok;
    // Kernels are asked for only when somebody has said which.
    if (arguments_.format == "elf" && session_.options.profile)
      if (auto loaded = session_.profiles(); !loaded) return loaded.error();
    const auto begin = arguments_.resume  ? DumpFile::Begin::kResume
                       : arguments_.force ? DumpFile::Begin::kAnew
                                          : DumpFile::Begin::kNew;
    auto file = DumpFile::open(arguments_.file, begin, arguments_.force);
    if (!file) return file.error();
    file_ = std::move(*file);
    stop_on_signals();
    return {};
  }

  /// What the agent and the kernel say of the target.
  Result<void> look() {
    const auto channel = session_.channel();
    if (!channel) return channel.error();
    channel_ = *channel;
    auto facts = ids::read_facts(*channel_, session_.domain());
    if (!facts) return facts.error();
    facts_ = *std::move(facts);
    if (arguments_.format != "elf") return {};
    auto notes = ids::read_vcpu_notes(*channel_, session_.domain(), facts_.status.target_vcpus);
    if (!notes) return notes.error();
    notes_ = *std::move(notes);
    return session_.options.profile ? look_at_kernel() : Result<void>{};
  }

  Result<void> look_at_kernel() {
    const auto kernel = session_.kernel();
    if (!kernel) {
      const auto code = kernel.error().code;
      // A target whose kernel is another one is worth a dump all the more.
      if (code != ErrorCode::kMismatch && code != ErrorCode::kNotFound &&
          code != ErrorCode::kNotMapped && code != ErrorCode::kUnsupported)
        return kernel.error();
      session_.output.warn("no virtual addresses in the core: " + kernel.error().message());
      return {};
    }
    auto map = ids::read_kernel_map(*channel_, session_.domain(), **kernel);
    if (!map) return map.error();
    for (const auto& lack : map->lacks) session_.output.warn("not in the core: " + lack);
    map_ = *std::move(map);
    return {};
  }

  Result<void> plan() {
    const auto frames = facts_.status.target_frames;
    if (ranges_.frames() == 0) ranges_ = ids::merge({{0, std::min(frames, kMaxFrames)}});
    if (arguments_.ranges.empty() && frames > kMaxFrames) {
      is_cut_ = true;
      session_.output.warn("the target's frames go to " + ids::hex_address(frames) +
                           "; only 1 TiB is read, --range reads others");
    }
    if (ranges_.frames() == 0) return Error{ErrorCode::kNotFound, "the target has no memory"};
    plan_ = {.format = arguments_.format,
             .zstd = arguments_.zstd,
             .target = {},
             .is_image = facts_.status.host == SEVMON_HOST_IMAGE,
             .domain = session_.domain().value,
             .frames = {ranges_.runs().begin(), ranges_.runs().end()}};
    if (auto ok = name_target(); !ok) return ok;
    if (!file_->resumed()) return file_->begin(plan_);
    if (auto same = check_same(file_->resumed()->plan, plan_); !same)
      return Error{same.error().code,
                   file_->part_path() + " cannot be resumed: " + same.error().detail};
    progress_ = file_->resumed()->progress;
    return {};
  }

  Result<void> name_target() {
    const auto nonce = channel_->boot_nonce();
    plan_.target = ids::hex(std::span<const std::uint8_t>{nonce});
    if (!plan_.is_image) return {};
    const auto identity = ids::image_identity(*channel_, session_.domain(), ranges_);
    if (!identity) return identity.error();
    plan_.target = ids::hex(std::span<const std::uint8_t>{*identity});
    return {};
  }

  Result<void> read() {
    const auto rest = ids::without(ranges_, progress_.read);
    DumpMeter meter{progress_.read.frames(), ranges_.frames(), arguments_.progress};
    ChunkWriter writer{*file_, plan_, progress_, meter};
    const auto done =
        ids::read_chunks(*channel_, session_.domain(), rest, is_stopped,
                         [&writer](const ids::Chunk& chunk) { return writer.take(chunk); });
    // The agent may have been started anew while we read: then this is two targets' memory.
    const auto nonce = channel_->boot_nonce();
    if (!plan_.is_image && ids::hex(std::span<const std::uint8_t>{nonce}) != plan_.target)
      return Error{ErrorCode::kMismatch, "the target was started anew meanwhile"};
    if (done) return {};
    return Error{done.error().code, done.error().detail + unfinished()};
  }

  /// Where an unfinished dump is, for a message's end.
  std::string unfinished() {
    if (file_->is_stream()) return "; the dump is incomplete";
    // As much as can be kept; what ended the dump is worse than what fails here.
    static_cast<void>(file_->sync());
    return "; " + file_->part_path() + " has " +
           binary_size(progress_.read.frames() * SEVMON_PAGE_BYTES) + " of " +
           binary_size(ranges_.frames() * SEVMON_PAGE_BYTES) + ", --resume goes on";
  }

  Result<int> finish() {
    const bool is_complete = progress_.read.frames() == ranges_.frames();
    auto& result = session_.output.result();
    result = describe_dump(plan_, progress_);
    result["file"] = ids::escape(is_complete ? arguments_.file : file_->part_path());
    result["complete"] = is_complete;
    result["virtual_addresses"] = !map_.direct.empty();
    result["vmcoreinfo_bytes"] = map_.vmcoreinfo.size();
    if (!is_complete) {
      session_.output.warn("interrupted" + unfinished());
      return kExitUnknown;
    }
    const auto header = make_header();
    if (!header) return header.error();
    if (auto done = file_->finish(*header); !done) return done.error();
    result["bytes"] = file_->bytes();
    if (!file_->is_stream())
      session_.output.line(ids::escape(arguments_.file) + ": " +
                           binary_size(progress_.present.frames() * SEVMON_PAGE_BYTES) + " in " +
                           std::to_string(progress_.present.runs().size()) + " pieces, " +
                           std::to_string(result["pages_absent"].get<std::uint64_t>()) +
                           " pages are not the target's RAM");
    return is_cut_ ? kExitUnknown : kExitOk;
  }

  Result<std::vector<std::byte>> make_header() {
    if (plan_.format != "elf") return std::vector<std::byte>{};
    auto notes = notes_;
    if (!map_.vmcoreinfo.empty())
      notes.push_back({.owner = "VMCOREINFO", .type = 0, .content = map_.vmcoreinfo});
    const auto text = describe_dump(plan_, progress_).dump();
    const auto bytes = std::as_bytes(std::span{text});
    notes.push_back({.owner = "SEVMON", .type = 0, .content = {bytes.begin(), bytes.end()}});
    const auto runs = progress_.present.runs();
    auto header = ids::encode_core_header(runs, map_.direct, map_.text, notes);
    if (!header && !map_.direct.empty()) {
      session_.output.warn("no virtual addresses in the core: " + header.error().message());
      session_.output.result()["virtual_addresses"] = false;
      header = ids::encode_core_header(runs, {}, {}, notes);
    }
    if (!header || !plan_.zstd) return header;
    return ids::Compressor{}.fill(*std::move(header), ids::kCoreHeaderBytes);
  }

  Session& session_;
  const Arguments& arguments_;
  ids::FrameRuns ranges_;
  std::unique_ptr<DumpFile> file_;
  ids::Channel* channel_ = nullptr;
  ids::TargetFacts facts_;
  std::vector<ids::CoreNote> notes_;
  ids::KernelMap map_;
  DumpPlan plan_;
  DumpProgress progress_;
  bool is_cut_ = false;
};

}  // namespace

void add_dump(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("dump", "write the target's memory to a file");
  command->add_option("FILE", arguments->file, "the file to make (-: standard output, LiME only)")
      ->required();
  command->add_option("--format", arguments->format, "elf (default): a core; or lime")
      ->check(CLI::IsMember({"elf", "lime"}));
  command->add_option("--range", arguments->ranges, "0xADDRESS:LENGTH of physical memory; repeated")
      ->allow_extra_args(false);
  command->add_flag("--zstd", arguments->zstd, "compress with zstd");
  command->add_flag("--resume", arguments->resume, "go on with FILE.part");
  command->add_flag("--force", arguments->force, "replace FILE, and begin FILE.part anew");
  command->add_flag("--progress", arguments->progress,
                    "say how far it is, in lines, where there is no terminal");
  command->callback([arguments, choose] {
    choose("dump", [arguments](Session& session) { return Dump{session, *arguments}.run(); });
  });
}

}  // namespace sevmon::cli
