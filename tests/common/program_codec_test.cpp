// SPDX-License-Identifier: Apache-2.0
//
// Requests and responses of programs: one item, a payload, and what a run appended.
#include <sevmon/codec.hpp>

#include <gtest/gtest.h>

#include <cstring>

#include <sevmon/cursor.hpp>

namespace sevmon::common {
namespace {

using Bytes = std::vector<std::byte>;

sevmon_item item(std::uint8_t type, std::size_t bytes) {
  return {type, 0, static_cast<std::uint16_t>(bytes), 0, 0};
}

template <typename T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode{} : result.error().code;
}

Result<sevmon_request_body> make(const sevmon_item& item, std::size_t bytes) {
  return make_request({}, std::span{&item, 1}, 0, Bytes(bytes, std::byte{7}));
}

constexpr struct Kind {
  std::uint8_t type;
  std::size_t bytes;
  bool has_more;
} kKinds[] = {{SEVMON_ITEM_PROGRAM_BEGIN, 40, false},   {SEVMON_ITEM_PROGRAM_CHUNK, 16, true},
              {SEVMON_ITEM_PROGRAM_COMMIT, 16, false},  {SEVMON_ITEM_PROGRAM_UNLOAD, 16, false},
              {SEVMON_ITEM_PROGRAM_LIST, 0, false},     {SEVMON_ITEM_PROGRAM_RUN, 24, true},
              {SEVMON_ITEM_PROGRAM_SCHEDULE, 32, true}, {SEVMON_ITEM_PROGRAM_UNSCHEDULE, 16, false},
              {SEVMON_ITEM_PROGRAM_COLLECT, 16, false}};

TEST(ProgramRequest, HasAPayloadOfItsKind) {
  for (const auto& kind : kKinds)
    for (std::size_t bytes = 0; bytes <= SEVMON_MAX_PAYLOAD_BYTES + 1; ++bytes) {
      const bool is_right = bytes <= SEVMON_MAX_PAYLOAD_BYTES &&
                            (kind.has_more ? bytes >= kind.bytes : bytes == kind.bytes);
      EXPECT_EQ(is_valid_item(item(kind.type, bytes)), is_right) << +kind.type << " " << bytes;
      const auto made = make(item(kind.type, bytes), bytes);
      ASSERT_EQ(made.has_value(), is_right) << +kind.type << " " << bytes;
      if (!made) continue;
      const auto encoded = bytes_of(*made);
      EXPECT_EQ(encoded[48 + bytes - (bytes > 0)], bytes > 0 ? std::byte{7} : std::byte{0});
      EXPECT_TRUE(decode_request(encoded.first<SEVMON_REQUEST_BODY_BYTES>()));
    }
}

TEST(ProgramRequest, IsRefused) {
  for (const auto& kind : kKinds) {
    const auto good = item(kind.type, kind.bytes);
    EXPECT_TRUE(make(good, kind.bytes));
    EXPECT_EQ(code_of(make(good, kind.bytes + 1)), ErrorCode::kUsage) << "another length";
    const std::vector two(2, good);
    EXPECT_EQ(code_of(make_request({}, two, 0, Bytes(kind.bytes))), ErrorCode::kUsage);
    for (const auto bent :
         {sevmon_item{kind.type, 1, good.bytes, 0, 0}, sevmon_item{kind.type, 0, good.bytes, 1, 0},
          sevmon_item{kind.type, 0, good.bytes, 0, 1}})
      EXPECT_EQ(code_of(make(bent, kind.bytes)), ErrorCode::kUsage);
  }
  const auto read = sevmon_item{SEVMON_ITEM_READ_VIRTUAL, 0, 1, 0, 0};
  EXPECT_EQ(code_of(make(read, 1)), ErrorCode::kUsage) << "it has no payload";
  EXPECT_EQ(code_of(make_request({}, {}, 0, Bytes(1))), ErrorCode::kUsage);
}

TEST(ProgramRequest, DecodesOnlyWithZerosBehindIt) {
  auto body = *make(item(SEVMON_ITEM_PROGRAM_CHUNK, 20), 20);
  for (std::size_t at = 48; at < sizeof(body); ++at) {
    auto bytes = bytes_of(body);
    std::array<std::byte, sizeof(body)> bent;
    std::ranges::copy(bytes, bent.begin());
    bent[at] ^= std::byte{1};
    EXPECT_EQ(decode_request(bent).has_value(), at < 48 + 20) << at;
  }
  body.head.items = 2;
  EXPECT_FALSE(decode_request(bytes_of(body).first<SEVMON_REQUEST_BODY_BYTES>()));
}

class ProgramResponse : public ::testing::Test {
 protected:
  /// A right answer to one item, unless a test bends it.
  Result<ResponseView> decode(std::uint8_t type, std::uint16_t status, std::uint32_t bytes) {
    const auto kind = *std::ranges::find(kKinds, type, &Kind::type);
    const auto request = *make(item(type, kind.bytes), kind.bytes);
    sevmon_response_head head{};
    head.items = 1;
    head.kind = SEVMON_TARGET_PV;
    head.levels = 4;
    head.data_bytes = bytes;
    const sevmon_item_result result{.status = status, .level = 0, .zero = 0, .bytes = bytes};
    Bytes body(SEVMON_RESPONSE_BODY_BYTES(0));
    std::memcpy(body.data(), &head, sizeof(head));
    std::memcpy(body.data() + sizeof(head), &result, sizeof(result));
    std::memcpy(body.data() + SEVMON_DATA_OFFSET, &report_, sizeof(report_));
    std::fill_n(body.begin() + SEVMON_DATA_OFFSET + sizeof(report_), appended_, std::byte{1});
    return decode_response(body, 0, 0, request);
  }

  sevmon_run_report report_{};
  std::size_t appended_ = 0;
};

TEST_F(ProgramResponse, OfEachKind) {
  for (const auto& kind : kKinds) {
    if (kind.type == SEVMON_ITEM_PROGRAM_RUN) continue;
    const auto bytes = item_data_bytes(item(kind.type, kind.bytes));
    EXPECT_TRUE(decode(kind.type, SEVMON_STATUS_OK, bytes)) << +kind.type;
    EXPECT_FALSE(decode(kind.type, SEVMON_STATUS_OK, bytes + 1)) << +kind.type;
    const bool keeps_room = kind.type == SEVMON_ITEM_PROGRAM_COMMIT;
    for (const std::uint16_t status :
         {SEVMON_STATUS_NO_PROGRAM, SEVMON_STATUS_BUSY, SEVMON_STATUS_REFUSED})
      EXPECT_TRUE(decode(kind.type, status, keeps_room ? bytes : 0)) << +kind.type << " " << status;
    for (const std::uint16_t status :
         {SEVMON_STATUS_BAD_ITEM, SEVMON_STATUS_NO_SPACE, SEVMON_STATUS_REFUSED + 1})
      EXPECT_FALSE(decode(kind.type, status, keeps_room ? bytes : 0))
          << +kind.type << " " << status;
  }
}

TEST_F(ProgramResponse, OfARun) {
  const auto decode_run = [&](std::uint32_t bytes) {
    return decode(SEVMON_ITEM_PROGRAM_RUN, SEVMON_STATUS_OK, bytes);
  };
  EXPECT_FALSE(decode_run(64)) << "a run that is answered has ended";
  for (std::uint32_t state = SEVMON_RUN_DONE; state < SEVMON_RUN_STATES; ++state) {
    report_.state = state;
    EXPECT_TRUE(decode_run(64)) << state;
  }
  report_.state = SEVMON_RUN_STATES;
  EXPECT_FALSE(decode_run(64));
  report_.state = SEVMON_RUN_DONE;

  report_.result_bytes = appended_ = 100;
  const auto view = decode_run(164);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(view->items[0].bytes, 164u);
  EXPECT_FALSE(decode_run(163));
  EXPECT_FALSE(decode_run(165));
  appended_ = 101;
  EXPECT_FALSE(decode_run(164)) << "data behind the result";
  report_.result_bytes = appended_ = SEVMON_PAGE_BYTES - 64;
  EXPECT_TRUE(decode_run(SEVMON_PAGE_BYTES));
  for (const std::uint32_t bytes : {SEVMON_PAGE_BYTES - 63u, 0xffffffffu}) {
    report_.result_bytes = bytes;
    EXPECT_FALSE(decode_run(SEVMON_PAGE_BYTES)) << "more than there is room for";
    EXPECT_FALSE(decode_run(64 + bytes));
  }
  report_.result_bytes = 0, appended_ = 0;
  report_.runs = ~0ULL;
  EXPECT_TRUE(decode_run(64));
}

// ---- What COLLECT gives ----

class CollectedResults : public ::testing::Test {
 protected:
  /// Results of these lengths.
  explicit CollectedResults(std::vector<std::uint32_t> lengths = {5, 0, 16}) {
    put(sevmon_collected{.next_number = 10,
                         .skipped = 3,
                         .results = static_cast<std::uint32_t>(lengths.size()),
                         .waiting = 1,
                         .zero = 0});
    std::uint64_t number = 4;
    for (const auto length : lengths) {
      heads_.push_back(bytes_.size());
      sevmon_result_head head{};
      head.number = number += 2 - (number == 6);
      head.kind = SEVMON_TARGET_PV, head.levels = 4, head.flags = SEVMON_RUN_ATOMIC;
      head.report.state = SEVMON_RUN_DONE, head.report.result_bytes = length;
      put(head);
      bytes_.insert(bytes_.end(), length, std::byte{7});
      bytes_.resize((bytes_.size() + 7) / 8 * 8);
    }
  }

  template <typename T>
  void put(const T& value) {
    const auto raw = bytes_of(value);
    bytes_.insert(bytes_.end(), raw.begin(), raw.end());
  }
  template <typename Member>
  void set(std::size_t at, std::size_t offset, Member value) {
    std::memcpy(bytes_.data() + heads_[at] + offset, &value, sizeof(value));
  }
  bool is_taken() const { return decode_collected(bytes_).has_value(); }

  Bytes bytes_;
  std::vector<std::size_t> heads_;
};

TEST_F(CollectedResults, AreTakenApart) {
  const auto view = decode_collected(bytes_);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(view->head.skipped, 3u);
  EXPECT_EQ(view->bytes, bytes_.size());
  ASSERT_EQ(view->results.size(), 3u);
  EXPECT_EQ(view->results[0].bytes.size(), 5u);
  EXPECT_EQ(view->results[0].bytes[4], std::byte{7});
  EXPECT_EQ(view->results[1].bytes.size(), 0u);
  EXPECT_EQ(view->results[2].head.number, 9u);
  bytes_.resize(bytes_.size() + 8);
  EXPECT_EQ(decode_collected(bytes_)->bytes, bytes_.size() - 8) << "what is behind them is not its";
}

TEST_F(CollectedResults, TruncatedAreRefused) {
  for (std::size_t bytes = 0; bytes < bytes_.size(); ++bytes)
    EXPECT_FALSE(decode_collected(std::span{bytes_}.first(bytes))) << bytes;
}

TEST_F(CollectedResults, OutOfOrderAreRefused) {
  const auto number = offsetof(sevmon_result_head, number);
  for (const std::uint64_t wrong : {0ULL, 6ULL, 7ULL, 10ULL, ~0ULL}) {
    const auto before = bytes_;
    set(1, number, wrong);
    EXPECT_EQ(is_taken(), wrong == 7) << wrong;
    bytes_ = before;
  }
  set(0, number, std::uint64_t{0});
  EXPECT_FALSE(is_taken());
}

TEST_F(CollectedResults, WhatCannotBeIsRefused) {
  const auto refused = [&](std::size_t offset, auto value) {
    const auto before = bytes_;
    set(1, offset, value);
    const bool is_refused = !is_taken();
    bytes_ = before;
    return is_refused;
  };
  const auto report = offsetof(sevmon_result_head, report);
  EXPECT_TRUE(refused(offsetof(sevmon_result_head, kind), std::uint8_t{SEVMON_TARGET_IMAGE + 1}));
  EXPECT_TRUE(refused(offsetof(sevmon_result_head, levels), std::uint8_t{3}));
  EXPECT_FALSE(refused(offsetof(sevmon_result_head, levels), std::uint8_t{5}));
  for (unsigned bit = 1; bit < 32; ++bit)
    EXPECT_TRUE(refused(offsetof(sevmon_result_head, flags), 1U << bit)) << bit;
  EXPECT_TRUE(refused(report, std::uint32_t{SEVMON_RUN_RUNNING}));
  EXPECT_TRUE(refused(report, std::uint32_t{SEVMON_RUN_STATES}));
  for (const std::uint32_t length : {113U, 1U << 31, ~0U})
    EXPECT_TRUE(refused(report + offsetof(sevmon_run_report, result_bytes), length)) << length;
  bytes_[heads_[0] + sizeof(sevmon_result_head) + 5] = std::byte{1};
  EXPECT_FALSE(is_taken()) << "what fills up to 8 bytes";
}

TEST_F(CollectedResults, EachReservedBitIsRefused) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t zero = 1ULL << bit;
    std::memcpy(bytes_.data() + offsetof(sevmon_collected, zero), &zero, sizeof(zero));
    EXPECT_FALSE(is_taken()) << bit;
  }
}

TEST_F(CollectedResults, AnAnswerMustEndWithThem) {
  sevmon_response_head head{};
  head.items = 1;
  head.data_bytes = static_cast<std::uint32_t>(bytes_.size());
  const auto request = *make(item(SEVMON_ITEM_PROGRAM_COLLECT, 16), 16);
  const auto decode = [&](std::uint32_t bytes) {
    head.data_bytes = bytes;
    const sevmon_item_result result{
        .status = SEVMON_STATUS_OK, .level = 0, .zero = 0, .bytes = bytes};
    Bytes body(SEVMON_RESPONSE_BODY_BYTES(0));
    std::memcpy(body.data(), &head, sizeof(head));
    std::memcpy(body.data() + sizeof(head), &result, sizeof(result));
    std::ranges::copy(bytes_, body.begin() + SEVMON_DATA_OFFSET);
    return decode_response(body, 0, 0, request);
  };
  const auto bytes = static_cast<std::uint32_t>(bytes_.size());
  EXPECT_TRUE(decode(bytes));
  EXPECT_FALSE(decode(bytes - 8));
  EXPECT_FALSE(decode(bytes + 8));
  EXPECT_FALSE(decode(0));
  bytes_.push_back(std::byte{1});
  EXPECT_FALSE(decode(bytes)) << "data behind them";
}

}  // namespace
}  // namespace sevmon::common
