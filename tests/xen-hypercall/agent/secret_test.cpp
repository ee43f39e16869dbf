// SPDX-License-Identifier: Apache-2.0
#include "secret.h"

#include <gtest/gtest.h>

#include <memory>

#include "support/secret_area.hpp"

namespace sevmon::tests {
namespace {

constexpr Guid kOther{1, 2, 3};
constexpr Guid kDeleted{};
const Bytes kData = from_text("SEVMONKY and so on");

struct Found {
  int rc;
  Bytes data;
};

/// In memory of exactly this size, so that the sanitizers see every byte too far.
Found find(ByteView area) {
  const auto copy = std::make_unique<std::uint8_t[]>(area.size());
  std::ranges::copy(area, copy.get());
  const void* data = nullptr;
  std::size_t bytes = 0;
  const int rc = sevmon_secret_find(copy.get(), area.size(), &data, &bytes);
  const auto* from = static_cast<const std::uint8_t*>(data);
  return {rc, rc == 0 ? Bytes(from, from + bytes) : Bytes{}};
}

const Bytes kOurs = secret_entry(kKeysGuid, kData);

TEST(Secret, FoundWherever) {
  const auto other = secret_entry(kOther, from_text("a disk's"));
  const auto empty = secret_entry(kOther, {});
  for (const auto& entries : std::vector<std::vector<Bytes>>{
           {kOurs}, {other, kOurs}, {kOurs, other}, {empty, other, kOurs, empty}}) {
    const auto found = find(secret_area(entries));
    EXPECT_EQ(found.rc, 0);
    EXPECT_EQ(found.data, kData);
  }
}

TEST(Secret, BytesBehindTheAreaAreNotItsOwn) {
  auto area = secret_area({kOurs});
  area.resize(area.size() + 3000, 0xff);
  EXPECT_EQ(find(area).data, kData);
}

TEST(Secret, NoneOfOurs) {
  EXPECT_EQ(find(secret_area({})).rc, -ENOENT);
  EXPECT_EQ(find(secret_area({secret_entry(kOther, kData)})).rc, -ENOENT);
  EXPECT_EQ(find(secret_area({secret_entry(kDeleted, kData)})).rc, -ENOENT);
}

TEST(Secret, TruncatedAtEachLength) {
  const auto area = secret_area({secret_entry(kOther, kData), kOurs});
  for (std::size_t size = 0; size < area.size(); ++size) {
    EXPECT_EQ(find(ByteView{area}.first(size)).rc, -EINVAL) << size;
    // The same with a head that claims no more than there is.
    if (size < 20) continue;
    auto shorter = Bytes(area.begin(), area.begin() + static_cast<std::ptrdiff_t>(size));
    const auto head = secret_head(kAreaGuid, static_cast<std::uint32_t>(size));
    std::ranges::copy(head, shorter.begin());
    const auto ends_with_entry = size == 20 + 20 + kData.size();
    EXPECT_EQ(find(shorter).rc, size == 20 || ends_with_entry ? -ENOENT : -EINVAL) << size;
  }
}

TEST(Secret, EachBitOfBothLengths) {
  const auto whole = secret_area({kOurs});
  for (const std::size_t at : {std::size_t{16}, std::size_t{36}})
    for (unsigned bit = 0; bit < 32; ++bit) {
      auto area = whole;
      area[at + bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      EXPECT_EQ(find(area).rc, -EINVAL) << at << ' ' << bit;
    }
}

TEST(Secret, EachBitOfItsGuid) {
  const auto whole = secret_area({kOurs});
  for (unsigned bit = 0; bit < 128; ++bit) {
    auto area = whole;
    area[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_FALSE(sevmon_secret_has_head(area.data(), area.size())) << bit;
    EXPECT_EQ(find(area).rc, -EINVAL) << bit;
    area = whole;
    area[20 + bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_TRUE(sevmon_secret_has_head(area.data(), area.size())) << bit;
    EXPECT_EQ(find(area).rc, -ENOENT) << bit;
  }
}

TEST(Secret, LengthsAtTheirLimits) {
  for (const std::uint32_t size : {0u, 1u, 19u}) {
    auto area = secret_area({kOurs});
    std::ranges::copy(secret_head(kAreaGuid, size), area.begin());
    EXPECT_EQ(find(area).rc, -EINVAL) << "area of " << size;
    area = secret_area({kOurs});
    std::ranges::copy(secret_head(kKeysGuid, size), area.begin() + 20);
    EXPECT_EQ(find(area).rc, -EINVAL) << "entry of " << size;
    area = secret_area({secret_head(kOther, size), kOurs});
    EXPECT_EQ(find(area).rc, -EINVAL) << "another's entry of " << size;
  }
  EXPECT_EQ(find(secret_area({secret_entry(kKeysGuid, {})})).rc, 0);
  EXPECT_EQ(find(secret_area({kOurs}, 1)).rc, -EINVAL);
  EXPECT_EQ(find(secret_area({secret_entry(kKeysGuid, kData, 1)})).rc, -EINVAL);
  EXPECT_EQ(find(secret_area({kOurs}, 0xffffff00)).rc, -EINVAL);
  EXPECT_EQ(find(secret_area({secret_entry(kKeysGuid, kData, 0xffffff00)})).rc, -EINVAL);
}

TEST(Secret, AnEntryThatReachesIntoTheNext) {
  const auto reaching = secret_entry(kOther, kData, 8);
  EXPECT_EQ(find(secret_area({reaching, kOurs})).rc, -EINVAL);
  EXPECT_EQ(find(secret_area({kOurs, secret_entry(kOther, {}, 1)})).rc, -EINVAL);
}

TEST(Secret, TwoOfOurs) {
  EXPECT_EQ(find(secret_area({kOurs, kOurs})).rc, -EINVAL);
  EXPECT_EQ(find(secret_area({kOurs, secret_entry(kKeysGuid, {})})).rc, -EINVAL);
}

TEST(Secret, PaddingIsZeros) {
  for (std::size_t count = 1; count < 20; ++count) {
    EXPECT_EQ(find(secret_area({kOurs, Bytes(count)})).data, kData) << count;
    auto dirty = Bytes(count);
    dirty.back() = 1;
    EXPECT_EQ(find(secret_area({kOurs, dirty})).rc, -EINVAL) << count;
  }
  EXPECT_EQ(find(secret_area({kOurs, Bytes(20)})).rc, -EINVAL) << "an entry of length 0";
}

}  // namespace
}  // namespace sevmon::tests
