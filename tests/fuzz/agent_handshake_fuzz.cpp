// SPDX-License-Identifier: Apache-2.0
//
// Target: HELLO and INITIATE. The input is a mask over a genuine INITIATE, then a frame.
// Properties: only the unaltered INITIATE makes a session; whatever else changes no challenge,
// makes none, and is counted once; a HELLO's answer is the same for the same id.
#include "support/fake_session.hpp"
#include "support/fuzz_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  FuzzInput input{data, size};
  FakeHost host;
  FakeAgent agent{host};

  const auto before = challenge(agent);
  Initiator initiator{test_key().ids_id, test_key().psk, before};
  auto frame = initiator.frame();
  const auto mask = input.take(frame.size());
  for (std::size_t i = 0; i < frame.size(); ++i) frame[i] ^= mask[i];
  const bool genuine = frame == initiator.frame();
  const auto answer = agent.frame(frame);
  if (frame[0] == SEVMON_FRAME_INITIATE) {
    must((answer.rc == SEVMON_HANDSHAKE_FRAME_BYTES) == genuine, "only a genuine INITIATE passes");
    must(agent.count(SEVMON_COUNT_HANDSHAKES) == genuine, "and makes a session");
  }
  must((challenge(agent) == before) != genuine, "and only it spends the challenge");

  const auto second = input.take(SEVMON_HANDSHAKE_FRAME_BYTES);
  const auto first_answer = agent.frame(second), second_answer = agent.frame(second);
  must(first_answer.frame == second_answer.frame, "the same for the same HELLO");
  must(first_answer.rc < 0 || second[0] == SEVMON_FRAME_HELLO, "only HELLO is answered");
  must(sevmon_is_zero(&agent.work().scratch.handshake, sizeof(sevmon_handshake_work)),
       "scratch memory is wiped");
  return 0;
}
