// SPDX-License-Identifier: Apache-2.0
//
// Several CPUs in the agent at once. Run under -Db_sanitize=thread too.
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

constexpr unsigned kCpus = 3;

/// Each CPU runs `body(cpu, its work memory)` at the same moment.
template <typename Body>
void on_all_cpus(Body body) {
  std::barrier start{kCpus};
  std::vector<std::jthread> cpus;
  for (unsigned cpu = 0; cpu < kCpus; ++cpu)
    cpus.emplace_back([&, cpu] {
      const auto work = std::make_unique<sevmon_work>();
      start.arrive_and_wait();
      body(cpu, *work);
    });
}

TEST(Concurrency, OneRequestFromAllCpusGetsOneAnswer) {
  FakeHost host;
  FakeAgent agent{host};
  const auto session = shake_hands(agent, {.size_class = SEVMON_CLASS_1_PAGE});
  constexpr unsigned kRequests = 200;
  std::vector<Bytes> frames;
  for (unsigned n = 0; n < kRequests; ++n) frames.push_back(session.request(n, request_body({})));

  std::array<std::atomic<unsigned>, kRequests> answers{};
  on_all_cpus([&](unsigned, sevmon_work& work) {
    for (unsigned n = 0; n < kRequests; ++n)
      if (agent.frame(frames[n], work).rc > 0) ++answers[n];
  });
  for (unsigned n = 0; n < kRequests; ++n) EXPECT_EQ(answers[n], 1u) << n;
  EXPECT_EQ(agent.count(SEVMON_COUNT_ANSWERS), kRequests);
  EXPECT_EQ(agent.count(SEVMON_COUNT_REPLAYED), kRequests * (kCpus - 1));
}

TEST(Concurrency, OneInitiateFromAllCpusMakesOneSession) {
  FakeHost host;
  FakeAgent agent{host};
  for (unsigned round = 0; round < 20; ++round) {
    const Initiator initiator{test_key().ids_id, test_key().psk, challenge(agent)};
    std::atomic<unsigned> accepts = 0;
    on_all_cpus([&](unsigned, sevmon_work& work) {
      if (agent.frame(initiator.frame(), work).rc > 0) ++accepts;
    });
    EXPECT_EQ(accepts, 1u) << round;
  }
  EXPECT_EQ(agent.count(SEVMON_COUNT_HANDSHAKES), 20u);
}

/// Sessions are replaced, closed and evicted while requests for them are under way: every answer
/// verifies under its own session's keys, and no number is answered twice.
TEST(Concurrency, SessionsComeAndGoUnderRequests) {
  FakeHost host;
  FakeAgent agent{host, {test_key(0), test_key(1), test_key(2)}};
  std::atomic<unsigned> answered = 0, forged = 0;
  on_all_cpus([&](unsigned cpu, sevmon_work& work) {
    const auto key = test_key(static_cast<std::uint8_t>(cpu % 2));  // two CPUs share an IDS
    for (unsigned round = 0; round < 30; ++round) {
      host.advance_seconds(0.2);
      const auto hello = agent.frame(hello_frame(key.ids_id), work);
      Initiator initiator{key.ids_id,
                          key.psk,
                          hello.frame,
                          {.connection_id = {0xc0, static_cast<std::uint8_t>(round % 5)},
                           .size_class = SEVMON_CLASS_1_PAGE}};
      const auto accept = agent.frame(initiator.frame(), work);
      if (accept.rc < 0) continue;  // the other CPU spent the challenge
      const auto session = initiator.finish(accept.frame);
      for (std::uint64_t n = 0; n < 4; ++n) {
        const auto body = n == 3 && round % 3 == 0 ? request_body({simple_item(SEVMON_ITEM_CLOSE)})
                                                   : request_body({});
        const auto answer = agent.frame(session.request(n, body), work);
        if (answer.rc < 0) continue;  // replaced, closed or evicted by the other CPU
        ++answered;
        if (!session.open(answer.frame)) ++forged;
      }
    }
  });
  EXPECT_GT(answered, 50u);
  EXPECT_EQ(forged, 0u);
  EXPECT_EQ(agent.count(SEVMON_COUNT_ANSWERS), answered);
  EXPECT_EQ(agent.count(SEVMON_COUNT_FORGED), 0u);
}

}  // namespace
}  // namespace sevmon::tests
