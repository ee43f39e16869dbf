// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_agent_frame(), as the relay and as an IDS with the keys. The input is a list of
// steps: raw frames, handshakes, requests with any body or header, silences.
// Properties: a frame is answered with the one size of its answer or refused; what is sealed
// verifies, says the request's number, and lies as docs/protocol.md says; nothing stays held, no
// scratch memory stays unwiped.
#include "support/fake_session.hpp"
#include "support/fuzz_input.hpp"

namespace sevmon::tests {
namespace {

class Steps {
 public:
  Steps(FuzzInput input) : input_{input} {
    host_.guest.map(0xffffffff81000000, Bytes(4096, 0x5a));
    host_.forbidden_start = 0xffff800000000000;
    host_.forbidden_end = 0xffff880000000000;
  }

  void run() {
    for (unsigned step = 0; step < 40 && !input_.empty(); ++step) switch (input_.take(1)[0] % 5) {
        case 0:
          raw();
          break;
        case 1:
          shake();
          break;
        case 2:
          host_.advance_ns(input_.number<std::uint32_t>() * 64ULL);
          break;
        case 3:
          if (session_) request(session_->header(n_++));
          break;
        case 4:
          if (session_) {
            auto header = session_->header(n_);
            const auto mask = input_.take(16);
            auto bytes = bytes_of(header);
            for (unsigned i = 0; i < 16; ++i) bytes[i] ^= mask[i];
            request(load<sevmon_header>(bytes));
          }
          break;
      }
  }

 private:
  FakeAgent::Answer deliver(const Bytes& frame) {
    auto answer = agent_.frame(frame);
    must(answer.rc == -EBADMSG || answer.rc == -EBUSY || answer.rc == 144 || answer.rc == 4668 ||
             answer.rc == 16956 || answer.rc == 62012,
         "an answer of a known size, or a refusal");
    must(!host_.frames_held && !host_.targets_held, "nothing stays held");
    must(agent_.work().scratch.handshake.initiate.size_class == 0 &&
             sevmon_is_zero(agent_.work().scratch.request.session.request_key, 32),
         "scratch memory is wiped");
    return answer;
  }

  void raw() {
    const auto frame = input_.take(input_.number<std::uint16_t>() % 1100);
    const auto answer = deliver(frame);
    must(answer.rc < 0 || frame[0] == SEVMON_FRAME_HELLO, "without a key only HELLO is answered");
  }

  void shake() {
    InitiatorOptions options{.connection_id = {input_.take(1)[0]}, .size_class = input_.take(1)[0]};
    options.zero[0] = input_.take(1)[0] % 4 == 3;
    Initiator initiator{test_key().ids_id, test_key().psk, challenge(agent_), options};
    const auto answer = deliver(initiator.frame());
    if (answer.rc < 0) return;
    const auto session = initiator.finish(answer.frame);
    const bool bad = options.size_class >= SEVMON_CLASSES || options.zero[0];
    must(bad == (session.accept().status == SEVMON_ACCEPT_BAD_REQUEST), "payload is checked");
    must((session.accept().status == SEVMON_ACCEPT_OK) == (session.number() != 0), "number");
    if (session.number()) session_ = session, n_ = 0;
  }

  void request(const sevmon_header& header) {
    const auto body = input_.take(SEVMON_REQUEST_BODY_BYTES);
    const auto frame = session_->request(header, body);
    const auto answer = deliver(frame);
    if (answer.rc < 0) return;
    must(header.session == session_->number() && header.size_class == session_->size_class(),
         "the header is the session's");
    must(deliver(frame).rc < 0, "a number is answered once");
    const auto opened = session_->open(answer.frame);
    must(opened.has_value(), "the answer verifies");
    check(ReferenceResponse{*opened}, load<sevmon_request_body>(body), header.n);
  }

  void check(const ReferenceResponse& response, const sevmon_request_body& body, std::uint64_t n) {
    must(response.head.n == n, "the answer says its number");
    must(response.head.items == (body.head.items > SEVMON_MAX_ITEMS ? 0 : body.head.items),
         "the answer repeats the count");
    std::size_t at = 0, end = 0;
    for (unsigned i = 0; i < SEVMON_MAX_ITEMS; ++i) {
      const auto& result = response.results[i];
      const bool answered = response.head.status == SEVMON_ANSWER_OK && i < body.head.items;
      must(answered || (!result.status && !result.bytes), "no results beyond the items");
      if (!result.bytes) continue;
      at = (at + 7) / 8 * 8;
      if (body.items[i].type <= SEVMON_ITEM_READ_PHYSICAL)
        must(result.bytes == body.items[i].bytes, "a read keeps its room");
      if (body.items[i].type <= SEVMON_ITEM_READ_PHYSICAL && result.status)
        must(sevmon_is_zero(&response.data()[at], result.bytes), "a failed read is zeros");
      end = at += result.bytes;
    }
    must(response.head.data_bytes == end && end <= response.data().size(), "used bytes");
    must(sevmon_is_zero(response.data().data() + end, response.data().size() - end),
         "what is not used is zero");
  }

  FuzzInput input_;
  FakeHost host_;
  FakeAgent agent_{host_};
  std::optional<ReferenceSession> session_;
  std::uint64_t n_ = 0;
};

}  // namespace
}  // namespace sevmon::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sevmon::tests::Steps{{data, size}}.run();
  return 0;
}
