// SPDX-License-Identifier: Apache-2.0
//
// The table of docs/protocol.md, 4, as a model that knows no cryptography, memory or locks, and
// random sequences of events that must go the same way in the model and in the agent.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

enum class Role { kPending, kCurrent, kPrevious };
enum class Outcome { kAnswered, kDropped, kLimited, kBusy };

/// The table. Sessions are known by a number that the test draws.
class Model {
 public:
  std::uint64_t now = 0;

  /// "INITIATE verifies", for the challenge of `generation`.
  Outcome initiate(unsigned ids, unsigned generation, unsigned connection, unsigned session) {
    auto& state = ids_[ids];
    expire(state);
    if (generation != state.challenge_generation) return Outcome::kDropped;
    refill(state);
    if (state.tokens_ns < kSecond / SEVMON_HANDSHAKE_RATE) return Outcome::kLimited;
    state.tokens_ns -= kSecond / SEVMON_HANDSHAKE_RATE;
    ++state.challenge_generation;

    if (!state.connections.contains(connection) &&
        state.connections.size() == SEVMON_MAX_CONNECTIONS) {
      auto idlest = state.connections.begin();
      for (auto at = idlest; at != state.connections.end(); ++at)
        if (at->second.active < idlest->second.active) idlest = at;
      if (now - idlest->second.active < 10 * kSecond) return Outcome::kBusy;
      state.connections.erase(idlest);
    }
    auto& entry = state.connections[connection];
    std::erase_if(entry.sessions, [](const auto& s) { return s.second.role == Role::kPending; });
    entry.sessions[session] = {Role::kPending, now, 0, {}};
    if (!entry.has_requested) entry.active = now;
    return Outcome::kAnswered;
  }

  /// "REQUEST verifies".
  Outcome request(unsigned ids, unsigned session, std::uint64_t n, bool close) {
    auto& state = ids_[ids];
    expire(state);
    for (auto& [id, connection] : state.connections) {
      const auto at = connection.sessions.find(session);
      if (at == connection.sessions.end()) continue;
      auto& seen = at->second.seen;
      const auto highest = seen.empty() ? 0 : *seen.rbegin();
      if (seen.contains(n) || n + SEVMON_WINDOW_BITS < highest || n >= SEVMON_MAX_MESSAGES)
        return Outcome::kDropped;
      seen.insert(n);
      connection.active = now;
      connection.has_requested = true;
      if (at->second.role == Role::kPending) confirm(connection, session);
      if (close) state.connections.erase(id);
      return Outcome::kAnswered;
    }
    return Outcome::kDropped;
  }

  unsigned challenge_generation(unsigned ids) { return ids_[ids].challenge_generation; }

 private:
  struct ModelSession {
    Role role;
    std::uint64_t accepted, replaced;
    std::set<std::uint64_t> seen;
  };
  struct Connection {
    std::map<unsigned, ModelSession> sessions;
    std::uint64_t active = 0;
    bool has_requested = false;
  };
  struct Ids {
    std::map<unsigned, Connection> connections;
    unsigned challenge_generation = 0;
    std::uint64_t tokens_ns = SEVMON_HANDSHAKE_BURST * kSecond / SEVMON_HANDSHAKE_RATE;
    std::uint64_t refilled = 0;
  };

  void confirm(Connection& connection, unsigned session) {
    std::erase_if(connection.sessions,
                  [](const auto& s) { return s.second.role == Role::kPrevious; });
    for (auto& [id, other] : connection.sessions)
      if (other.role == Role::kCurrent) {
        other.role = Role::kPrevious;
        other.replaced = now;
      }
    connection.sessions.at(session).role = Role::kCurrent;
  }

  bool is_over(const ModelSession& session) const {
    switch (session.role) {
      case Role::kPending:
        return now - session.accepted >= 10 * kSecond;
      case Role::kCurrent:
        return now - session.accepted >= 180 * kSecond;
      case Role::kPrevious:
        return now - session.replaced >= 10 * kSecond || now - session.accepted >= 180 * kSecond;
    }
    return true;
  }

  void expire(Ids& state) {
    for (auto& [id, connection] : state.connections)
      std::erase_if(connection.sessions, [&](const auto& s) { return is_over(s.second); });
    std::erase_if(state.connections, [](const auto& c) { return c.second.sessions.empty(); });
  }

  void refill(Ids& state) {
    state.tokens_ns = std::min(SEVMON_HANDSHAKE_BURST * kSecond / SEVMON_HANDSHAKE_RATE,
                               state.tokens_ns + (now - state.refilled));
    state.refilled = now;
  }

  std::map<unsigned, Ids> ids_;
};

/// Draws events, hands each to the model and to the agent, and compares.
class Sequence {
 public:
  explicit Sequence(unsigned seed) : random_{seed} { model_.now = host_.now_ns; }

  void step() {
    advance();
    const auto dice = draw(100);
    if (dice < 20)
      shake();
    else if (dice < 25)
      replay_initiate();
    else if (dice < 30)
      forge();
    else
      request();
  }

  std::map<std::string, unsigned> outcomes;

 private:
  struct Known {
    unsigned ids, session;
    ReferenceSession reference;
    std::uint64_t highest = 0;
  };
  struct Sent {
    unsigned ids, generation, connection;
    Initiator initiator;
  };

  unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

  void advance() {
    constexpr std::uint64_t kSteps[] = {1,           kSecond / 1000, kSecond / 20, kSecond / 2,
                                        2 * kSecond, 5 * kSecond,    10 * kSecond};
    // Mostly busy, now and then a long silence.
    auto ns = 1 + kSteps[draw(draw(4) ? 4 : 7)];
    if (draw(200) == 0) ns = 170 * kSecond + draw(20) * kSecond;
    host_.advance_ns(ns);
    model_.now += ns;
  }

  void shake() {
    const auto ids = draw(2), connection = draw(6);
    const auto key = test_key(static_cast<std::uint8_t>(ids));
    InitiatorOptions options{.connection_id = {0xc0, static_cast<std::uint8_t>(connection)},
                             .size_class = static_cast<std::uint8_t>(draw(2))};
    options.ephemeral[7] = static_cast<std::uint8_t>(draw(256));
    deliver({ids, model_.challenge_generation(ids), connection,
             Initiator{key.ids_id, key.psk, challenge(agent_, key.ids_id), options}});
  }

  void replay_initiate() {
    if (!sent_.empty()) deliver(sent_[draw(static_cast<unsigned>(sent_.size()))]);
  }

  void deliver(Sent sent) {
    const auto session = next_session_;
    const auto expected = model_.initiate(sent.ids, sent.generation, sent.connection, session);
    const auto answer = agent_.frame(sent.initiator.frame());
    sent_.push_back(sent);
    auto got = answer.rc == -EBUSY ? Outcome::kLimited
               : answer.rc < 0     ? Outcome::kDropped
                                   : Outcome::kAnswered;
    if (got == Outcome::kAnswered) {
      const auto reference = sent.initiator.finish(answer.frame);
      if (reference.accept().status == SEVMON_ACCEPT_BUSY)
        got = Outcome::kBusy;
      else
        known_.push_back({sent.ids, next_session_++, reference});
    }
    compare("initiate", expected, got);
  }

  std::uint64_t draw_number(const Known& known) {
    switch (draw(6)) {
      case 0:
        return known.highest;
      case 1:
        return known.highest > 1100 ? known.highest - 1100 + draw(160) : draw(1100);
      case 2:
        return known.highest + draw(1300);
      case 3:
        return SEVMON_MAX_MESSAGES - 1 + draw(2);
      default:
        return known.highest + 1;
    }
  }

  Known* pick() {
    if (known_.empty()) return nullptr;
    const auto count = static_cast<unsigned>(known_.size());
    // Mostly one of the newest: the others are long over.
    return &known_[draw(4) ? count - 1 - draw(std::min(count, 8u)) : draw(count)];
  }

  void request() {
    auto* known = pick();
    if (!known) return;
    // Numbers near the limit would end every session soon.
    auto n = draw_number(*known);
    if (n > 100'000 && draw(20)) n = known->highest + 1;
    const bool close = draw(40) == 0;
    const auto body = close ? request_body({simple_item(SEVMON_ITEM_CLOSE)}) : request_body({});
    const auto expected = model_.request(known->ids, known->session, n, close);
    const auto answer = agent_.frame(known->reference.request(n, body));
    const auto got = answer.rc > 0 ? Outcome::kAnswered : Outcome::kDropped;
    if (got == Outcome::kAnswered) {
      EXPECT_TRUE(known->reference.open(answer.frame).has_value());
      known->highest = std::max(known->highest, n);
    }
    compare("request", expected, got);
  }

  /// Changes nothing, so the model is not told.
  void forge() {
    const auto* known = pick();
    if (!known) return;
    auto frame = known->reference.request(known->highest + 1, request_body({}));
    frame[28 + draw(static_cast<unsigned>(frame.size()) - 28)] ^=
        static_cast<std::uint8_t>(1 << draw(8));
    compare("forgery", Outcome::kDropped,
            agent_.frame(frame).rc < 0 ? Outcome::kDropped : Outcome::kAnswered);
  }

  void compare(const char* event, Outcome expected, Outcome got) {
    const char* names[] = {"answered", "dropped", "limited", "busy"};
    EXPECT_STREQ(names[static_cast<int>(got)], names[static_cast<int>(expected)]) << event;
    ++outcomes[std::string{event} + " " + names[static_cast<int>(got)]];
  }

  FakeHost host_;
  FakeAgent agent_{host_, {test_key(0), test_key(1)}};
  Model model_;
  std::mt19937 random_;
  unsigned next_session_ = 1;
  std::vector<Known> known_;
  std::vector<Sent> sent_;
};

TEST(Model, RandomSequencesGoAsTheTableSays) {
  std::map<std::string, unsigned> outcomes;
  for (unsigned seed = 1; seed <= 30 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sequence run{seed};
    for (unsigned step = 0; step < 400 && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      run.step();
    }
    for (const auto& [name, count] : run.outcomes) outcomes[name] += count;
  }
  // A model test that never gets anywhere shows nothing.
  for (const auto& name : {"initiate answered", "initiate dropped", "initiate busy",
                           "request answered", "request dropped", "forgery dropped"})
    EXPECT_GT(outcomes[name], 50u) << name;
}

/// Bursts, for the rows of the rate that slower sequences seldom reach.
TEST(Model, TheRateGoesAsTheTableSays) {
  FakeHost host;
  FakeAgent agent{host};
  Model model;
  model.now = host.now_ns;
  std::mt19937 random{7};
  unsigned limited = 0;
  for (unsigned i = 0; i < 300; ++i) {
    const auto ns = random() % (3 * kSecond / SEVMON_HANDSHAKE_RATE / 2);
    host.advance_ns(ns);
    model.now += ns;
    const Initiator initiator{test_key().ids_id, test_key().psk, challenge(agent)};
    const auto expected = model.initiate(0, model.challenge_generation(0), 0, i);
    const auto rc = agent.frame(initiator.frame()).rc;
    ASSERT_EQ(rc == -EBUSY, expected == Outcome::kLimited) << i;
    limited += rc == -EBUSY;
  }
  EXPECT_GT(limited, 20u);
}

}  // namespace
}  // namespace sevmon::tests
