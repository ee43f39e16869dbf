// SPDX-License-Identifier: Apache-2.0
//
// Programs loaded and run by the IDS's end in the agent's own code.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <sevmon/programs.hpp>

#include "ids/channel/hostile_wire.hpp"
#include "support/program_client.hpp"

namespace sevmon::ids::test {

class ProgramsTest : public ::testing::Test, public Responder {
 protected:
  ProgramsTest() {
    options_.answer_timeout = std::chrono::seconds{20};
    const auto file = tests::key_file({tests::test_key()});
    channel_ = *Channel::open(std::make_unique<HostileWire>(*this, attack_),
                              *Key::parse(std::as_bytes(std::span{file})), options_);
  }

  std::optional<Bytes> answer(std::span<const std::byte> frame) override {
    host_.advance_ns(request_ns_);
    auto answer = agent_.frame(as_u8(frame), *work_);
    for (unsigned i = 0; answer.rc == -ERESTART; ++i) {
      if (i >= abandon_after_) return std::nullopt;
      answer = agent_.go_on(sevmon_work_token(work_.get()), *work_);
    }
    if (answer.rc <= 0) return std::nullopt;
    const auto bytes = std::as_bytes(std::span{answer.frame});
    return Bytes{bytes.begin(), bytes.end()};
  }

  static tests::Image echo() {  // append(input); return 5
    tests::BpfProgram program;
    program.call(SEVMON_HELPER_APPEND).mov(0, 5).exit();
    return tests::Image{program};
  }
  static tests::Image endless() {
    tests::BpfProgram program;
    program.jump(-1).exit();
    return tests::Image{program};
  }
  static std::span<const std::byte> bytes(const tests::Image& image) {
    return std::as_bytes(std::span{image.bytes});
  }
  static std::span<const std::byte> text(std::string_view text) {
    return std::as_bytes(std::span{text});
  }

  tests::FakeHost host_;
  tests::FakeAgent agent_{host_};
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
  unsigned abandon_after_ = ~0u;
  std::uint64_t request_ns_ = 0;  // that go by until one is answered
  Attack attack_;
  ChannelOptions options_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace sevmon::ids::test
