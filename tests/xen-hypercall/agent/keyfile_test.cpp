// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/fake_host.hpp"

namespace sevmon::tests {
namespace {

constexpr std::size_t kHead = sizeof(sevmon_key_head), kEntry = sizeof(sevmon_key_entry);

/// Start an agent and end it; nothing may be left in it then, nor when it did not start.
int start(FakeHost& host, ByteView file) {
  auto agent = std::make_unique<sevmon_agent>();
  const int rc = sevmon_agent_start(agent.get(), host.table(), file.data(), file.size());
  if (rc == 0) sevmon_agent_end(agent.get());
  EXPECT_EQ(bytes_of(*agent), Bytes(sizeof(*agent))) << "what was read stays in memory";
  return rc;
}

std::vector<TestKey> keys(unsigned count) {
  std::vector<TestKey> keys;
  for (unsigned i = 0; i < count; ++i) keys.push_back(test_key(static_cast<std::uint8_t>(i)));
  return keys;
}

TEST(Keyfile, OneToEightEntries) {
  FakeHost host;
  for (unsigned count = 1; count <= SEVMON_MAX_KEYS; ++count)
    EXPECT_EQ(start(host, key_file(keys(count))), 0) << count;
  EXPECT_EQ(start(host, key_file(keys(SEVMON_MAX_KEYS + 1))), -EINVAL);
  EXPECT_EQ(start(host, key_file({})), -EINVAL);
}

TEST(Keyfile, KeepsWhatItRead) {
  FakeHost host;
  const auto file = key_file(keys(3));
  auto agent = std::make_unique<sevmon_agent>();
  ASSERT_EQ(sevmon_agent_start(agent.get(), host.table(), file.data(), file.size()), 0);
  EXPECT_EQ(agent->keys, 3u);
  EXPECT_EQ(to_hex(agent->agent_id), to_hex(kAgentId));
  EXPECT_EQ(to_hex(agent->ids[2].ids_id), to_hex(test_key(2).ids_id));
  EXPECT_EQ(to_hex(agent->ids[2].psk), to_hex(test_key(2).psk));
  sevmon_agent_end(agent.get());
}

TEST(Keyfile, TruncatedAtEachLengthAndTrailing) {
  FakeHost host;
  auto file = key_file(keys(2));
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_EQ(start(host, ByteView{file}.first(size)), -EINVAL) << size;
  file.push_back(0);
  EXPECT_EQ(start(host, file), -EINVAL);
}

TEST(Keyfile, EachBitOfMagicVersionCountAndReserved) {
  FakeHost host;
  for (std::size_t bit = 0; bit < 8 * 16; ++bit) {
    auto file = key_file(keys(2));
    file[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(start(host, file), -EINVAL) << bit;
  }
}

TEST(Keyfile, ZeroAndRepeated) {
  FakeHost host;
  struct Case {
    const char* name;
    std::size_t offset, bytes;
    std::size_t from;  // copied from there; 0: zeros
  };
  for (const auto& c :
       {Case{"zero agent id", 16, 16, 0}, Case{"zero IDS id", kHead, 16, 0},
        Case{"zero PSK", kHead + 16, 32, 0}, Case{"zero last PSK", kHead + 2 * kEntry + 16, 32, 0},
        Case{"repeated id", kHead + 2 * kEntry, 16, kHead},
        Case{"repeated PSK", kHead + 2 * kEntry + 16, 32, kHead + kEntry + 16}}) {
    auto file = key_file(keys(3));
    for (std::size_t i = 0; i < c.bytes; ++i)
      file[c.offset + i] = c.from ? file[c.from + i] : std::uint8_t{0};
    EXPECT_EQ(start(host, file), -EINVAL) << c.name;
  }
}

TEST(Start, WithoutRandomnessThereIsNoAgent) {
  FakeHost host;
  host.random_fails = true;
  EXPECT_EQ(start(host, key_file(keys(1))), -EIO);
}

}  // namespace
}  // namespace sevmon::tests
