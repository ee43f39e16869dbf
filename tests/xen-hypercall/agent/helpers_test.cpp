// SPDX-License-Identifier: Apache-2.0
//
// What a program can call (helpers.c).
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstring>
#include <memory>
#include <tuple>

#include "support/program_fixture.hpp"

namespace sevmon::tests {
namespace {

class Helpers : public ProgramFixture {};

TEST_F(Helpers, Reads) {
  host.guest.map(kGva + 4090, from_text("over a border"));
  const auto got = call(SEVMON_HELPER_READ, {kBuffer, 13, kGva + 4090}, 13);
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(got.result, from_text("over a border"));
}

TEST_F(Helpers, ReadFailsAsAStatusAndLeavesZeros) {
  host.guest.map(kGva + 4088, "begun..."), host.guest.entry(kGva + 4096, 1) = 0;
  const auto torn = call(SEVMON_HELPER_READ, {kBuffer, 16, kGva + 4088}, 16);
  EXPECT_EQ(torn.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(torn.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(torn.result, Bytes(16, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, kAbsent}, 8).result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, 1ULL << 60}).report.r0,
            failed(SEVMON_STATUS_NOT_CANONICAL));
  host.forbidden_start = kAbsent, host.forbidden_end = kAbsent + 4096;
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 8, kAbsent}).report.r0, failed(SEVMON_STATUS_XEN));
}

TEST_F(Helpers, ReadAtTheEndOfAllAddresses) {
  host.guest.map(0xfffffffffffff000, Bytes(4096, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 16, 0xfffffffffffffff0}, 16).result, Bytes(16, 7));
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 17, 0xfffffffffffffff0}).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED))
      << "address 0 is the next";
}

TEST_F(Helpers, ReadsPhysical) {
  const auto frame = host.guest.add_frame();
  host.guest.page(frame).bytes.fill(9);
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 3, frame * 4096 + 4093}, 3).result,
            Bytes(3, 9));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, frame * 4096 + 4093}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
  EXPECT_EQ(call(SEVMON_HELPER_READ_PHYSICAL, {kBuffer, 4, ~0ULL - 10}).report.r0,
            failed(SEVMON_STATUS_NO_FRAME));
}

TEST_F(Helpers, ReadsTheMemoryOfAProcess) {
  // Its own table, mapped where the kernel would have it.
  FakeGuest other;
  const std::uint64_t user = 0x400000, pgd = 0xffff888000005000;
  const auto table = host.guest.add_frame();
  const auto page = host.guest.add_frame();
  host.guest.page(page).bytes.fill(0x77);
  std::uint64_t at = table;
  for (unsigned level = 4; level > 1; --level) {
    const auto next = host.guest.add_frame();
    host.guest.page(at).entry(user >> (12 + 9 * (level - 1)) & 511) = next << 12 | kPresent | kUser;
    at = next;
  }
  host.guest.page(at).entry(user >> 12 & 511) = page << 12 | kPresent | kUser;
  host.guest.map_frame(pgd, table);
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 4, user, pgd}, 4).result, Bytes(4, 0x77));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 8, user, kAbsent}, 8).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {kBuffer, 8, user, kAbsent}, 8).result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ_USER, {0, 8, user, kAbsent}).report.state, SEVMON_RUN_FAULT);
  EXPECT_EQ(call(SEVMON_HELPER_READ, {kBuffer, 4, user}).report.r0,
            failed(SEVMON_STATUS_NOT_MAPPED));
}

TEST_F(Helpers, ReadsStrings) {
  host.guest.map(kGva + 4090, payload(from_text("kworker/0:1"), Bytes(1, 0)));
  const auto whole = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 4090}, 16);
  EXPECT_EQ(whole.report.r0, 11u);
  EXPECT_EQ(whole.result, payload(from_text("kworker/0:1"), Bytes(5, 0)));
  const auto cut = call(SEVMON_HELPER_READ_STRING, {kBuffer, 8, kGva + 4090}, 8);
  EXPECT_EQ(cut.report.r0, 7u);
  EXPECT_EQ(cut.result, payload(from_text("kworker"), Bytes(1, 0)));

  host.guest.map(kGva + 3 * 4096 - 4, "abc"), host.guest.entry(kGva + 3 * 4096, 1) = 0;
  const auto last = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 3 * 4096 - 4}, 8);
  EXPECT_EQ(last.report.r0, 3u) << "what lies behind its end does not matter";
  host.guest.map(kGva + 3 * 4096 - 4, "abcd");
  const auto torn = call(SEVMON_HELPER_READ_STRING, {kBuffer, 64, kGva + 3 * 4096 - 4}, 8);
  EXPECT_EQ(torn.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_EQ(torn.result, Bytes(8, 0));
  EXPECT_EQ(call(SEVMON_HELPER_READ_STRING, {kBuffer, 0, kGva}).report.r0, 0u);
}

TEST_F(Helpers, Translates) {
  const auto frame = host.guest.add_frame();
  host.guest.map_frame(kGva, frame);
  const auto got = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kGva + 5}, sizeof(sevmon_translation));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_translation>(got.result).frame, frame);
  const auto absent = call(SEVMON_HELPER_TRANSLATE, {kBuffer, kAbsent}, sizeof(sevmon_translation));
  EXPECT_EQ(absent.report.r0, failed(SEVMON_STATUS_NOT_MAPPED));
  EXPECT_GT(load<sevmon_translation>(absent.result).reached, 0) << "as far as it came";
}

/// AES-256-GMAC by OpenSSL, as program.h has it.
Bytes gmac(ByteView key, std::uint64_t address, ByteView page) {
  const auto nonce = payload(bytes_of(address), bytes_of(static_cast<std::uint32_t>(page.size())));
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context{
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  int bytes = 0;
  Bytes tag(16);
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()),
            1);
  EXPECT_EQ(
      EVP_EncryptUpdate(context.get(), nullptr, &bytes, page.data(), static_cast<int>(page.size())),
      1);
  EXPECT_EQ(EVP_EncryptFinal_ex(context.get(), nullptr, &bytes), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, tag.data()), 1);
  return tag;
}

class Digests : public ProgramFixture {
 protected:
  /// Under a key that the program has at kBuffer + 64.
  RunResult digest(ByteView key, std::uint64_t bytes, std::uint64_t address) {
    BpfProgram program;
    program.load_imm64(6, kBuffer + 64);
    for (int i = 0; i < 4; ++i)
      program.load_imm64(7, load<std::uint64_t>(key, 8 * i))
          .add(BPF_STX | BPF_MEM | BPF_DW, 6, 7, static_cast<std::int16_t>(8 * i));
    program.load_imm64(1, kBuffer).mov_reg(2, 6).load_imm64(3, bytes).load_imm64(4, address);
    program.call(SEVMON_HELPER_DIGEST).mov_reg(8, 0);
    program.load_imm64(1, kBuffer).mov(2, 16).call(SEVMON_HELPER_APPEND);
    program.mov_reg(0, 8).exit();
    return run(program);
  }
  Bytes page = [] {
    Bytes bytes(4096);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i >> 3);
    return bytes;
  }();
  Bytes key = Bytes(32, 0x5a);
};

TEST_F(Digests, AreGmacsOfMemory) {
  host.guest.map(kGva, page);
  for (const std::size_t bytes : {1, 15, 16, 17, 255, 4095, 4096}) {
    const auto got = digest(key, bytes, kGva);
    EXPECT_EQ(got.report.r0, 0u);
    EXPECT_EQ(got.result, gmac(key, kGva, ByteView{page}.first(bytes))) << bytes;
  }
  EXPECT_EQ(digest(key, 100, kGva + 3996).result,
            gmac(key, kGva + 3996, ByteView{page}.subspan(3996)));
  const Bytes other(32, 1);
  EXPECT_EQ(digest(other, 4096, kGva).result, gmac(other, kGva, page));
}

TEST_F(Digests, ChangeWithEachBitAndPlace) {
  host.guest.map(kGva, page);
  host.guest.map(kGva + 4096, page);
  const auto before = digest(key, 4096, kGva).result;
  EXPECT_NE(digest(key, 4096, kGva + 4096).result, before) << "the same bytes elsewhere";
  page[4095] ^= 0x80;
  host.guest.map(kGva, page);
  EXPECT_NE(digest(key, 4096, kGva).result, before);
}

TEST_F(Digests, FailAsAStatusAndLeaveZeros) {
  host.guest.map(kGva, page);
  for (const auto& [bytes, address, status] : {std::tuple{0ULL, kGva, SEVMON_STATUS_BAD_ITEM},
                                               {4097ULL, kGva, SEVMON_STATUS_BAD_ITEM},
                                               {2ULL, kGva + 4095, SEVMON_STATUS_BAD_ITEM},
                                               {16ULL, kAbsent, SEVMON_STATUS_NOT_MAPPED}}) {
    const auto got = digest(key, bytes, address);
    EXPECT_EQ(got.report.state, SEVMON_RUN_DONE);
    EXPECT_EQ(got.report.r0, failed(static_cast<unsigned>(status))) << bytes;
    EXPECT_EQ(got.result, Bytes(16, 0));
  }
  host.forbidden_start = kGva, host.forbidden_end = kGva + 4096;
  EXPECT_EQ(digest(key, 16, kGva).report.r0, failed(SEVMON_STATUS_XEN));
}

TEST_F(Digests, TakeTheProgramsOwnMemoryOnly) {
  const std::uint64_t data = SEVMON_BPF_ADDRESS(SEVMON_REGION_DATA);
  const auto end = kMap + SEVMON_PROGRAM_MAX_MAP_BYTES;
  for (const auto& [to, from] : {std::pair{0ULL, kBuffer},
                                 {kBuffer, 0ULL},
                                 {data, kBuffer},
                                 {end - 15, kBuffer},
                                 {kBuffer, end - 31}})
    EXPECT_EQ(call(SEVMON_HELPER_DIGEST, {to, from, 16, kGva}).report.state, SEVMON_RUN_FAULT);
  EXPECT_EQ(call(SEVMON_HELPER_DIGEST, {end - 16, end - 32, 16, kAbsent}).report.state,
            SEVMON_RUN_DONE);
}

TEST_F(Digests, KeepNoKey) {
  host.guest.map(kGva, page);
  digest(key, 4096, kGva);
  const auto& run = agent.state().ids[0].programs->demand.run;
  EXPECT_FALSE(run.digest_key.is_set);
  EXPECT_EQ(
      std::memcmp(&run.digest_key, Bytes(sizeof run.digest_key, 0).data(), sizeof run.digest_key),
      0);
}

TEST_F(Helpers, SaysWhatAVcpuDoes) {
  const auto got = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 0}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(got.report.r0, 0u);
  EXPECT_EQ(load<sevmon_vcpu_state>(got.result).kernel_root, host.guest.root());
  const auto none = call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 1}, sizeof(sevmon_vcpu_state));
  EXPECT_EQ(none.report.r0, failed(SEVMON_STATUS_NO_VCPU));
  EXPECT_EQ(none.result, Bytes(sizeof(sevmon_vcpu_state), 0));
}

TEST_F(Helpers, SaysTheTime) {
  host.now_ns = 77'000;
  EXPECT_EQ(call(SEVMON_HELPER_TIME, {}).report.r0, 77'000u);
}

/// The end of a region ends the run; nothing is written beyond it.
TEST_F(Helpers, KeepToTheProgramsRegions) {
  host.guest.map(kGva, Bytes(4096, 0x11));
  const std::uint64_t end = kMap + SEVMON_PROGRAM_MAX_MAP_BYTES;
  const struct {
    std::int32_t helper;
    std::uint64_t second;
  } writers[] = {{SEVMON_HELPER_READ, 64},        {SEVMON_HELPER_READ_PHYSICAL, 64},
                 {SEVMON_HELPER_READ_USER, 64},   {SEVMON_HELPER_READ_STRING, 64},
                 {SEVMON_HELPER_TRANSLATE, kGva}, {SEVMON_HELPER_VCPU_STATE, 0},
                 {SEVMON_HELPER_APPEND, 64}};
  for (const auto& writer : writers)
    for (const std::uint64_t to : std::initializer_list<std::uint64_t>{
             0, end - 63, end, kInput, kMap - 1, 5ULL << 32, ~0ULL, kGva}) {
      const auto got = call(writer.helper, {to, writer.second, kGva, kGva});
      EXPECT_EQ(got.report.state, SEVMON_RUN_FAULT) << writer.helper << " " << std::hex << to;
    }
  EXPECT_EQ(call(SEVMON_HELPER_READ, {end - 64, 64, kGva}).report.state, SEVMON_RUN_DONE);
  for (const std::uint64_t bytes : {4097ULL, 0xffffffffULL}) {
    EXPECT_EQ(call(SEVMON_HELPER_READ, {kMap, bytes, kGva}).report.state, SEVMON_RUN_FAULT);
    EXPECT_EQ(call(SEVMON_HELPER_READ_STRING, {kMap, bytes, kGva}).report.state, SEVMON_RUN_FAULT);
    EXPECT_EQ(call(SEVMON_HELPER_APPEND, {kMap, bytes}).report.state, SEVMON_RUN_FAULT);
  }
}

TEST_F(Helpers, CostWhatTheyDo) {
  EXPECT_GT(call(SEVMON_HELPER_READ, {kBuffer, 4096, kGva + 1}).report.cost,
            call(SEVMON_HELPER_READ, {kBuffer, 1, kGva}).report.cost);
  EXPECT_GT(call(SEVMON_HELPER_VCPU_STATE, {kBuffer, 0}).report.cost, SEVMON_HELPER_VCPU_COST);
  BpfProgram program;  // for ( ;; ) read(map, 4096, gva)
  program.load_imm64(1, kMap).mov(2, 4096).load_imm64(3, kGva).call(SEVMON_HELPER_READ);
  program.jump(-7).exit();
  host.guest.map(kGva, Bytes(4096, 1));
  const auto mapped = host.frames_mapped.load();
  const auto got = run(program, {}, 100'000);
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_LE(host.frames_mapped - mapped, 100'000 / SEVMON_HELPER_COST * 5);
}

}  // namespace
}  // namespace sevmon::tests
