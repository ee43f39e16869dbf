// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>

#include <sevmon/text.hpp>
#include <sevmon/transport.hpp>

#include "confinement.hpp"
#include "image_source.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::chrono::milliseconds kDefaultTimeout{5000};
constexpr std::size_t kMaxProfiles = 64;  // a few MiB each

Error usage(std::string detail) {
  return {ErrorCode::kUsage, std::move(detail)};
}

/// What an agent without the key looks like, and a relay that wants the other key tried: so an old
/// key must not be kept for longer than keys take to change.
bool is_about_key(const Error& error) {
  return error.code == ErrorCode::kRefused || error.code == ErrorCode::kForged;
}

Result<std::vector<ids::Profile>> load_directory(const std::string& path, Output& output,
                                                 bool verbose) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at{path, error}, end; !error && at != end;
       at.increment(error))
    if (at->path().extension() == ".profile") files.push_back(at->path().string());
  if (error) return Error{ErrorCode::kIo, path + ": " + error.message()};
  std::ranges::sort(files);
  std::vector<ids::Profile> profiles;
  for (const auto& file : files) {
    if (profiles.size() == kMaxProfiles)
      return Error{ErrorCode::kTooLarge,
                   path + ": over " + std::to_string(kMaxProfiles) + " profiles; name one"};
    auto profile = ids::Profile::load(file);
    if (profile)
      profiles.push_back(std::move(*profile));
    else if (verbose)
      output.warn(file + ": " + profile.error().message());
  }
  if (profiles.empty())
    return Error{ErrorCode::kNotFound,
                 path + ": no profile there; make one with: sevmon profile build VMLINUZ"};
  return profiles;
}

}  // namespace

Result<void> Session::confine_process() const {
  const bool again = reconnects || options.keys.size() > 1;  // the second key: a second connection
  return confine(again ? SystemCalls::kReconnects : SystemCalls::kSettled,
                 options.user.value_or(reconnects ? "root" : ""));
}

Result<std::unique_ptr<ids::FrameTransport>> Session::reach(const Target& target,
                                                            std::chrono::milliseconds timeout) {
  if (target.kind == Target::Kind::kTcp) return ids::connect_tcp(target.host, target.port, timeout);
  // Once: a confined process could not open it again.
  if (!lane_) {
    auto lane = ids::open_shm(target.path);
    if (!lane) return lane.error();
    lane_ = *std::move(lane);
  }
  if (auto confined = confine_process(); !confined) return confined.error();
  return ids::connect_shm(lane_, timeout);
}

Result<std::unique_ptr<ids::Channel>> Session::open_agent(
    const Target& target, const ids::ChannelOptions& channel_options) {
  std::vector<ids::Key> keys;
  for (const auto& path : options.keys) {
    auto key = ids::Key::load(path);
    if (!key) return key.error();
    keys.push_back(std::move(*key));
  }
  std::string failed;
  for (std::size_t i = 0;; ++i) {
    const auto& path = options.keys[i];
    auto transport = reach(target, channel_options.answer_timeout);
    if (!transport) return transport.error();
    if (auto confined = confine_process(); !confined) return confined.error();
    auto opened = ids::Channel::open(std::move(*transport), std::move(keys[i]), channel_options);
    if (opened) {
      // Once: a watch connects again and again.
      if (!failed.empty() && key_path_ != path)
        output.warn("key " + ids::escape(path) + " works, not " + failed);
      key_path_ = path;
      return opened;
    }
    if (i + 1 == keys.size() || !is_about_key(opened.error())) {
      if (failed.empty()) return opened;
      return Error{opened.error().code, "neither with " + failed + ", nor with " +
                                            ids::escape(path) + ": " + opened.error().detail};
    }
    failed = ids::escape(path) + " (" + opened.error().message() + ')';
  }
}

Result<Target> Session::target() const {
  if (!options.connect)
    return usage("no target: --connect tcp:HOST:PORT, shm:FILE or image:FILE is needed");
  auto target = parse_target(*options.connect);
  if (target && target->needs_key() && options.keys.empty())
    return usage("no key: --key FILE is needed to reach an agent");
  return target;
}

Result<void> Session::check_target() const {
  const auto found = target();
  return found ? Result<void>{} : found.error();
}

Result<std::unique_ptr<ids::Channel>> Session::open_channel(
    const ids::ChannelOptions& channel_options) {
  const auto found = target();
  if (!found) return found.error();
  if (found->kind == Target::Kind::kImage)
    return open_image(found->path, channel_options, [this] { return confine_process(); });
  return open_agent(*found, channel_options);
}

Result<ids::Channel*> Session::channel() {
  if (channel_) return channel_.get();
  ids::ChannelOptions channel_options;
  channel_options.answer_timeout = options.timeout.value_or(kDefaultTimeout);
  auto opened = open_channel(channel_options);
  if (!opened) return opened.error();
  channel_ = std::move(*opened);
  return channel_.get();
}

Result<std::vector<const ids::KernelInfo*>> Session::profiles() {
  if (loaded_.empty()) {
    const std::string path = options.profile.value_or(default_profile_dir());
    std::error_code error;
    if (!path.empty() && std::filesystem::is_directory(path, error)) {
      auto loaded = load_directory(path, output, options.verbose);
      if (!loaded) return loaded.error();
      loaded_ = std::move(*loaded);
    } else if (!options.profile) {
      return usage("no profile: make one with: sevmon profile build VMLINUZ");
    } else {
      auto profile = ids::Profile::load(path);
      if (!profile) return profile.error();
      loaded_.push_back(std::move(*profile));
    }
  }
  std::vector<const ids::KernelInfo*> infos;
  for (const auto& profile : loaded_) infos.push_back(&profile);
  return infos;
}

Result<ids::Kernel*> Session::kernel(const FirstRanges& first_ranges) {
  if (kernel_) return &*kernel_;
  // Without a profile there is no point in connecting, without a target none in loading profiles.
  if (auto ok = check_target(); !ok) return ok.error();
  const auto infos = profiles();
  if (!infos) return infos.error();
  const auto opened = channel();
  if (!opened) return opened.error();
  ProgressBar bar{"searching the image"};
  const ids::AttachOptions attach{
      .domain = domain(),
      .first_ranges = first_ranges,
      .progress = [&bar](std::uint64_t done, std::uint64_t total) { bar.update(done, total); }};
  auto attached = ids::Kernel::attach(**opened, *infos, attach);
  if (!attached) return attached.error();
  kernel_ = std::move(*attached);
  return &*kernel_;
}

Result<ids::Root> Session::root(const std::string& root_option) {
  if (!root_option.empty()) return parse_root(root_option);
  const auto attached = kernel();
  if (!attached) return attached.error();
  return (*attached)->root();
}

Result<common::Gva> Session::resolve(const Place& place) {
  if (place.symbol.empty()) return common::Gva{place.offset};
  const auto attached = kernel();
  if (!attached) return attached.error();
  const auto symbol = (*attached)->symbol(place.symbol);
  if (!symbol) return symbol.error();
  if (symbol->value > UINT64_MAX - place.offset)
    return usage(to_string(place) + ": past the end of the address space");
  return *symbol + place.offset;
}

void Session::collect_stats() {
  if (!options.stats || !channel_) return;
  const auto stats = channel_->stats();
  Json all = {{"round_trips", stats.round_trips},
              {"requests", stats.frames_sent},
              {"responses", stats.frames_received},
              {"bytes_sent", stats.bytes_sent},
              {"bytes_received", stats.bytes_received},
              {"rekeys", stats.rekeys},
              {"discarded", stats.discarded}};
  all.update(command_stats);
  output.set_stats(std::move(all));
}

Result<void> check_answer(const ids::Response& response) {
  switch (response.head.status) {
    case SEVMON_ANSWER_OK:
      return {};
    case SEVMON_ANSWER_NO_DOMAIN:
      return Error{ErrorCode::kRefused, "the agent has no such domain"};
    case SEVMON_ANSWER_NO_ROOT:
      return Error{ErrorCode::kRefused, "no such vCPU, or it is not in 64-bit paging mode"};
    default:
      return Error{ErrorCode::kRefused,
                   "the agent refuses the request: status " + std::to_string(response.head.status)};
  }
}

Result<ids::Root> parse_root(const std::string& text) {
  const Error wrong = usage("--root " + ids::escape(text) +
                            ": vcpu:N, frame:0xFRAME or frame:0xFRAME:LEVELS is needed");
  const std::string_view all = text;
  const auto number = [](std::string_view digits, int base) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
    if (digits.empty() || error != std::errc{} || stop != end) return std::nullopt;
    return value;
  };
  if (all.starts_with("vcpu:")) {
    const auto vcpu = number(all.substr(5), 10);
    if (!vcpu || *vcpu >= 0xffff) return wrong;
    return ids::Root{.kind = ids::Root::Kind::kVcpu, .vcpu = static_cast<std::uint16_t>(*vcpu)};
  }
  if (!all.starts_with("frame:0x")) return wrong;
  auto rest = all.substr(8);
  std::uint8_t levels = 4;
  if (const auto colon = rest.find(':'); colon != rest.npos) {
    const auto given = rest.substr(colon + 1);
    if (given != "4" && given != "5") return wrong;
    levels = given == "4" ? 4 : 5;
    rest = rest.substr(0, colon);
  }
  const auto frame = number(rest, 16);
  if (!frame || *frame >> 40 != 0) return wrong;  // 52 physical address bits
  return ids::Root{.kind = ids::Root::Kind::kFrame, .vcpu = 0, .frame = {*frame}, .levels = levels};
}

}  // namespace sevmon::cli
