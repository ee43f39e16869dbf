// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kGva = 0xffffffff81000000, kAbsent = 0xffffffff82000000;

class Request : public ::testing::Test {
 protected:
  ReferenceResponse ask(const sevmon_request_body& body) {
    return tests::ask(agent, session, n++, body);
  }
  ReferenceResponse ask(std::initializer_list<sevmon_item> items) {
    return ask(request_body(items));
  }
  /// The result of a single item.
  sevmon_item_result result(const sevmon_item& item) { return ask({item}).results[0]; }

  FakeHost host;
  FakeAgent agent{host};
  ReferenceSession session = shake_hands(agent);
  std::uint64_t n = 0;
};

TEST_F(Request, ReadsVirtual) {
  host.guest.map(kGva + 0x10, "Linux version 6.1");
  const auto response = ask({read_virtual(kGva + 0x10, 17)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.results[0].level, 1);
  EXPECT_EQ(to_hex(response.item(0)), to_hex(from_text("Linux version 6.1")));
}

TEST_F(Request, ReadsPhysical) {
  const auto frame = host.guest.add_frame();
  std::iota(host.guest.page(frame).bytes.begin(), host.guest.page(frame).bytes.end(),
            std::uint8_t{0});
  const auto response = ask({read_physical(frame * 4096 + 5, 9)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.results[0].level, 0);
  EXPECT_EQ(to_hex(response.item(0)), "05060708090a0b0c0d");
  EXPECT_EQ(response.head.levels, 0) << "no root is looked up for it";
  EXPECT_EQ(response.head.vcpu, 0xffff);
  EXPECT_EQ(host.roots_read, 0u);
}

TEST_F(Request, HeadSaysWhatWasUsed) {
  host.now_ns = 5'000'000'000'000;
  session = shake_hands(agent);
  host.advance_ns(77);
  n = 41;
  auto body = request_body({read_virtual(kGva, 1), simple_item(SEVMON_ITEM_CLOSE)});
  const auto response = ask(body);
  EXPECT_EQ(response.head.n, 41u);
  EXPECT_EQ(response.head.time_ns, 5'000'000'000'077u);
  EXPECT_EQ(response.head.root_frame, host.guest.root());
  EXPECT_EQ(response.head.domid, 0);
  EXPECT_EQ(response.head.vcpu, 0);
  EXPECT_EQ(response.head.levels, 4);
  EXPECT_EQ(response.head.kind, SEVMON_TARGET_PV);
  EXPECT_EQ(response.head.items, 2);
  EXPECT_EQ(response.head.data_bytes, 1u);
}

TEST_F(Request, RootIsReadOncePerRequest) {
  ask({read_virtual(kGva, 1), read_virtual(kGva, 1), simple_item(SEVMON_ITEM_TRANSLATE, 0, kGva)});
  EXPECT_EQ(host.roots_read, 1u);
}

TEST_F(Request, RootInAFrame) {
  host.guest.map(kGva, "there");
  auto body = request_body({read_virtual(kGva, 5)});
  body.head.root_kind = SEVMON_ROOT_FRAME;
  body.head.root_frame = host.guest.root();
  body.head.levels = 4;
  const auto response = ask(body);
  EXPECT_EQ(to_hex(response.item(0)), to_hex(from_text("there")));
  EXPECT_EQ(response.head.root_frame, host.guest.root());
  EXPECT_EQ(response.head.vcpu, 0xffff);
  EXPECT_EQ(host.roots_read, 0u);

  body.head.root_frame = ~0ULL;
  EXPECT_EQ(ask(body).results[0].status, SEVMON_STATUS_NO_FRAME);
}

TEST_F(Request, TwoMegabytePagesWithAHoleAreReadFrameByFrame) {
  host.guest.map_frame(kGva, 512, 2);
  host.guest.add_frame(512);
  host.guest.page(host.guest.add_frame(514)).bytes[0] = 0x42;
  const auto response =
      ask({read_virtual(kGva, 1), read_virtual(kGva + 0x1000, 1), read_virtual(kGva + 0x2000, 1)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NO_FRAME) << "ballooned out";
  EXPECT_EQ(response.results[1].level, 2);
  EXPECT_EQ(response.results[2].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.item(2)[0], 0x42);
}

TEST_F(Request, TranslateShowsTheWalk) {
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame);
  host.guest.remove_frame(frame);  // it does not look at the page
  const auto response = ask({simple_item(SEVMON_ITEM_TRANSLATE, 0, kGva + 1),
                             simple_item(SEVMON_ITEM_TRANSLATE, 0, kAbsent)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  const auto found = load<sevmon_translation>(response.item(0));
  EXPECT_EQ(found.frame, frame);
  EXPECT_EQ(found.reached, 4);
  // A failed one keeps its room and holds what it reached.
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NOT_MAPPED);
  const auto failed = load<sevmon_translation>(response.item(1));
  EXPECT_EQ(failed.entry[0], found.entry[0]);
  EXPECT_EQ(failed.frame, 0u);
  EXPECT_EQ(response.head.data_bytes, 128u);
}

TEST_F(Request, WhatTheHostTells) {
  host.vcpus = 2;
  const auto response =
      ask({simple_item(SEVMON_ITEM_VCPU_STATE, 1), simple_item(SEVMON_ITEM_TRAP_TABLE, 1),
           simple_item(SEVMON_ITEM_BOOT_RECORD)});
  EXPECT_EQ(load<sevmon_vcpu_state>(response.item(0)).vcpu, 1u);
  EXPECT_EQ(load<sevmon_trap>(response.item(1), 255 * sizeof(sevmon_trap)).address,
            0xffff8000000000ff);
  EXPECT_EQ(load<sevmon_boot_record>(response.item(2)).kernel.bytes, 1234u);
  EXPECT_EQ(response.results[0].bytes, 576u);
  EXPECT_EQ(response.results[1].bytes, 4096u);
  EXPECT_EQ(response.results[2].bytes, 376u);
}

TEST_F(Request, WhatTheHostRefusesLeavesNothingBehind) {
  const auto response =
      ask({simple_item(SEVMON_ITEM_TRAP_TABLE, 9), simple_item(SEVMON_ITEM_VCPU_STATE, 0xffffffff),
           simple_item(SEVMON_ITEM_BOOT_RECORD)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_NO_VCPU);
  EXPECT_EQ(response.results[0].bytes, 0u);
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NO_VCPU);
  EXPECT_EQ(response.offset(2), 0u);
  const auto rest = response.data().subspan(sizeof(sevmon_boot_record));
  EXPECT_TRUE(std::ranges::all_of(rest, [](auto byte) { return byte == 0; }))
      << "the refused trap table shows";
  host.has_trap_tables = false;
  EXPECT_EQ(result(simple_item(SEVMON_ITEM_TRAP_TABLE)).status, SEVMON_STATUS_UNSUPPORTED);
}

/// Whole pages are copied last, reads are all that is not zeroed before: every byte of the data
/// area is an item's or zero, whatever lay there.
TEST_F(Request, NothingOfAnEarlierAnswerIsInThisOne) {
  const auto frame = host.guest.add_frame();
  host.guest.page(frame).bytes.fill(0x11);
  host.guest.map_frame(kGva, frame);
  const auto page = read_physical(frame * 4096, 4096), few = read_virtual(kGva + 1, 5);
  const auto absent = read_virtual(kAbsent, 4096);
  const auto translate = simple_item(SEVMON_ITEM_TRANSLATE, 0, kAbsent);
  const auto refused = simple_item(SEVMON_ITEM_TRAP_TABLE, 9);
  const std::vector<sevmon_item> cases[] = {
      {},
      {page},
      {few, page, few},
      {few, absent, page},
      {absent},
      {few, read_virtual(kAbsent, 7), few},
      {page, translate, few, page},
      {refused, few, page},
      {page, few, refused},
      {page, simple_item(0x77), few},
      {few, read_virtual(kGva, 4097), page},
      std::vector<sevmon_item>(15, page),
      std::vector<sevmon_item>(59, few),
      {few, page, page, page, page, page, page, page, page, page, page, page, page, page, page,
       page, few},
  };
  for (const auto& items : cases) {
    const auto number = &items - cases;
    std::ranges::fill(agent.work().out, std::uint8_t{0xa5});
    auto body = request_body({});
    body.head.items = static_cast<std::uint16_t>(items.size());
    std::ranges::copy(items, body.items);
    const auto response = ask(body);
    Bytes expected(response.data().size());
    for (unsigned i = 0; i < items.size(); ++i)
      if (items[i].type <= SEVMON_ITEM_READ_PHYSICAL &&
          response.results[i].status == SEVMON_STATUS_OK)
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(response.offset(i)),
                    items[i].bytes, std::uint8_t{0x11});
      else if (items[i].type == SEVMON_ITEM_TRANSLATE)
        std::ranges::copy(response.item(i),
                          expected.begin() + static_cast<std::ptrdiff_t>(response.offset(i)));
    EXPECT_TRUE(std::ranges::equal(response.data(), expected)) << "case " << number;
    EXPECT_EQ(host.frames_held, 0) << "case " << number;
    EXPECT_EQ(host.targets_held, 0) << "case " << number;
  }
}

TEST_F(Request, NothingOfAnEarlierAnswerIsInARefusal) {
  host.has_domain = false;
  std::ranges::fill(agent.work().out, std::uint8_t{0xa5});
  const auto response = ask({read_virtual(kGva, 4096)});
  EXPECT_EQ(response.head.status, SEVMON_ANSWER_NO_DOMAIN);
  EXPECT_TRUE(std::ranges::all_of(response.data(), [](auto byte) { return byte == 0; }));
}

/// A page that changes while it waits to be copied is sealed as it is then: once, and whole.
TEST_F(Request, ALatePageIsCopiedOnce) {
  const auto first = host.guest.add_frame(), second = host.guest.add_frame();
  host.on_map = [&](std::uint64_t frame) {
    if (frame == second) host.guest.page(first).bytes.fill(0x22);
  };
  const auto response =
      ask({read_physical(first * 4096, 4096), read_physical(second * 4096, 4096)});
  EXPECT_TRUE(std::ranges::all_of(response.item(0), [](auto byte) { return byte == 0x22; }));
}

TEST_F(Request, WithoutRandomnessNoPageStaysHeld) {
  const auto frame = host.guest.add_frame();
  host.random_fails = true;
  const auto answer =
      agent.frame(session.request(n++, request_body({read_physical(frame * 4096, 4096)})));
  EXPECT_EQ(answer.rc, -EBADMSG);
  EXPECT_EQ(host.frames_held, 0);
  EXPECT_EQ(host.targets_held, 0);
  EXPECT_EQ(agent.count(SEVMON_COUNT_NO_RANDOM), 1u);
}

TEST_F(Request, Status) {
  host.c_bit_mask = 1ULL << 51;
  host.advance_seconds(3);
  agent.frame(Bytes(5));  // one malformed frame
  const auto status = load<sevmon_status>(ask({simple_item(SEVMON_ITEM_STATUS)}).item(0));
  EXPECT_EQ(status.protocol_version, 1);
  EXPECT_EQ(status.agent_version, SEVMON_AGENT_VERSION);
  EXPECT_EQ(status.host, SEVMON_HOST_TEST);
  EXPECT_EQ(status.key_source, SEVMON_KEY_FILE);
  EXPECT_EQ(status.keys, 1u);
  EXPECT_EQ(status.max_items, 59u);
  EXPECT_EQ(status.max_connections, 4u);
  EXPECT_EQ(status.max_pages, 15u);
  EXPECT_EQ(status.window_bits, 1024u);
  EXPECT_EQ(status.uptime_ns, 3'000'000'000u);
  EXPECT_EQ(status.time_ns, host.now_ns);
  EXPECT_EQ(status.counter[SEVMON_COUNT_FRAMES], 4u);
  EXPECT_EQ(status.counter[SEVMON_COUNT_MALFORMED], 1u);
  EXPECT_EQ(status.counter[SEVMON_COUNT_HANDSHAKES], 1u);
  EXPECT_EQ(status.target_kind, SEVMON_TARGET_PV + 0u);
  EXPECT_EQ(status.c_bit_mask, 1ULL << 51);
  EXPECT_STREQ(status.host_version, "fake");
  EXPECT_EQ(to_hex(status.boot_nonce), to_hex(agent.state().boot_nonce));
}

TEST_F(Request, BadItems) {
  struct Case {
    const char* name;
    sevmon_item item;
    unsigned status;
  };
  const Case cases[] = {
      {"no bytes", read_virtual(kGva, 0), SEVMON_STATUS_BAD_ITEM},
      {"over a page", read_virtual(kGva, 4097), SEVMON_STATUS_BAD_ITEM},
      {"crosses a page", read_virtual(kGva + 4095, 2), SEVMON_STATUS_BAD_ITEM},
      {"crosses a page by one", read_virtual(kGva + 1, 4096), SEVMON_STATUS_BAD_ITEM},
      {"up to the edge", read_virtual(kGva + 4095, 1), SEVMON_STATUS_NOT_MAPPED},
      {"physical over a page", read_physical(4095, 2), SEVMON_STATUS_BAD_ITEM},
      {"argument of a read", {SEVMON_ITEM_READ_VIRTUAL, 0, 1, 1, kGva}, SEVMON_STATUS_BAD_ITEM},
      {"argument of a physical read", {SEVMON_ITEM_READ_PHYSICAL, 0, 1, 1u << 31, 0}, 6},
      {"bytes of a translate", {SEVMON_ITEM_TRANSLATE, 0, 1, 0, kGva}, SEVMON_STATUS_BAD_ITEM},
      {"argument of a translate", simple_item(SEVMON_ITEM_TRANSLATE, 1, kGva), 6},
      {"address of a vCPU", simple_item(SEVMON_ITEM_VCPU_STATE, 0, 1), SEVMON_STATUS_BAD_ITEM},
      {"bytes of a vCPU", {SEVMON_ITEM_VCPU_STATE, 0, 576, 0, 0}, SEVMON_STATUS_BAD_ITEM},
      {"address of traps", simple_item(SEVMON_ITEM_TRAP_TABLE, 0, 1), SEVMON_STATUS_BAD_ITEM},
      {"argument of a boot record", simple_item(SEVMON_ITEM_BOOT_RECORD, 1), 6},
      {"address of a boot record", simple_item(SEVMON_ITEM_BOOT_RECORD, 0, 1), 6},
      {"argument of a status", simple_item(SEVMON_ITEM_STATUS, 1), SEVMON_STATUS_BAD_ITEM},
      {"bytes of a status", {SEVMON_ITEM_STATUS, 0, 1, 0, 0}, SEVMON_STATUS_BAD_ITEM},
      {"argument of a close", simple_item(SEVMON_ITEM_CLOSE, 1), SEVMON_STATUS_BAD_ITEM},
  };
  for (const auto& c : cases) {
    const auto got = result(c.item);
    EXPECT_EQ(got.status, c.status) << c.name;
    EXPECT_EQ(got.bytes, c.status == SEVMON_STATUS_BAD_ITEM ? 0u : c.item.bytes) << c.name;
  }
}

TEST_F(Request, EachReservedBitOfEachItem) {
  for (std::uint8_t type = SEVMON_ITEM_READ_VIRTUAL; type <= SEVMON_ITEM_CLOSE; ++type)
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto item =
          type <= SEVMON_ITEM_READ_PHYSICAL ? sevmon_item{type, 0, 1, 0, 0} : simple_item(type);
      item.zero = static_cast<std::uint8_t>(1 << bit);
      EXPECT_EQ(result(item).status, SEVMON_STATUS_BAD_ITEM) << +type << " " << bit;
    }
}

TEST_F(Request, TypesThatDoNotExist) {
  for (unsigned type = 0; type < 256; ++type) {
    if (type >= SEVMON_ITEM_READ_VIRTUAL && type <= SEVMON_ITEM_CLOSE) continue;
    if (type >= SEVMON_ITEM_PROGRAM_BEGIN && type <= SEVMON_ITEM_PROGRAM_COLLECT) continue;
    const auto got = result(simple_item(static_cast<std::uint8_t>(type), 0, kGva));
    EXPECT_EQ(got.status, SEVMON_STATUS_UNSUPPORTED) << type;
    EXPECT_EQ(got.bytes, 0u);
  }
}

/// What is there must not change where things are, nor how large anything is.
TEST_F(Request, LayoutIsTheSamePresentOrNot) {
  host.guest.map(kGva, Bytes(4096, 0xff));
  std::vector<Bytes> frames;
  for (const auto gva : {kGva, kAbsent, std::uint64_t{1} << 60}) {
    const auto body =
        request_body({read_virtual(gva + 3, 13), read_physical(gva & 0xfff, 5),
                      simple_item(SEVMON_ITEM_TRANSLATE, 0, gva), read_virtual(gva, 4096)});
    const auto response = ask(body);
    EXPECT_EQ(response.results[0].bytes, 13u);
    EXPECT_EQ(response.results[1].bytes, 5u);
    EXPECT_EQ(response.results[2].bytes, 64u);
    EXPECT_EQ(response.results[3].bytes, 4096u);
    EXPECT_EQ(response.offset(1), 16u);
    EXPECT_EQ(response.offset(2), 24u);
    EXPECT_EQ(response.offset(3), 88u);
    EXPECT_EQ(response.head.data_bytes, 88u + 4096u);
    if (gva != kGva) {
      EXPECT_EQ(Bytes(response.item(0).begin(), response.item(0).end()), Bytes(13));
      EXPECT_EQ(Bytes(response.item(3).begin(), response.item(3).end()), Bytes(4096));
    }
  }
}

TEST_F(Request, PagesFillAClassToTheByte) {
  InitiatorOptions options{.size_class = SEVMON_CLASS_4_PAGES};
  session = shake_hands(agent, options);
  const auto whole = read_virtual(kGva, 4096);
  auto response = ask({whole, whole, whole, read_virtual(kGva, 4088), read_virtual(kGva, 8)});
  EXPECT_EQ(response.results[4].status, SEVMON_STATUS_NOT_MAPPED);
  EXPECT_EQ(response.head.data_bytes, 4u * 4096);
  // One byte over.
  response = ask({whole, whole, whole, read_virtual(kGva, 4088), read_virtual(kGva, 9)});
  EXPECT_EQ(response.results[4].status, SEVMON_STATUS_NO_SPACE);
  EXPECT_EQ(response.results[4].bytes, 0u);
  EXPECT_EQ(response.head.data_bytes, 4u * 4096 - 8);
}

TEST_F(Request, AfterAnItemThatDoesNotFitNoneDoes) {
  session = shake_hands(agent, {.size_class = SEVMON_CLASS_1_PAGE});
  const auto before = agent.count(SEVMON_COUNT_ANSWERS);
  const auto response =
      ask({read_virtual(kGva, 8), simple_item(SEVMON_ITEM_TRAP_TABLE), read_virtual(kGva, 1),
           simple_item(0xee), simple_item(SEVMON_ITEM_CLOSE)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_NOT_MAPPED);
  for (unsigned i = 1; i < 5; ++i)
    EXPECT_EQ(response.results[i].status, SEVMON_STATUS_NO_SPACE) << i;
  EXPECT_EQ(response.head.data_bytes, 8u);
  EXPECT_EQ(ask({}).head.items, 0) << "the close did not fit either";
  EXPECT_EQ(agent.count(SEVMON_COUNT_ANSWERS), before + 2);
}

TEST_F(Request, FiftyNineItems) {
  sevmon_request_body body = request_body({});
  host.guest.map(kGva, Bytes{1, 2, 3, 4, 5, 6, 7, 8});
  body.head.items = SEVMON_MAX_ITEMS;
  for (auto& item : body.items) item = read_virtual(kGva, 8);
  const auto response = ask(body);
  EXPECT_EQ(response.head.items, 59);
  EXPECT_EQ(response.head.data_bytes, 59u * 8);
  EXPECT_EQ(to_hex(response.item(58)), "0102030405060708");
}

TEST_F(Request, BadRequests) {
  struct Case {
    const char* name;
    std::function<void(sevmon_request_body&)> spoil;
    unsigned status;
    unsigned items = 1;
  };
  const Case cases[] = {
      {"too many items", [](auto& b) { b.head.items = 60; }, SEVMON_ANSWER_BAD_REQUEST, 0},
      {"far too many items", [](auto& b) { b.head.items = 0xffff; }, 1, 0},
      {"an item beyond the count", [](auto& b) { b.head.items = 0; }, 1, 0},
      {"the last item not zero", [](auto& b) { b.items[58].address = 1ULL << 63; }, 1},
      {"reserved", [](auto& b) { b.head.zero[0] = 1; }, 1},
      {"reserved, last bit", [](auto& b) { b.head.zero[1] = 1ULL << 63; }, 1},
      {"unknown root kind", [](auto& b) { b.head.root_kind = 2; }, 1},
      {"levels with a vCPU's root", [](auto& b) { b.head.levels = 4; }, 1},
      {"frame with a vCPU's root", [](auto& b) { b.head.root_frame = 1; }, 1},
      {"three levels", [](auto& b) { b.head.root_kind = 1, b.head.levels = 3; }, 1},
      {"six levels", [](auto& b) { b.head.root_kind = 1, b.head.levels = 6; }, 1},
      {"vCPU with a root frame",
       [](auto& b) { b.head.root_kind = 1, b.head.levels = 4, b.head.vcpu = 1; }, 1},
      {"no such domain", [](auto& b) { b.head.domid = 7; }, SEVMON_ANSWER_NO_DOMAIN},
      {"no such vCPU", [](auto& b) { b.head.vcpu = 1; }, SEVMON_ANSWER_NO_ROOT},
  };
  for (const auto& c : cases) {
    auto body = request_body({read_virtual(kGva, 16)});
    c.spoil(body);
    const auto response = ask(body);
    EXPECT_EQ(response.head.status, c.status) << c.name;
    EXPECT_EQ(response.head.items, c.items) << c.name;
    EXPECT_EQ(response.head.data_bytes, 0u) << c.name;
    EXPECT_TRUE(std::ranges::all_of(ByteView{response.body}.subspan(sizeof(sevmon_response_head)),
                                    [](auto byte) { return byte == 0; }))
        << c.name << ": something was looked at";
  }
}

TEST_F(Request, ARootOfThreeLevelsIsNone) {
  FakeHost* guest32 = &host;
  guest32->root_status = SEVMON_ANSWER_NO_ROOT;
  EXPECT_EQ(ask({read_virtual(kGva, 1)}).head.status, SEVMON_ANSWER_NO_ROOT);
  EXPECT_EQ(ask({read_physical(0, 1)}).head.status, SEVMON_ANSWER_OK) << "it needs no root";
}

TEST_F(Request, GuestMemoryMayChangeWhileItIsRead) {
  host.guest.map(kGva, Bytes(4096, 1));
  const auto frame = host.guest.entry(kGva, 1) >> 12 & 0xffffffffff;
  host.on_map = [&](std::uint64_t mapped) {
    if (mapped == frame) host.guest.entry(kGva, 1) = 0;
  };
  const auto response = ask({read_virtual(kGva, 4), read_virtual(kGva, 4)});
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NOT_MAPPED);
}

TEST_F(Request, NothingInClearIsLeft) {
  const Bytes secret = from_text("what only the IDS may see");
  host.guest.map(kGva, secret);
  const auto item = read_virtual(kGva, static_cast<std::uint16_t>(secret.size()));
  ask({item});
  const auto holds = [&](ByteView what) { return contains(bytes_of(agent.work()), what); };
  EXPECT_FALSE(holds(secret));
  EXPECT_FALSE(holds(bytes_of(kGva))) << "the request in clear";
  const auto& current = agent.state().ids[0].connection[0].current;
  EXPECT_FALSE(holds(current.request_key));
  EXPECT_FALSE(holds(current.response_key));

  // Nor when the answer cannot be sealed.
  host.random_fails = true;
  EXPECT_EQ(agent.frame(session.request(n++, request_body({item}))).rc, -EBADMSG);
  EXPECT_FALSE(holds(secret));
  EXPECT_EQ(agent.count(SEVMON_COUNT_NO_RANDOM), 1u);
}

}  // namespace
}  // namespace sevmon::tests
