// SPDX-License-Identifier: Apache-2.0
//
//   Channel ── HostileWire (the test's relay) ── the agent core ── memory built in code
//
// The IDS's end against the agent's own code.
#include <sevmon/channel.hpp>
#include <sevmon/memory.hpp>

#include <gtest/gtest.h>

#include <random>

#include "ids/channel/hostile_wire.hpp"
#include "support/fake_host.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using Out = std::deque<Delivery>;

constexpr std::uint64_t kBase = 0xffff888000000000;
constexpr unsigned kPages = 20;

class AgentChannelTest : public ::testing::Test, public Responder {
 protected:
  AgentChannelTest() : agent_{host_} {
    for (unsigned page = 0; page < kPages; ++page) {
      if (is_absent(page)) continue;
      std::vector<std::uint8_t> bytes;
      for (unsigned i = 0; i < SEVMON_PAGE_BYTES; ++i)
        bytes.push_back(value_at(kBase + page * SEVMON_PAGE_BYTES + i));
      host_.guest.map(kBase + page * SEVMON_PAGE_BYTES, bytes);
    }
    options_.answer_timeout = std::chrono::seconds{60};
    options_.size_class = SEVMON_CLASS_1_PAGE;
  }

  std::optional<Bytes> answer(std::span<const std::byte> frame) override {
    sevmon_work work{};
    host_.advance_ns(step_ns_);
    auto answer = agent_.frame(as_u8(frame), work);
    if (answer.rc <= 0) return std::nullopt;
    const auto bytes = std::as_bytes(std::span{answer.frame});
    return Bytes{bytes.begin(), bytes.end()};
  }

  static bool is_absent(unsigned page) { return page % 5 == 3; }
  static std::uint8_t value_at(std::uint64_t address) {
    return std::to_integer<std::uint8_t>(byte_at(address));
  }

  std::unique_ptr<Channel> open(Attack& attack) {
    const auto file = tests::key_file({tests::test_key()});
    auto channel = Channel::open(std::make_unique<HostileWire>(*this, attack),
                                 *Key::parse(std::as_bytes(std::span{file})), options_);
    if (!channel) throw std::runtime_error{channel.error().message()};
    return *std::move(channel);
  }
  std::unique_ptr<Channel> open() { return open(attack_); }

  static std::vector<Request> reads(std::size_t count) {
    std::vector<Request> requests;
    for (std::size_t i = 0; i < count; ++i)
      requests.push_back({{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 100, 0, address_of(i)}}});
    return requests;
  }
  static std::uint64_t address_of(std::size_t i) {
    return kBase + i % kPages * SEVMON_PAGE_BYTES + i * 7 % 3900;
  }

  static void expect_right(Channel& channel, std::size_t count) {
    const auto responses = channel.exchange(reads(count));
    ASSERT_TRUE(responses) << responses.error().message();
    for (std::size_t i = 0; i < count; ++i) {
      const auto& result = (*responses)[i].items.at(0);
      const bool is_there = !is_absent(i % kPages);
      EXPECT_EQ(result.status, is_there ? SEVMON_STATUS_OK : SEVMON_STATUS_NOT_MAPPED);
      for (std::size_t j = 0; j < 100; ++j)
        ASSERT_EQ(result.bytes[j], is_there ? byte_at(address_of(i) + j) : std::byte{0});
    }
  }

  std::uint64_t step_ns_ = 50'000'000;  // for each frame, so that tokens come back
  tests::FakeHost host_;
  tests::FakeAgent agent_;
  Attack attack_;
  ChannelOptions options_;
};

TEST_F(AgentChannelTest, ReadsInEverySizeClass) {
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    options_.size_class = size_class;
    expect_right(*open(), 40);
  }
  EXPECT_EQ(agent_.count(SEVMON_COUNT_MALFORMED), 0u);
}

TEST_F(AgentChannelTest, EveryKindOfItemInOneRequest) {
  options_.size_class = SEVMON_CLASS_15_PAGES;
  const auto channel = open();
  const Request request{{},
                        {},
                        {{SEVMON_ITEM_READ_VIRTUAL, 0, 3, 0, kBase},
                         {SEVMON_ITEM_TRANSLATE, 0, 0, 0, kBase},
                         {SEVMON_ITEM_TRANSLATE, 0, 0, 0, 0},
                         {SEVMON_ITEM_READ_PHYSICAL, 0, 5, 0, host_.guest.root() << 12},
                         {SEVMON_ITEM_READ_PHYSICAL, 0, 5, 0, 0},
                         {SEVMON_ITEM_VCPU_STATE, 0, 0, 0, 0},
                         {SEVMON_ITEM_VCPU_STATE, 0, 0, 9, 0},
                         {SEVMON_ITEM_TRAP_TABLE, 0, 0, 0, 0},
                         {SEVMON_ITEM_BOOT_RECORD, 0, 0, 0, 0},
                         {SEVMON_ITEM_STATUS, 0, 0, 0, 0}}};
  const auto responses = channel->exchange(std::span{&request, 1});
  ASSERT_TRUE(responses) << responses.error().message();
  const auto& items = responses->at(0).items;
  const std::uint16_t statuses[] = {
      0, 0, SEVMON_STATUS_NOT_MAPPED, 0, SEVMON_STATUS_NO_FRAME, 0, SEVMON_STATUS_NO_VCPU, 0, 0, 0};
  for (std::size_t i = 0; i < items.size(); ++i) EXPECT_EQ(items[i].status, statuses[i]) << i;
  sevmon_status status;
  ASSERT_EQ(items.back().bytes.size(), sizeof(status));
  std::memcpy(&status, items.back().bytes.data(), sizeof(status));
  EXPECT_EQ(status.host, SEVMON_HOST_TEST);
  EXPECT_TRUE(std::ranges::equal(status.boot_nonce, channel->boot_nonce()));
}

TEST_F(AgentChannelTest, RefusedAnswersAreAnswers) {
  const auto channel = open();
  auto request = reads(1)[0];
  request.domain = {77};
  auto responses = channel->exchange(std::span{&request, 1});
  ASSERT_TRUE(responses) << responses.error().message();
  EXPECT_EQ(responses->at(0).head.status, SEVMON_ANSWER_NO_DOMAIN);
  request = reads(1)[0];
  request.root.vcpu = 9;
  responses = channel->exchange(std::span{&request, 1});
  ASSERT_TRUE(responses) << responses.error().message();
  EXPECT_EQ(responses->at(0).head.status, SEVMON_ANSWER_NO_ROOT);
}

TEST_F(AgentChannelTest, EachBitOfAnAnswerFlipped) {
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    for (std::size_t bit = 0; bit < delivery.frame.size() * 8; ++bit) {
      auto bent = delivery;
      bent.frame[bit / 8] ^= std::byte{1} << bit % 8;
      // A challenge's two nonces are authenticated by what follows, not by themselves.
      if (type_of(delivery.frame) != SEVMON_FRAME_CHALLENGE || bit / 8 < 48 || bit / 8 >= 80)
        out.push_back(std::move(bent));
    }
    out.push_back(delivery);
  };
  expect_right(*open(), 1);
}

TEST_F(AgentChannelTest, EachBitOfARequestFlipped) {
  int flipped = 0;
  attack_.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      auto bent = frame;
      bent[bit / 8] ^= std::byte{1} << bit % 8;
      if (type_of(frame) == SEVMON_FRAME_REQUEST && answer(bent)) ++flipped;
    }
    return frame;
  };
  step_ns_ = 0;  // or the session would be over before they are through
  expect_right(*open(), 1);
  EXPECT_EQ(flipped, 0);
  EXPECT_GT(agent_.count(SEVMON_COUNT_FORGED), (SEVMON_REQUEST_FRAME_BYTES - 16) * 8);
}

TEST_F(AgentChannelTest, RelayThatShufflesRepeatsAndReplays) {
  std::mt19937 random{4};
  std::vector<Delivery> old;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    out.push_back(delivery);
    if (type_of(delivery.frame) != SEVMON_FRAME_RESPONSE) return;
    out.push_back(delivery);
    if (!old.empty()) out.push_back(old[random() % old.size()]);
    old.push_back(delivery);
    EXPECT_FALSE(answer(attack_.sent.back()));  // the same request again: one answer, ever
  };
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  for (int i = 0; i < 5; ++i) expect_right(*channel, 40);
  EXPECT_EQ(agent_.count(SEVMON_COUNT_REPLAYED), 200u);
}

TEST_F(AgentChannelTest, RekeysUnderLoad) {
  options_.rekey_after_messages = 8;
  std::mt19937 random{5};
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  for (int i = 0; i < 20; ++i) expect_right(*channel, 20);
  EXPECT_GE(channel->stats().rekeys, 10u);
  EXPECT_EQ(channel->stats().discarded, 0u);
}

TEST_F(AgentChannelTest, TwoChannelsAtOnce) {
  options_.rekey_after_messages = 30;
  Attack attacks[2];
  std::vector<std::thread> threads;
  for (auto& attack : attacks)
    threads.emplace_back([&] {
      const auto channel = open(attack);
      for (int i = 0; i < 5; ++i) expect_right(*channel, 20);
    });
  for (auto& thread : threads) thread.join();
}

TEST_F(AgentChannelTest, ClosedConnectionsAreFreeAgain) {
  for (int i = 0; i < 3 * SEVMON_MAX_CONNECTIONS; ++i) expect_right(*open(), 1);
  EXPECT_EQ(agent_.count(SEVMON_COUNT_REFUSED), 0u);
}

TEST_F(AgentChannelTest, EpochReadsAcrossPages) {
  const auto channel = open();
  const auto memory = open_epoch(*channel, {}, {});
  const auto bytes = memory->read({{kBase + 100}, 2 * SEVMON_PAGE_BYTES});
  ASSERT_TRUE(bytes) << bytes.error().message();
  for (std::size_t i = 0; i < bytes->size(); ++i) ASSERT_EQ((*bytes)[i], byte_at(kBase + 100 + i));
  const auto absent = memory->read({{kBase + 3 * SEVMON_PAGE_BYTES}, 8});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotMapped);
}

}  // namespace
}  // namespace sevmon::ids::test
