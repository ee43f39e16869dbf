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
} kKinds[] = {{SEVMON_ITEM_PROGRAM_BEGIN, 40, false},  {SEVMON_ITEM_PROGRAM_CHUNK, 16, true},
              {SEVMON_ITEM_PROGRAM_COMMIT, 16, false}, {SEVMON_ITEM_PROGRAM_UNLOAD, 16, false},
              {SEVMON_ITEM_PROGRAM_LIST, 0, false},    {SEVMON_ITEM_PROGRAM_RUN, 24, true}};

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
  for (std::uint32_t state = SEVMON_RUN_DONE; state <= SEVMON_RUN_NO_TARGET; ++state) {
    report_.state = state;
    EXPECT_TRUE(decode_run(64)) << state;
  }
  report_.state = SEVMON_RUN_NO_TARGET + 1;
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
  for (unsigned bit = 0; bit < 64; ++bit) {
    report_.zero = 1ULL << bit;
    EXPECT_FALSE(decode_run(64)) << bit;
  }
  report_.zero = 0;
  report_.runs = ~0ULL;
  EXPECT_TRUE(decode_run(64));
}

}  // namespace
}  // namespace sevmon::common
