// SPDX-License-Identifier: Apache-2.0
//
// A FakeHost, an agent over it, and the reference initiator, put together.
#pragma once

#include "support/fake_host.hpp"
#include "support/initiator.hpp"

namespace sevmon::tests {

/// HELLO: the agent's CHALLENGE.
inline Bytes challenge(FakeAgent& agent, const Id& ids_id = test_key().ids_id) {
  auto answer = agent.frame(hello_frame(ids_id));
  require(answer.rc == SEVMON_HANDSHAKE_FRAME_BYTES, "no CHALLENGE");
  return std::move(answer.frame);
}

/// HELLO, INITIATE, ACCEPT. Throws unless there is an ACCEPT that verifies.
inline ReferenceSession shake_hands(FakeAgent& agent, const InitiatorOptions& options = {},
                                    const TestKey& key = test_key()) {
  Initiator initiator{key.ids_id, key.psk, challenge(agent, key.ids_id), options};
  const auto answer = agent.frame(initiator.frame());
  require(answer.rc == SEVMON_HANDSHAKE_FRAME_BYTES, "no ACCEPT");
  return initiator.finish(answer.frame);
}

/// One request through an established session. Throws unless an answer verifies.
inline ReferenceResponse ask(FakeAgent& agent, const ReferenceSession& session, std::uint64_t n,
                             const sevmon_request_body& body) {
  const auto answer = agent.frame(session.request(n, body));
  require(answer.rc == static_cast<int>(SEVMON_RESPONSE_FRAME_BYTES(session.size_class())),
          "no RESPONSE");
  auto opened = session.open(answer.frame);
  require(opened.has_value(), "RESPONSE does not verify");
  return ReferenceResponse{std::move(*opened)};
}

}  // namespace sevmon::tests
