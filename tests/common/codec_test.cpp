// SPDX-License-Identifier: Apache-2.0
#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

namespace sevmon::common {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? ErrorCode::kInternal : result.error().code;
}

// ---- Cursor ----

TEST(Reader, PastTheEndTakesNothingAndStaysFailed) {
  const Bytes bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  Reader reader{bytes};
  EXPECT_EQ(reader.take<std::uint16_t>(), 0x0201);
  EXPECT_EQ(reader.take<std::uint16_t>(), 0);
  EXPECT_TRUE(reader.failed());
  EXPECT_TRUE(reader.bytes(1).empty());
  EXPECT_EQ(reader.left(), 0u);
  EXPECT_FALSE(reader.done());
}

TEST(Reader, HugeCountsDoNotWrap) {
  const Bytes bytes(3);
  Reader reader{bytes};
  EXPECT_TRUE(reader.bytes(SIZE_MAX).empty());
  EXPECT_TRUE(reader.failed());
}

TEST(Writer, PastTheEndWritesNothing) {
  Bytes bytes(3, std::byte{9});
  Writer writer{bytes};
  writer.put(std::uint16_t{0x0201});
  writer.put(std::uint16_t{0xffff});
  writer.zeros(1);
  EXPECT_TRUE(writer.failed());
  EXPECT_EQ(bytes, (Bytes{std::byte{1}, std::byte{2}, std::byte{9}}));
}

// ---- Envelope ----

TEST(Envelope, Limits) {
  const auto decode = [](sevmon_envelope envelope, Direction direction) {
    return decode_envelope(encode_envelope(envelope), direction);
  };
  for (const auto direction : {Direction::kToAgent, Direction::kToIds}) {
    const auto limit =
        direction == Direction::kToIds ? SEVMON_MAX_FRAME_BYTES : SEVMON_REQUEST_FRAME_BYTES;
    const auto bytes = static_cast<std::uint32_t>(limit);
    EXPECT_TRUE(decode({16, 1, 0, 0}, direction));
    EXPECT_TRUE(decode({bytes, 1, 0, 0}, direction));
    EXPECT_EQ(code_of(decode({15, 1, 0, 0}, direction)), ErrorCode::kMalformed);
    EXPECT_EQ(code_of(decode({0, 1, 0, 0}, direction)), ErrorCode::kMalformed);
    EXPECT_EQ(code_of(decode({bytes + 1, 1, 0, 0}, direction)), ErrorCode::kTooLarge);
    for (int bit = 0; bit < 32; ++bit)
      EXPECT_EQ(code_of(decode({16, 1, 0, 1u << bit}, direction)), ErrorCode::kMalformed);
    for (const int status : {-1, 9, 1 << 30})
      EXPECT_EQ(code_of(decode({0, 1, status, 0}, direction)), ErrorCode::kMalformed);
    for (int notice = 1; notice <= 8; ++notice) {
      EXPECT_EQ(decode({0, 1, notice, 0}, direction).has_value(), direction == Direction::kToIds);
      EXPECT_EQ(code_of(decode({16, 1, notice, 0}, direction)), ErrorCode::kMalformed);
    }
  }
}

// ---- Frames ----

Bytes frame_of(std::uint8_t type, std::uint8_t size_class = 0) {
  Bytes frame(frame_bytes(type, size_class));
  frame[0] = std::byte{type};
  frame[1] = std::byte{SEVMON_PROTOCOL_VERSION};
  frame[2] = std::byte{size_class};
  return frame;
}

TEST(Header, EachTypeHasOneSize) {
  for (std::uint8_t type = 0; type < 10; ++type)
    for (std::uint8_t size_class = 0; size_class < 5; ++size_class) {
      const bool is_sealed = type == SEVMON_FRAME_REQUEST || type == SEVMON_FRAME_RESPONSE;
      const bool exists = type >= 1 && type <= 6 && size_class < (is_sealed ? 3 : 1);
      ASSERT_EQ(frame_bytes(type, size_class) != 0, exists);
      if (!exists) continue;
      auto frame = frame_of(type, size_class);
      EXPECT_TRUE(decode_header(frame));
      frame.push_back({});
      EXPECT_EQ(code_of(decode_header(frame)), ErrorCode::kMalformed);
    }
}

TEST(Header, TruncatedAtEachLength) {
  const auto frame = frame_of(SEVMON_FRAME_RESPONSE);
  for (std::size_t bytes = 0; bytes < frame.size(); ++bytes)
    EXPECT_EQ(code_of(decode_header(std::span{frame}.first(bytes))), ErrorCode::kTruncated);
}

TEST(Header, ReservedFields) {
  for (std::uint8_t type = 1; type <= 6; ++type) {
    const bool is_sealed = type == SEVMON_FRAME_REQUEST || type == SEVMON_FRAME_RESPONSE;
    for (std::size_t byte = 1; byte < 16; ++byte) {
      if (byte == 2) continue;  // the size class: above
      auto frame = frame_of(type);
      frame[byte] ^= std::byte{0x10};
      EXPECT_EQ(decode_header(frame).has_value(), is_sealed && byte >= 4)
          << "type " << int{type} << " byte " << byte;
    }
  }
}

TEST(Challenge, EachReservedBitAndEachId) {
  const IdBytes ids{1}, agent{2};
  sevmon_challenge challenge{};
  challenge.header.type = SEVMON_FRAME_CHALLENGE;
  challenge.header.version = SEVMON_PROTOCOL_VERSION;
  challenge.ids_id[0] = 1;
  challenge.agent_id[0] = 2;
  const auto whole = bytes_of(challenge);
  const Bytes frame{whole.begin(), whole.end()};
  ASSERT_TRUE(decode_challenge(frame, ids, agent));
  for (std::size_t bit = 16 * 8; bit < frame.size() * 8; ++bit) {
    auto bent = frame;
    bent[bit / 8] ^= std::byte{1} << bit % 8;
    const auto result = decode_challenge(bent, ids, agent);
    if (bit / 8 >= 48 && bit / 8 < 80) {
      EXPECT_TRUE(result);
    } else {
      EXPECT_EQ(code_of(result), bit / 8 < 48 ? ErrorCode::kMismatch : ErrorCode::kMalformed);
    }
  }
  EXPECT_EQ(code_of(decode_challenge(frame_of(SEVMON_FRAME_ACCEPT), ids, agent)),
            ErrorCode::kMalformed);
}

// ---- Requests ----

sevmon_item read_item(std::uint16_t bytes, std::uint64_t address) {
  return {SEVMON_ITEM_READ_VIRTUAL, 0, bytes, 0, address};
}

TEST(Item, Forms) {
  const sevmon_item good[] = {
      read_item(1, 0),
      read_item(4096, 0x1000),
      read_item(1, 0x1fff),
      {SEVMON_ITEM_READ_PHYSICAL, 0, 4096, 0, 0xfff000},
      {SEVMON_ITEM_TRANSLATE, 0, 0, 0, UINT64_MAX},
      {SEVMON_ITEM_VCPU_STATE, 0, 0, 5, 0},
      {SEVMON_ITEM_TRAP_TABLE, 0, 0, 5, 0},
      {SEVMON_ITEM_BOOT_RECORD, 0, 0, 0, 0},
      {SEVMON_ITEM_STATUS, 0, 0, 0, 0},
      {SEVMON_ITEM_CLOSE, 0, 0, 0, 0},
  };
  for (const auto& item : good) {
    EXPECT_TRUE(is_valid_item(item)) << int{item.type};
    auto reserved = item;
    reserved.zero = 1;
    EXPECT_FALSE(is_valid_item(reserved));
    EXPECT_EQ(item_data_bytes(reserved), 0u);
  }
  const sevmon_item bad[] = {
      read_item(0, 0),
      read_item(4097, 0),
      read_item(2, 0x1fff),
      read_item(4096, 1),
      {SEVMON_ITEM_READ_VIRTUAL, 0, 1, 1, 0},
      {SEVMON_ITEM_TRANSLATE, 0, 1, 0, 0},
      {SEVMON_ITEM_TRANSLATE, 0, 0, 1, 0},
      {SEVMON_ITEM_VCPU_STATE, 0, 1, 0, 0},
      {SEVMON_ITEM_VCPU_STATE, 0, 0, 0, 1},
      {SEVMON_ITEM_STATUS, 0, 0, 1, 0},
      {SEVMON_ITEM_CLOSE, 0, 0, 0, 1},
      {0, 0, 0, 0, 0},
      {9, 0, 0, 0, 0},
      {16, 0, 0, 0, 0},
  };
  for (const auto& item : bad) EXPECT_FALSE(is_valid_item(item)) << int{item.type};
}

TEST(Request, EncodesToWhatDecodes) {
  sevmon_request_head head{};
  head.domid = 7;
  head.root_kind = SEVMON_ROOT_FRAME;
  head.levels = 5;
  head.root_frame = 99;
  const sevmon_item items[] = {read_item(8, 0x1000), {SEVMON_ITEM_STATUS, 0, 0, 0, 0}};
  const auto body = make_request(head, items, 0);
  ASSERT_TRUE(body);
  const auto raw = bytes_of(*body);
  const auto decoded = decode_request(raw.first<SEVMON_REQUEST_BODY_BYTES>());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::memcmp(&*decoded, &*body, sizeof(*body)), 0);
  EXPECT_EQ(decoded->head.items, 2);
  // Each byte of an unused item, and each reserved byte of the head.
  for (std::size_t byte = 16; byte < SEVMON_REQUEST_BODY_BYTES; ++byte) {
    if (byte >= 32 && byte < 64) continue;  // the two items
    Bytes bent{raw.begin(), raw.end()};
    bent[byte] = std::byte{0x80};
    EXPECT_EQ(code_of(decode_request(std::span{bent}.first<SEVMON_REQUEST_BODY_BYTES>())),
              ErrorCode::kMalformed)
        << byte;
  }
}

TEST(Request, Limits) {
  const std::vector<sevmon_item> most(SEVMON_MAX_ITEMS, read_item(1, 0));
  EXPECT_TRUE(make_request({}, most, 0));
  EXPECT_EQ(code_of(make_request({}, std::vector(SEVMON_MAX_ITEMS + 1, most[0]), 0)),
            ErrorCode::kUsage);
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    std::vector<sevmon_item> pages(SEVMON_CLASS_PAGES(size_class), read_item(4096, 0));
    EXPECT_TRUE(make_request({}, pages, size_class));
    pages.push_back(read_item(1, 0));
    EXPECT_EQ(code_of(make_request({}, pages, size_class)), ErrorCode::kUsage);
  }
  const std::function<void(sevmon_request_head&)> bends[] = {
      [](auto& head) { head.root_kind = 2; },
      [](auto& head) { head.levels = 4; },
      [](auto& head) { head.root_frame = 1; },
      [](auto& head) { head.zero[0] = 1; },
      [](auto& head) { head.zero[1] = 1ull << 63; },
      [](auto& head) { head.root_kind = 1; },
      [](auto& head) { head.root_kind = 1, head.levels = 3; },
      [](auto& head) { head.root_kind = 1, head.levels = 6; },
      [](auto& head) { head.root_kind = 1, head.levels = 4, head.vcpu = 1; },
  };
  for (const auto& bend : bends) {
    sevmon_request_head head{};
    bend(head);
    EXPECT_EQ(code_of(make_request(head, {}, 0)), ErrorCode::kUsage);
  }
}

TEST(DataLayout, AlignsAndEndsAtTheLastItem) {
  DataLayout layout{SEVMON_CLASS_1_PAGE};
  EXPECT_EQ(layout.place(1), 0u);
  EXPECT_EQ(layout.place(0), 8u);
  EXPECT_EQ(layout.used(), 1u);
  EXPECT_EQ(layout.place(8), 8u);
  EXPECT_EQ(layout.used(), 16u);
  EXPECT_TRUE(layout.fits(4080));
  EXPECT_FALSE(layout.fits(4081));
}

// ---- Responses ----

constexpr std::size_t kResults = sizeof(sevmon_response_head);

/// A right answer to three items, for tests to bend.
class ResponseTest : public ::testing::Test {
 protected:
  ResponseTest()
      : request_{*make_request({},
                               std::vector<sevmon_item>{read_item(5, 0x1000),
                                                        {SEVMON_ITEM_TRANSLATE, 0, 0, 0, 0},
                                                        {SEVMON_ITEM_VCPU_STATE, 0, 0, 0, 0},
                                                        read_item(3, 0x2000)},
                               0)},
        body_(SEVMON_RESPONSE_BODY_BYTES(0)) {
    head_.n = 17;
    head_.items = 4;
    head_.kind = SEVMON_TARGET_PV;
    head_.levels = 4;
    results_ = {{{0, 1, 0, 5}, {1, 2, 0, 64}, {9, 0, 0, 0}, {1, 3, 0, 3}}};
    head_.data_bytes = 72 + 3;  // 0..5, 8..72, nothing, 72..75
  }

  Result<ResponseView> decode() {
    std::memcpy(body_.data(), &head_, sizeof(head_));
    std::memcpy(body_.data() + kResults, &results_, sizeof(results_));
    return decode_response(body_, 17, 0, request_);
  }

  sevmon_request_body request_;
  sevmon_response_head head_{};
  std::array<sevmon_item_result, SEVMON_MAX_ITEMS> results_{};
  Bytes body_;
};

TEST_F(ResponseTest, LiesWhereTheRequestSays) {
  const auto view = decode();
  ASSERT_TRUE(view) << view.error().message();
  ASSERT_EQ(view->items.size(), 4u);
  EXPECT_EQ(view->items[0].offset, SEVMON_DATA_OFFSET);
  EXPECT_EQ(view->items[1].offset, SEVMON_DATA_OFFSET + 8);
  EXPECT_EQ(view->items[2].bytes, 0u);
  EXPECT_EQ(view->items[3].offset, SEVMON_DATA_OFFSET + 72);
  EXPECT_EQ(view->items[3].level, 3);
}

TEST_F(ResponseTest, OfAnotherSizeOrNumber) {
  ASSERT_TRUE(decode());
  EXPECT_EQ(code_of(decode_response(body_, 18, 0, request_)), ErrorCode::kMismatch);
  EXPECT_EQ(code_of(decode_response(body_, 17, 1, request_)), ErrorCode::kTruncated);
  EXPECT_EQ(code_of(decode_response(body_, 17, 3, request_)), ErrorCode::kTruncated);
  for (std::size_t bytes = 0; bytes < body_.size(); ++bytes)
    EXPECT_EQ(code_of(decode_response(std::span{body_}.first(bytes), 17, 0, request_)),
              ErrorCode::kTruncated);
}

TEST_F(ResponseTest, BentHeadsAndResults) {
  const std::function<void()> bends[] = {
      [&] { head_.zero0 = 1; },
      [&] { head_.zero[0] = 1; },
      [&] { head_.zero[1] = 1ull << 63; },
      [&] { head_.status = 4; },
      [&] { head_.status = SEVMON_ANSWER_NO_ROOT; },  // with results
      [&] { head_.items = 3; },
      [&] { head_.items = 5; },
      [&] { head_.items = 60; },
      [&] { head_.levels = 3; },
      [&] { head_.levels = 6; },
      [&] { head_.kind = 4; },
      [&] { head_.data_bytes = 74; },
      [&] { head_.data_bytes = 76; },
      [&] { results_[0].zero = 1; },
      [&] { results_[0].level = 6; },
      [&] { results_[0].bytes = 4; },
      [&] { results_[0].bytes = 0; },
      [&] { results_[0].status = SEVMON_STATUS_BAD_ITEM; },
      [&] { results_[0].status = SEVMON_STATUS_NO_SPACE; },
      [&] { results_[0].status = 10; },
      [&] { results_[1].bytes = 0; },    // a failed walk keeps its room
      [&] { results_[2].bytes = 576; },  // a failed state has none
      [&] { results_[2].status = 0; },   // and a good one has
      [&] { results_[3].bytes = UINT32_MAX; },
      [&] { body_[SEVMON_DATA_OFFSET + 74] = std::byte{1}; },  // a failed read with data
      [&] { body_[SEVMON_DATA_OFFSET + 75] = std::byte{1}; },  // data behind the items
      [&] { body_.back() = std::byte{1}; },
      [&] { results_[4].status = 1; },
      [&] { results_[58].bytes = 1; },
  };
  const auto head = head_;
  const auto results = results_;
  const auto body = body_;
  int index = 0;
  for (const auto& bend : bends) {
    head_ = head;
    results_ = results;
    body_ = body;
    bend();
    EXPECT_EQ(code_of(decode()), ErrorCode::kMalformed) << "bend " << index;
    ++index;
  }
}

TEST_F(ResponseTest, RefusedAnswersHaveNoResults) {
  results_ = {};
  head_.data_bytes = 0;
  for (const std::uint16_t status : {1, 2, 3}) {
    head_.status = status;
    const auto view = decode();
    ASSERT_TRUE(view) << view.error().message();
    EXPECT_EQ(view->items.size(), 4u);
  }
  head_.data_bytes = 1;
  EXPECT_EQ(code_of(decode()), ErrorCode::kMalformed);
}

}  // namespace
}  // namespace sevmon::common
