// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/profile.hpp>
#include <sevmon/result.hpp>
#include <sevmon/transport.hpp>

#include "address.hpp"
#include "options.hpp"
#include "output.hpp"
#include "target.hpp"

namespace sevmon::cli {

/// What the commands share: settings, output, one channel, the profiles and the kernel that runs.
class Session {
 public:
  Options options;
  Output output;
  /// Set by a command that connects again and again, and reads its key anew each time: it is not
  /// made another user without --user.
  bool reconnects = false;

  /// Connect on first use. @return kUsage, kKey, and errors of Channel::open().
  common::Result<ids::Channel*> channel();

  /// A channel of its own with these options; reads the key file anew.
  /// @return as channel().
  common::Result<std::unique_ptr<ids::Channel>> open_channel(
      const ids::ChannelOptions& channel_options);
  /// Is the target one that open_channel() can try, as far as its name says? @return kUsage.
  common::Result<void> check_target() const;

  /// Load the profiles on first use. @return kUsage, kNotFound; errors of Profile::load() when
  ///         --profile names a file.
  common::Result<std::vector<const ids::KernelInfo*>> profiles();

  using FirstRanges = std::function<std::vector<ids::Range>(const ids::KernelInfo&)>;
  /// Attach on first use.
  common::Result<ids::Kernel*> kernel(const FirstRanges& first_ranges = {});

  common::DomId domain() const { return {options.domain.value_or(SEVMON_DOMID_DOM0)}; }

  /// Where the virtual items of a command go: the kernel's pinned table, or --root.
  common::Result<ids::Root> root(const std::string& root_option);
  /// Address of `place`; a symbol needs the kernel.
  common::Result<common::Gva> resolve(const Place& place);

  /// The key file that the channel's agent has, once there is a channel; empty for an image.
  const std::string& key_path() const { return key_path_; }

  /// More for --stats, of the command itself: numbers.
  Json command_stats = Json::object();
  /// For --stats, once the command is done.
  void collect_stats();

 private:
  /// Before the first byte from outside.
  common::Result<void> confine_process() const;
  common::Result<Target> target() const;
  common::Result<std::unique_ptr<ids::FrameTransport>> reach(const Target& target,
                                                             std::chrono::milliseconds timeout);
  common::Result<std::unique_ptr<ids::Channel>> open_agent(const Target& target,
                                                           const ids::ChannelOptions& options);

  std::shared_ptr<ids::ShmLane> lane_;  // longer than any channel through it
  std::unique_ptr<ids::Channel> channel_;
  std::string key_path_;
  std::vector<ids::Profile> loaded_;
  std::optional<ids::Kernel> kernel_;
};

/// Did the agent look at the items at all? @return kRefused saying why not.
common::Result<void> check_answer(const ids::Response& response);

/// "vcpu:N", "frame:0xF" or "frame:0xF:LEVELS". @return kUsage.
common::Result<ids::Root> parse_root(const std::string& text);

}  // namespace sevmon::cli
