// SPDX-License-Identifier: Apache-2.0
// A target made up in code behind a Channel: physical bytes and page tables as maps.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sevmon/channel.hpp>

#include "ids/linux/fake_kernel.hpp"

namespace sevmon::ids::test {

class FakeChannel final : public Channel {
 public:
  sevmon_status status{};
  std::optional<sevmon_boot_record> record;
  FakeBytes physical;
  /// (root frame, levels) -> virtual page -> frame
  std::map<std::pair<std::uint64_t, std::uint8_t>, std::map<std::uint64_t, std::uint64_t>> tables;
  std::uint16_t answer_status = SEVMON_ANSWER_OK;
  unsigned exchanges = 0;
  unsigned max_exchanges = 1U << 31;  // then the channel is gone

  void map(std::uint64_t root_frame, std::uint8_t levels, std::uint64_t gva, std::uint64_t gpa,
           std::uint64_t bytes) {
    for (std::uint64_t i = 0; i <= (gva % 4096 + bytes - 1) / 4096; ++i)
      tables[{root_frame, levels}][(gva >> 12) + i] = (gpa >> 12) + i;
  }

  common::Result<std::vector<Response>> exchange(std::span<const Request> requests) override {
    if (++exchanges > max_exchanges)
      return common::Error{common::ErrorCode::kConnect, "fake: enough"};
    std::vector<Response> responses;
    for (const auto& request : requests) responses.push_back(answer(request));
    return responses;
  }
  std::uint8_t size_class() const override { return SEVMON_CLASS_15_PAGES; }
  ChannelStats stats() const override { return {}; }
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const override { return {}; }
  std::string describe() const override { return "fake"; }

 private:
  using Bytes = std::vector<std::byte>;
  struct Raw {
    std::uint16_t status = SEVMON_STATUS_OK;
    Bytes bytes;
  };

  Response answer(const Request& request) {
    Response response;
    response.head.status = answer_status;
    if (answer_status != SEVMON_ANSWER_OK) return response;
    std::vector<Raw> raws;
    for (const auto& item : request.items) raws.push_back(take(request.root, item));
    for (const auto& raw : raws)
      response.body.insert(response.body.end(), raw.bytes.begin(), raw.bytes.end());
    std::size_t at = 0;
    for (const auto& raw : raws) {
      response.items.push_back({.status = raw.status,
                                .level = 0,
                                .bytes = std::span{response.body}.subspan(at, raw.bytes.size())});
      at += raw.bytes.size();
    }
    return response;
  }

  template <typename T>
  static Bytes bytes_of(const T& value) {
    Bytes bytes(sizeof(T));
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }

  std::optional<std::uint64_t> frame_of(const Root& root, std::uint64_t gva) const {
    if (root.kind != Root::Kind::kFrame) return std::nullopt;
    const auto table = tables.find({root.frame.value, root.levels});
    if (table == tables.end()) return std::nullopt;
    const auto page = table->second.find(gva >> 12);
    return page == table->second.end() ? std::nullopt : std::optional{page->second};
  }

  Raw read(std::uint64_t gpa, std::uint16_t bytes) const {
    Raw raw{.bytes = Bytes(bytes)};
    for (std::uint16_t i = 0; i < bytes; ++i) {
      const auto* byte = physical.find(gpa + i);
      if (byte == nullptr) return {SEVMON_STATUS_NO_FRAME, Bytes(bytes)};
      raw.bytes[i] = *byte;
    }
    return raw;
  }

  Raw take(const Root& root, const sevmon_item& item) {
    switch (item.type) {
      case SEVMON_ITEM_STATUS:
        return {.bytes = bytes_of(status)};
      case SEVMON_ITEM_BOOT_RECORD:
        return record ? Raw{.bytes = bytes_of(*record)} : Raw{SEVMON_STATUS_UNSUPPORTED, {}};
      case SEVMON_ITEM_READ_PHYSICAL:
        return read(item.address, item.bytes);
      default:
        break;
    }
    const auto frame = frame_of(root, item.address);
    if (item.type == SEVMON_ITEM_READ_VIRTUAL)
      return frame ? read(*frame << 12 | (item.address & 4095), item.bytes)
                   : Raw{SEVMON_STATUS_NOT_MAPPED, Bytes(item.bytes)};
    sevmon_translation translation{};
    translation.frame = frame.value_or(0);
    return {static_cast<std::uint16_t>(frame ? SEVMON_STATUS_OK : SEVMON_STATUS_NOT_MAPPED),
            bytes_of(translation)};
  }
};

}  // namespace sevmon::ids::test
