// SPDX-License-Identifier: Apache-2.0
// The agent core over images whose page tables are built here, asked through the real channel by
// the tests' own initiator.
#include "image/image_agent.hpp"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <thread>

#include "helper/fake_call.hpp"
#include "image/image_builder.hpp"
#include "image/image_transport.hpp"
#include "support/fake_session.hpp"

namespace sevmon::proxy::test {
namespace {

using tests::FakeGuest;
using tests::read_physical;
using tests::read_virtual;
using tests::ReferenceResponse;
using tests::ReferenceSession;

constexpr std::uint64_t kText = 0xffffffff81000000;
constexpr std::string_view kBanner = "Linux version 6.1.0, a page of the kernel";

class Image : public ::testing::Test {
 protected:
  std::string write(const Bytes& bytes, const std::string& name = "image") {
    const auto path = directory_.file(name);
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  // An ELF image of the guest, each page after `gap` bytes.
  static ElfBuilder elf_of(const FakeGuest& guest, std::size_t gap) {
    ElfBuilder elf;
    elf.gap(gap);
    for (std::uint64_t frame = 0; frame < 0x2000; ++frame)
      if (const auto* page = guest.find(frame)) {
        const auto content = std::as_bytes(std::span{page->bytes});
        elf.load(frame * 4096, {content.begin(), content.end()});
      }
    return elf;
  }

  static std::uint64_t cr4_of(const FakeGuest& guest) {
    return guest.levels() == 5 ? 0x1020 : 0x20;
  }

  void open(const std::string& path, ImageFormat format = ImageFormat::kAuto) {
    const auto keys = tests::key_file({tests::test_key()});
    auto agent = ImageAgent::open(path, std::as_bytes(std::span{keys}), format);
    ASSERT_TRUE(agent) << agent.error().message();
    agent_ = *std::move(agent);
    session_.emplace(shake_hands(1));
  }

  std::optional<tests::Bytes> frame(const tests::Bytes& in) {
    Bytes out(SEVMON_MAX_FRAME_BYTES);
    const int result = agent_->frame(std::as_bytes(std::span{in}), out);
    if (result < 0) return std::nullopt;
    const auto* begin = reinterpret_cast<const std::uint8_t*>(out.data());
    return tests::Bytes{begin, begin + result};
  }

  ReferenceSession shake_hands(std::uint8_t connection) {
    const auto key = tests::test_key();
    const auto challenge = frame(tests::hello_frame(key.ids_id));
    tests::require(challenge.has_value(), "no CHALLENGE");
    tests::Initiator initiator{key.ids_id, key.psk, *challenge, {.connection_id = {connection}}};
    const auto accept = frame(initiator.frame());
    tests::require(accept.has_value(), "no ACCEPT");
    return initiator.finish(*accept);
  }

  ReferenceResponse ask(const sevmon_request_body& body) {
    const auto answer = frame(session_->request(++n_, body));
    tests::require(answer.has_value(), "no RESPONSE");
    auto opened = session_->open(*answer);
    tests::require(opened.has_value(), "RESPONSE does not verify");
    return ReferenceResponse{*std::move(opened)};
  }

  static std::string text(tests::ByteView bytes) { return {bytes.begin(), bytes.end()}; }

  TemporaryDirectory directory_;
  std::unique_ptr<ImageAgent> agent_;
  std::optional<ReferenceSession> session_;
  std::uint64_t n_ = 0;
};

TEST_F(Image, VirtualReadsWalkFromTheVcpusTable) {
  for (const unsigned levels : {4U, 5U})
    for (const std::size_t gap : {std::size_t{0}, std::size_t{1}, std::size_t{4}}) {
      SCOPED_TRACE(std::to_string(levels) + " levels, gap " + std::to_string(gap));
      FakeGuest guest{levels};
      guest.map(kText, kBanner);
      auto elf = elf_of(guest, gap);
      elf.vcpu({.cr3 = guest.root() << 12, .cr4 = cr4_of(guest)});
      n_ = 0;
      open(write(elf.build()));
      const auto answer =
          ask(tests::request_body({read_virtual(kText, static_cast<std::uint16_t>(kBanner.size())),
                                   read_virtual(kText + 0x200000, 8)}));
      EXPECT_EQ(answer.head.status, SEVMON_ANSWER_OK);
      EXPECT_EQ(answer.head.kind, SEVMON_TARGET_IMAGE);
      EXPECT_EQ(answer.head.domid, 0U);
      EXPECT_EQ(answer.head.levels, levels);
      EXPECT_EQ(answer.head.root_frame, guest.root());
      EXPECT_EQ(answer.results[0].status, SEVMON_STATUS_OK);
      EXPECT_EQ(text(answer.item(0)), kBanner);
      EXPECT_EQ(answer.results[1].status, SEVMON_STATUS_NOT_MAPPED);
    }
}

TEST_F(Image, TablesOutsideTheImageAreNoFrame) {
  FakeGuest guest;
  guest.map(kText, kBanner);
  guest.entry(kText, 2) = 0x1fff'ffffULL << 12 | tests::kPresent;
  auto elf = elf_of(guest, 0);
  elf.vcpu({.cr3 = guest.root() << 12});
  open(write(elf.build()));
  const auto answer = ask(tests::request_body({read_virtual(kText, 8)}));
  EXPECT_EQ(answer.results[0].status, SEVMON_STATUS_NO_FRAME);
}

TEST_F(Image, PhysicalReadsWorkOnEveryFormat) {
  Bytes lime;
  append_range(lime, {.first = 0x1000, .last = 0x1fff}, page_of(7));
  Bytes raw = page_of(6);
  raw.resize(8192, std::byte{7});
  ElfBuilder elf;
  elf.load(0x1000, page_of(7));
  for (const auto& file : {lime, raw, elf.build()}) {
    n_ = 0;
    open(write(file));
    const auto answer =
        ask(tests::request_body({read_physical(0x1ff8, 8), read_physical(0x2000, 8),
                                 read_physical(1ULL << 51, 8), read_physical(~0xfffULL, 8)}));
    EXPECT_EQ(answer.head.status, SEVMON_ANSWER_OK);
    EXPECT_EQ(text(answer.item(0)), std::string(8, '\7'));
    for (int i = 1; i < 4; ++i) EXPECT_EQ(answer.results[i].status, SEVMON_STATUS_NO_FRAME) << i;
  }
}

TEST_F(Image, WithoutPagingRegistersThereIsNoRoot) {
  Bytes lime;
  append_range(lime, {}, page_of(0));
  ElfBuilder unpaged;
  unpaged.load(0, page_of(0)).vcpu({.cr0 = 0x11}).vcpu({.cr4 = 0});
  for (const auto& file : {lime, unpaged.build()})
    for (const std::uint16_t vcpu : {0, 1, 2, 0xffff}) {
      n_ = 0;
      open(write(file));
      auto body = tests::request_body({read_virtual(kText, 8)});
      body.head.vcpu = vcpu;
      EXPECT_EQ(ask(body).head.status, SEVMON_ANSWER_NO_ROOT) << vcpu;
    }
}

TEST_F(Image, AnExplicitRootNeedsNoRegisters) {
  FakeGuest guest;
  guest.map(kText, kBanner);
  open(write(elf_of(guest, 0).build()));
  auto body =
      tests::request_body({read_virtual(kText, static_cast<std::uint16_t>(kBanner.size()))});
  body.head.root_kind = SEVMON_ROOT_FRAME;
  body.head.levels = 4;
  body.head.root_frame = guest.root();
  EXPECT_EQ(text(ask(body).item(0)), kBanner);
}

TEST_F(Image, OtherDomainsAreNotThere) {
  open(write(page_of(0)));
  auto body = tests::request_body({read_physical(0, 8)});
  for (const std::uint16_t domid : {1, 0x7ff4, 0xfffe}) {
    body.head.domid = domid;
    EXPECT_EQ(ask(body).head.status, SEVMON_ANSWER_NO_DOMAIN);
  }
  body.head.domid = 0;
  EXPECT_EQ(ask(body).head.status, SEVMON_ANSWER_OK);
}

TEST_F(Image, StatusVcpuAndBootRecordSayWhatTheImageTells) {
  ElfBuilder elf;
  elf.load(0, page_of(0))
      .load(0x7000, page_of(0))
      .vcpu({.cr3 = 0x3000})
      .note("VMCOREINFO", 0,
            bytes_from("KERNELOFFSET=12000000\nNUMBER(phys_base)=4096\n"
                       "BUILD-ID=0102030405060708090a0b0c0d0e0f1011121314\n"));
  open(write(elf.build()));
  const auto answer = ask(tests::request_body(
      {tests::simple_item(SEVMON_ITEM_STATUS), tests::simple_item(SEVMON_ITEM_VCPU_STATE, 0),
       tests::simple_item(SEVMON_ITEM_VCPU_STATE, 1), tests::simple_item(SEVMON_ITEM_BOOT_RECORD),
       tests::simple_item(SEVMON_ITEM_TRAP_TABLE)}));
  const auto status = tests::load<sevmon_status>(answer.item(0));
  EXPECT_EQ(status.host, SEVMON_HOST_IMAGE);
  EXPECT_EQ(status.key_source, SEVMON_KEY_FILE);
  EXPECT_EQ(status.target_frames, 8U);
  EXPECT_EQ(status.target_vcpus, 1U);
  EXPECT_EQ(status.c_bit_mask, 0U);
  EXPECT_STREQ(status.host_version, "elf image");
  EXPECT_EQ(tests::load<sevmon_vcpu_state>(answer.item(1)).cr3, 0x3000U);
  EXPECT_EQ(answer.results[2].status, SEVMON_STATUS_NO_VCPU);
  const auto record = tests::load<sevmon_boot_record>(answer.item(3));
  EXPECT_EQ(record.origin, static_cast<std::uint32_t>(SEVMON_ORIGIN_VMCOREINFO));
  EXPECT_EQ(record.origin_address, 0x12000000U);
  EXPECT_EQ(record.origin_frame, 1U);
  EXPECT_EQ(record.build_id[19], 0x14);
  EXPECT_EQ(answer.results[4].status, SEVMON_STATUS_UNSUPPORTED);
}

TEST_F(Image, WithoutVmcoreinfoTheBootRecordIsEmpty) {
  open(write(page_of(0)));
  const auto answer = ask(tests::request_body({tests::simple_item(SEVMON_ITEM_BOOT_RECORD)}));
  EXPECT_EQ(answer.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(tests::load<sevmon_boot_record>(answer.item(0)).origin,
            static_cast<std::uint32_t>(SEVMON_ORIGIN_NONE));
}

TEST_F(Image, FramesOfWrongSizeAreRefusedBeforeTheCore) {
  open(write(page_of(0)));
  Bytes out(SEVMON_MAX_FRAME_BYTES);
  EXPECT_EQ(agent_->frame(Bytes(15), out), -EINVAL);
  EXPECT_EQ(agent_->frame(Bytes(1021), out), -EINVAL);
  EXPECT_EQ(agent_->frame(Bytes(144), std::span{out}.first(out.size() - 1)), -EINVAL);
  EXPECT_EQ(agent_->frame(Bytes(144), out), -EBADMSG);
}

TEST_F(Image, ThreadsShareOneAgent) {
  FakeGuest guest;
  guest.map(kText, kBanner);
  auto elf = elf_of(guest, 1);
  elf.vcpu({.cr3 = guest.root() << 12});
  open(write(elf.build()));
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 1; i <= 25; ++i) {
        const auto body =
            tests::request_body({read_virtual(kText, static_cast<std::uint16_t>(kBanner.size()))});
        const auto answer = frame(session_->request(100 * t + i, body));
        const auto opened = answer ? session_->open(*answer) : std::nullopt;
        right += opened && text(ReferenceResponse{*opened}.item(0)) == kBanner;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

TEST_F(Image, WhatCannotBeOpenedIsSaid) {
  const auto keys = tests::key_file({tests::test_key()});
  const auto key_bytes = std::as_bytes(std::span{keys});
  const auto code = [](const auto& opened) {
    return opened ? std::nullopt : std::optional{opened.error().code};
  };
  EXPECT_EQ(code(ImageAgent::open(directory_.file("none"), key_bytes)), common::ErrorCode::kIo);
  EXPECT_EQ(code(ImageAgent::open("/", key_bytes)), common::ErrorCode::kUnsupported);
  EXPECT_EQ(code(ImageAgent::open("/dev/zero", key_bytes)), common::ErrorCode::kUnsupported);
  EXPECT_EQ(code(ImageAgent::open(write({}), key_bytes)), common::ErrorCode::kTruncated);
  const auto good = write(page_of(0));
  EXPECT_EQ(code(ImageAgent::open(good, key_bytes.first(79))), common::ErrorCode::kKey);
  EXPECT_EQ(code(ImageAgent::open(good, {})), common::ErrorCode::kKey);
  EXPECT_EQ(code(ImageAgent::open(good, key_bytes)), std::nullopt);
}

TEST_F(Image, TheTransportBringsItsOwnKey) {
  const auto path = write(page_of(9));
  auto connection = connect_image(path);
  ASSERT_TRUE(connection) << connection.error().message();
  ASSERT_EQ(connection->key_file.size(), sizeof(sevmon_key_head) + sizeof(sevmon_key_entry));
  sevmon_key_entry entry;
  std::memcpy(&entry, connection->key_file.data() + sizeof(sevmon_key_head), sizeof(entry));
  const auto ids_id = tests::to_array<16>(entry.ids_id);
  auto& transport = *connection->transport;
  const auto deadline = std::chrono::steady_clock::now();
  const auto exchange = [&](const tests::Bytes& in, std::uint32_t tag) {
    tests::require(transport.send(std::as_bytes(std::span{in}), tag, deadline).has_value(), "send");
    auto delivery = transport.receive(deadline);
    tests::require(delivery.has_value() && delivery->tag == tag, "receive");
    return *std::move(delivery);
  };
  const auto to_bytes = [](const ids::FrameBytes& bytes) {
    const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
    return tests::Bytes{begin, begin + bytes.size()};
  };
  EXPECT_EQ(exchange(tests::Bytes(144), 3).notice, SEVMON_NOTICE_REJECTED);
  const auto challenge = to_bytes(exchange(tests::hello_frame(ids_id), 4).frame);
  tests::Initiator initiator{ids_id, tests::to_array<32>(entry.psk), challenge};
  auto session = initiator.finish(to_bytes(exchange(initiator.frame(), 5).frame));
  const auto answer = to_bytes(
      exchange(session.request(0, tests::request_body({read_physical(0x10, 4)})), 6).frame);
  const auto opened = session.open(answer);
  ASSERT_TRUE(opened);
  EXPECT_EQ(text(ReferenceResponse{*opened}.item(0)), "\t\t\t\t");
  EXPECT_EQ(transport.receive(deadline).error().code, common::ErrorCode::kTimeout);
  EXPECT_EQ(transport.describe(), "image:" + path);
  const auto other = connect_image(path);
  EXPECT_NE(other->key_file, connection->key_file);
}

}  // namespace
}  // namespace sevmon::proxy::test
