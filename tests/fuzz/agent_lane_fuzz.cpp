// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_lane_poll() and sevmon_lane_is_due(), over memory that the fuzzer owns between two
// polls. The input is a list of steps: bytes anywhere in the lane, indices, claims, records of any
// frame, requests of an IDS with the keys, a program's run, and polls.
// Properties: a poll writes its line and the answers' ring only; indices move by whole records and
// nobody but the agent moves the agent's; what is put is one record that an IDS takes, and what is
// sealed verifies; nothing is served without a claim; nothing stays held.
#include <memory>

#include "lane.h"
#include "support/fuzz_input.hpp"
#include "support/lane_client.hpp"
#include "support/program_client.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint32_t kMostRecord = 62032;

/// One for all inputs: a mebibyte is slow to clear. What an input can leave in its rings is what
/// the next one can write there.
LaneMemory& memory() {
  static LaneMemory one;
  return one;
}

class Steps {
 public:
  explicit Steps(FuzzInput input) : input_{input} {
    host_.guest.map(0xffffffff81000000, Bytes(4096, 0x5a));
    sevmon_lane_init(&lane_, memory().data(), 1);
    client_.claim(1);
    poll();
  }

  void run() {
    for (unsigned step = 0; step < 64 && !input_.empty(); ++step) {
      switch (input_.take(1)[0] % 9) {
        case 0:
          write(input_.number<std::uint32_t>() % SEVMON_LANE_BYTES);
          break;
        case 1:
          write(input_.number<std::uint8_t>());  // the lines
          break;
        case 2:
          memory().ids().request_tail += input_.number<std::uint32_t>();
          break;
        case 3:
          memory().ids().response_head += input_.number<std::uint32_t>();
          break;
        case 4:
          client_.claim(input_.number<std::uint8_t>());
          break;
        case 5:
          send(input_.take(input_.number<std::uint16_t>() % 1100));
          break;
        case 6:
          send(client().run_frame(program().name(), {}, 1 + input_.number<std::uint16_t>() * 64));
          break;
        case 7:
          take_all();
          break;
        case 8:
          host_.advance_ns(input_.number<std::uint32_t>() * 16ULL);
          break;
      }
      for (unsigned polls = input_.take(1)[0] % 4; polls > 0; --polls) poll();
    }
  }

 private:
  void write(std::size_t at) {
    for (const auto byte : input_.take(input_.number<std::uint8_t>() % 80))
      memory().data()[at++ % SEVMON_LANE_BYTES] = byte;
  }

  void send(ByteView frame) { client_.send(frame, input_.number<std::uint16_t>()); }

  void take_all() { memory().ids().response_head = lane_.response_tail; }

  /// With the keys, and a program that does not end by itself.
  ProgramClient& client() {
    if (!client_with_key_)
      client_with_key_.emplace(agent_, InitiatorOptions{.connection_id = {1}, .size_class = 0});
    return *client_with_key_;
  }
  const Image& program() {
    if (image_) return *image_;
    BpfProgram program;
    program.jump(-1).mov(0, 0).exit();
    image_.emplace(program);
    client().load_all(*image_);
    return *image_;
  }

  void poll() {
    const Bytes before{memory().data() + 64, memory().data() + SEVMON_SHM_CONTROL_BYTES};
    const auto was = lane_;
    const auto claim = memory().ids().claim;
    const bool was_due = sevmon_lane_is_due(&lane_);
    const auto state = sevmon_lane_poll(&agent_.state(), &lane_, work_.get());
    must(std::equal(before.begin(), before.end(), memory().data() + 64), "only its own line");
    must(!host_.frames_held && !host_.targets_held, "nothing stays held");
    must(was_due || state == SEVMON_LANE_NOTHING || state == SEVMON_LANE_BLOCKED,
         "what is not due is nothing that can be done");
    must(lane_.claim == claim, "the claim that is there is seen");
    must(lane_.request_head % 16 == 0 && lane_.response_tail % 16 == 0, "whole records");
    const auto& line = memory().agent();
    if (state == SEVMON_LANE_NOTHING || state == SEVMON_LANE_BLOCKED) {
      must(lane_.request_head == was.request_head && lane_.response_tail == was.response_tail,
           "nothing taken, nothing put");
      if (was.serves && !lane_.serves) must(line.accepted == 0, "who is dropped can see it");
      return;
    }
    must(claim != 0 || was.claim != 0, "nobody is nobody");
    if (was.claim != claim) {
      must(line.accepted == claim && line.request_head == 0 && line.response_tail == 0, "greeted");
      return;
    }
    must(was.serves && lane_.serves, "served only with a claim");
    if (lane_.request_head != was.request_head) {
      must(!was.runs, "one at a time");
      must(lane_.request_head - was.request_head <= 1040, "one record of a request's size");
      must(line.request_head == lane_.request_head, "and said");
    }
    if (state == SEVMON_LANE_ANSWERED) check_answer(was.response_tail);
  }

  void check_answer(std::uint32_t from) {
    Bytes bytes;
    for (std::uint32_t at = from; at != lane_.response_tail; ++at) {
      must(bytes.size() < kMostRecord, "one record");
      bytes.push_back(memory().response(at));
    }
    must(memory().agent().response_tail == lane_.response_tail, "and said");
    const auto envelope = load<sevmon_envelope>(bytes);
    must(envelope.zero == 0, "reserved");
    must(bytes.size() == (16 + envelope.bytes + 15) / 16 * 16, "its whole record");
    must(sevmon_is_zero(&bytes[16 + envelope.bytes], bytes.size() - 16 - envelope.bytes),
         "padding is zero");
    if (envelope.status) {
      must(envelope.bytes == 0 &&
               (envelope.status == SEVMON_NOTICE_REJECTED || envelope.status == SEVMON_NOTICE_BUSY),
           "a notice");
      return;
    }
    must(envelope.bytes == 144 || envelope.bytes == 4668, "an answer's size");
    if (envelope.bytes == 144) return;
    must(client().opens(ByteView{bytes}.subspan(16, envelope.bytes)), "it verifies");
  }

  FuzzInput input_;
  FakeHost host_;
  FakeAgent agent_{host_};
  sevmon_lane lane_{};
  LaneClient client_{memory()};
  std::optional<ProgramClient> client_with_key_;
  std::optional<Image> image_;
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
};

}  // namespace
}  // namespace sevmon::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sevmon::tests::Steps{{data, size}}.run();
  return 0;
}
