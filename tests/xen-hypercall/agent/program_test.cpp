// SPDX-License-Identifier: Apache-2.0
//
// Programs in the agent (program.c): loading them, and what a request of theirs may be.
#include <gtest/gtest.h>

#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

class Program : public ProgramFixture {};

TEST_F(Program, StatusSaysThatThereAreSome) {
  const auto response = client.ask(request_body({simple_item(SEVMON_ITEM_STATUS)}));
  EXPECT_EQ(load<sevmon_status>(response.item(0)).features,
            SEVMON_FEATURE_PROGRAMS | SEVMON_FEATURE_HASH | SEVMON_FEATURE_STANDING);
}

TEST_F(Program, ProgramsAreTheirIdssOwn) {
  auto program = returning(5);
  const Image image{program};
  FakeAgent two{host, {test_key(0), test_key(1)}};
  ProgramClient one{two}, other{two, {.connection_id = {9}}, test_key(1)};
  one.load_all(image);
  EXPECT_EQ(other.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(other.unload(image), SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(other.list()[0].state, SEVMON_PROGRAM_FREE);
  EXPECT_EQ(one.run(image.name()).report.r0, 5u);
}

TEST_F(Program, TheOneNotUsedForLongestMakesRoom) {
  std::vector<Image> images;
  for (int i = 0; i <= SEVMON_MAX_PROGRAMS; ++i) {
    auto program = returning(i);
    images.emplace_back(program);
  }
  for (int i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_ns(1);
    client.load_all(images[i]);
  }
  host.advance_ns(1);
  client.run(images[0].name());
  client.load_all(images.back());
  EXPECT_EQ(client.run(images[0].name()).status, SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(images[1].name()).status, SEVMON_STATUS_NO_PROGRAM);
  EXPECT_EQ(client.run(images.back().name()).report.r0, SEVMON_MAX_PROGRAMS);
}

TEST_F(Program, ListSaysWhatIsThere) {
  auto program = returning(1);
  const Image image{program};
  host.now_ns = 123'456'000'000'000;
  ProgramClient now{agent, {.connection_id = {4}}};
  now.load_all(image);
  now.run(image.name());
  now.run(image.name());
  const auto list = now.list();
  EXPECT_EQ(to_hex(list[0].sha256), to_hex(image.sha256()));
  EXPECT_EQ(list[0].bytes, image.bytes.size());
  EXPECT_EQ(list[0].state, SEVMON_PROGRAM_READY);
  EXPECT_EQ(list[0].runs, 2u);
  EXPECT_EQ(list[0].used_ns, 123'456'000'000'000u);
  for (unsigned i = 1; i < SEVMON_MAX_PROGRAMS; ++i)
    EXPECT_TRUE(sevmon_is_zero(&list[i], sizeof(list[i])));
}

TEST_F(Program, LoadingTwiceAtOnceGivesOne) {
  auto program = returning(1);
  const Image image{program};
  ProgramClient other{agent, {.connection_id = {4}}};
  EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK);
  EXPECT_EQ(other.begin(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.chunks(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.commit(image).first, SEVMON_STATUS_OK);
  EXPECT_EQ(other.chunks(image), SEVMON_STATUS_OK);
  EXPECT_EQ(other.commit(image).first, SEVMON_STATUS_OK);
  EXPECT_EQ(other.list()[1].state, SEVMON_PROGRAM_FREE);
}

/// Whoever has the program already cannot have it changed under the run.
TEST_F(Program, ChunksOfALoadedOneChangeNothing) {
  auto program = returning(1);
  const Image image{program};
  client.load_all(image);
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes(48, 0xff)), SEVMON_STATUS_OK);
  EXPECT_EQ(client.run(image.name()).report.r0, 1u);
}

TEST_F(Program, WhatWasNotAnnouncedIsRefused) {
  auto program = returning(1);
  const Image image{program};
  for (std::size_t at = 0; at < image.bytes.size(); ++at) {
    ASSERT_EQ(client.begin(image), SEVMON_STATUS_OK);
    auto wrong = image;
    wrong.bytes[at] ^= 1;
    ASSERT_EQ(client.chunk(image.name(), 0, wrong.bytes), SEVMON_STATUS_OK);
    const auto [status, verdict] = client.commit(image);
    EXPECT_EQ(status, SEVMON_STATUS_REFUSED) << at;
    EXPECT_EQ(verdict.reason, SEVMON_VERDICT_DIGEST);
    EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_NO_PROGRAM);
  }
}

TEST_F(Program, HeadsThatDoNotFit) {
  auto program = returning(1);
  const auto verdict = [&](auto&& change) {
    Image image{program, from_text("constant"), 64, from_text("begin")};
    change(image);
    EXPECT_EQ(client.begin(image), SEVMON_STATUS_OK);
    EXPECT_EQ(client.chunks(image), SEVMON_STATUS_OK);
    return client.commit(image).second.reason;
  };
  EXPECT_EQ(verdict([](Image&) {}), SEVMON_VERDICT_OK);
  using Change = void (*)(Image&);
  const Change changes[] = {
      [](Image& i) { i.head().insns = 0; },
      [](Image& i) { i.head().insns = SEVMON_PROGRAM_MAX_INSNS + 1; },
      [](Image& i) { ++i.head().insns; },
      [](Image& i) { --i.head().insns; },
      [](Image& i) { i.head().insns = 0x20000000; },
      [](Image& i) { ++i.head().data_bytes; },
      [](Image& i) { --i.head().data_bytes; },
      [](Image& i) { i.head().data_bytes = SEVMON_PROGRAM_MAX_DATA_BYTES + 1; },
      [](Image& i) { ++i.head().init_bytes; },
      [](Image& i) { i.head().map_bytes = 4; },
      [](Image& i) { i.head().map_bytes = SEVMON_PROGRAM_MAX_MAP_BYTES + 1; },
      // Both together fit the length, each alone is too much.
      [](Image& i) { i.head().data_bytes += 6, i.head().init_bytes -= 6; },
      [](Image& i) { i.head().data_bytes -= 9, i.head().init_bytes += 9; },
      [](Image& i) { i.bytes.push_back(0); },
      [](Image& i) { i.bytes.pop_back(); },
  };
  for (std::size_t i = 0; i < std::size(changes); ++i)
    EXPECT_EQ(verdict(changes[i]), SEVMON_VERDICT_HEAD) << i;
  for (unsigned bit = 0; bit < 128; ++bit)
    EXPECT_EQ(verdict([&](Image& i) { i.head().zero[bit / 64] = 1ULL << bit % 64; }),
              SEVMON_VERDICT_HEAD);
}

TEST_F(Program, TheLargestOfEach) {
  BpfProgram program;
  for (int i = 0; i < SEVMON_PROGRAM_MAX_INSNS - 1; ++i) program.mov(0, i);
  program.exit();
  const auto left = SEVMON_PROGRAM_MAX_BYTES - sizeof(sevmon_program_head) -
                    SEVMON_PROGRAM_MAX_INSNS * 8 - SEVMON_PROGRAM_MAX_DATA_BYTES;
  const Image image{program, Bytes(SEVMON_PROGRAM_MAX_DATA_BYTES, 1), SEVMON_PROGRAM_MAX_MAP_BYTES,
                    Bytes(left, 2)};
  ASSERT_EQ(image.bytes.size(), SEVMON_PROGRAM_MAX_BYTES);
  client.load_all(image);
  EXPECT_EQ(client.run(image.name()).report.r0, SEVMON_PROGRAM_MAX_INSNS - 2u);
}

TEST_F(Program, TheVerifiersVerdictIsTold) {
  BpfProgram program;
  program.mov(0, 1).mov_reg(0, 6).exit();
  const Image image{program};
  client.begin(image), client.chunks(image);
  const auto [status, verdict] = client.commit(image);
  EXPECT_EQ(status, SEVMON_STATUS_REFUSED);
  EXPECT_EQ(verdict.reason, SEVMON_VERDICT_UNINITIALISED);
  EXPECT_EQ(verdict.insn, 1u);

  for (const std::int32_t number : {-1, 0, SEVMON_HELPERS}) {
    BpfProgram helper;
    helper.call(number).exit();
    const Image unknown{helper};
    client.begin(unknown), client.chunks(unknown);
    EXPECT_EQ(client.commit(unknown).second.reason, SEVMON_VERDICT_HELPER) << number;
  }
}

TEST_F(Program, BeginsThatAreRefused) {
  auto program = returning(1);
  const Image image{program};
  sevmon_program_begin begin{.sha256 = {}, .bytes = 0, .zero = 0};
  const auto status = [&](std::uint32_t bytes, std::uint32_t zero) {
    begin.bytes = bytes, begin.zero = zero;
    return client.status(SEVMON_ITEM_PROGRAM_BEGIN, bytes_of(begin));
  };
  EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES - 1, 0), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(status(SEVMON_PROGRAM_MAX_BYTES + 1, 0), SEVMON_STATUS_BAD_ITEM);
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES, 1u << bit), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.list()[0].state, SEVMON_PROGRAM_FREE);
  EXPECT_EQ(status(SEVMON_PROGRAM_MIN_BYTES, 0), SEVMON_STATUS_OK);
}

TEST_F(Program, ChunksThatAreRefused) {
  auto program = returning(1);
  const Image image{program};
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes(1)), SEVMON_STATUS_NO_PROGRAM);
  client.begin(image);
  const auto bytes = static_cast<std::uint32_t>(image.bytes.size());
  EXPECT_EQ(client.chunk(image.name(), bytes - 1, Bytes(1)), SEVMON_STATUS_OK);
  EXPECT_EQ(client.chunk(image.name(), bytes - 1, Bytes(2)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), bytes, Bytes(1)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), 0xffffffff, Bytes(1)), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.chunk(image.name(), 0, Bytes()), SEVMON_STATUS_BAD_ITEM);
  EXPECT_EQ(client.commit(Image{program, from_text("x")}).first, SEVMON_STATUS_NO_PROGRAM);
}

/// Each kind's payload: one byte less and one more than it can be, and each reserved bit.
TEST_F(Program, PayloadsOfAnotherSize) {
  const struct {
    std::uint8_t type;
    std::size_t least;
    bool has_more;
    std::vector<std::size_t> zeros;  // reserved bytes
  } kinds[] = {{SEVMON_ITEM_PROGRAM_BEGIN, 40, false, {}},
               {SEVMON_ITEM_PROGRAM_CHUNK, 16, true, {12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_COMMIT, 16, false, {8, 9, 10, 11, 12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_UNLOAD, 16, false, {8, 9, 10, 11, 12, 13, 14, 15}},
               {SEVMON_ITEM_PROGRAM_LIST, 0, false, {}},
               {SEVMON_ITEM_PROGRAM_RUN, 24, true, {16, 17, 18, 19, 20, 21, 22, 23}}};
  for (const auto& kind : kinds) {
    for (std::size_t bytes = 0; bytes <= SEVMON_MAX_PAYLOAD_BYTES; ++bytes) {
      if (bytes == kind.least || (kind.has_more && bytes > kind.least)) continue;
      EXPECT_EQ(client.status(kind.type, Bytes(bytes, 1)), SEVMON_STATUS_BAD_ITEM)
          << +kind.type << " " << bytes;
    }
    for (const auto at : kind.zeros)
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes payload(kind.least + kind.has_more, 0);
        payload[8] = kind.type == SEVMON_ITEM_PROGRAM_RUN;  // a budget
        payload[at] = static_cast<std::uint8_t>(1 << bit);
        EXPECT_EQ(client.status(kind.type, payload), SEVMON_STATUS_BAD_ITEM) << +kind.type;
      }
    auto body = program_request(kind.type, Bytes(kind.least));
    body.items[0].arg = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
    body.items[0].arg = 0, body.items[0].address = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
    body.items[0].address = 0, body.items[0].zero = 1;
    EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_BAD_ITEM) << +kind.type;
  }
}

TEST_F(Program, RequestsWithMoreThanTheirItem) {
  auto body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  body.items[0].bytes = SEVMON_MAX_PAYLOAD_BYTES + 1;
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST);

  body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  reinterpret_cast<std::uint8_t*>(&body.items[1])[0] = 1;
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST) << "behind its payload";

  body = program_request(SEVMON_ITEM_PROGRAM_LIST);
  body.head.items = 2;
  body.items[1] = read_virtual(kGva, 1);
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST) << "it is not alone";
  std::swap(body.items[0], body.items[1]);
  EXPECT_EQ(client.ask(body).head.status, SEVMON_ANSWER_BAD_REQUEST);
}

/// An agent that has no memory for programs does not start.
TEST(ProgramMemory, IsNeeded) {
  FakeHost host;
  auto table = *host.table();
  static int left;
  table.allocate = [](std::size_t bytes) { return left-- > 0 ? std::calloc(1, bytes) : nullptr; };
  const auto file = key_file({test_key(0), test_key(1)});
  for (left = 0; left < 2;) {
    const int had = left;
    const auto agent = std::make_unique<sevmon_agent>();
    EXPECT_EQ(sevmon_agent_start(agent.get(), &table, file.data(), file.size()), -ENOMEM);
    EXPECT_TRUE(sevmon_is_zero(agent.get(), sizeof(*agent)));
    left = had + 1;
  }
}

}  // namespace
}  // namespace sevmon::tests
