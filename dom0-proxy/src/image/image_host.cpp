// SPDX-License-Identifier: Apache-2.0
#include "image/image_host.hpp"

#include <errno.h>
#include <openssl/sha.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <sevmon/random.hpp>

extern "C" {
#include "host.h"
}

namespace sevmon::proxy {

namespace {

thread_local const MemoryImage* serving = nullptr;

const MemoryImage& image_of(const sevmon_target* target) {
  return *static_cast<const MemoryImage*>(target->domain);
}

// The core reads page tables as 64-bit words; in a file a page may begin at any byte. Each thread
// keeps the few aligned copies that it needs at a time.
struct alignas(64) PageCopy {
  std::array<std::uint8_t, SEVMON_PAGE_BYTES> bytes;
};
thread_local std::vector<std::unique_ptr<PageCopy>> spare_copies;

unsigned int target_get(std::uint16_t domid, sevmon_target* target) {
  if (!serving || (domid != SEVMON_DOMID_DOM0 && domid != 0)) return SEVMON_ANSWER_NO_DOMAIN;
  *target = {};
  target->domain = const_cast<MemoryImage*>(serving);
  target->kind = SEVMON_TARGET_IMAGE;
  return SEVMON_ANSWER_OK;
}

void target_put(sevmon_target*) {}

unsigned int vcpu_root(const sevmon_target* target, unsigned int vcpu, std::uint64_t* frame,
                       unsigned int* levels) {
  constexpr std::uint64_t kPaging = 1U << 31;  // CR0.PG
  constexpr std::uint64_t kPae = 1U << 5;      // CR4.PAE, without which there is no 64-bit paging
  constexpr std::uint64_t kLa57 = 1U << 12;    // CR4.LA57
  const auto& vcpus = image_of(target).layout().vcpus;
  if (vcpu >= vcpus.size()) return SEVMON_ANSWER_NO_ROOT;
  const auto& state = vcpus[vcpu];
  if (!(state.cr0 & kPaging) || !(state.cr4 & kPae)) return SEVMON_ANSWER_NO_ROOT;
  *frame = state.kernel_root;
  *levels = state.cr4 & kLa57 ? 5 : 4;
  return SEVMON_ANSWER_OK;
}

unsigned int frame_map(const sevmon_target* target, std::uint64_t frame, sevmon_frame* out) {
  const auto bytes = image_of(target).frame(frame);
  if (bytes.empty()) return SEVMON_STATUS_NO_FRAME;
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  out->cookie = nullptr;
  out->bytes = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (address % alignof(std::uint64_t) == 0) return SEVMON_STATUS_OK;
  if (spare_copies.empty()) spare_copies.push_back(std::make_unique<PageCopy>());
  PageCopy* const copy = spare_copies.back().release();
  spare_copies.pop_back();
  std::memcpy(copy->bytes.data(), bytes.data(), bytes.size());
  out->cookie = copy;
  out->bytes = copy->bytes.data();
  return SEVMON_STATUS_OK;
}

void frame_unmap(sevmon_frame* frame) {
  if (frame->cookie) spare_copies.emplace_back(static_cast<PageCopy*>(frame->cookie));
}

unsigned int vcpu_state(const sevmon_target* target, unsigned int vcpu, sevmon_vcpu_state* state) {
  const auto& vcpus = image_of(target).layout().vcpus;
  if (vcpu >= vcpus.size()) return SEVMON_STATUS_NO_VCPU;
  *state = vcpus[vcpu];
  return SEVMON_STATUS_OK;
}

unsigned int trap_table(const sevmon_target*, unsigned int, sevmon_trap*) {
  return SEVMON_STATUS_UNSUPPORTED;
}

unsigned int boot_record(const sevmon_target* target, sevmon_boot_record* record) {
  const auto& info = image_of(target).layout().vmcoreinfo;
  if (!info) return SEVMON_STATUS_OK;  // all zero: nothing is known
  std::ranges::copy(info->build_id, record->build_id);
  if (!info->kernel_offset || !info->phys_base) return SEVMON_STATUS_OK;
  record->origin = SEVMON_ORIGIN_VMCOREINFO;
  record->origin_address = *info->kernel_offset;
  record->origin_frame = *info->phys_base >> 12;
  return SEVMON_STATUS_OK;
}

void status(const sevmon_target* target, sevmon_status* status) {
  const MemoryImage& image = image_of(target);
  status->host = SEVMON_HOST_IMAGE;
  status->key_source = SEVMON_KEY_FILE;
  status->iommu = SEVMON_IOMMU_UNKNOWN;
  status->target_frames = image.frame_end();
  status->target_vcpus = static_cast<std::uint32_t>(image.layout().vcpus.size());
  std::snprintf(status->host_version, sizeof(status->host_version), "%.*s image",
                static_cast<int>(image.layout().format.size()), image.layout().format.data());
}

/// Nothing runs in an image.
bool pause(sevmon_target*, std::uint64_t) {
  return true;
}

void resume(sevmon_target*) {}

std::uint64_t time_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

bool draw_random(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

thread_local common::MessageRandom message_random{draw_random};

/// The core asks for so few bytes only for a nonce, and never for a key (host.h).
int random_bytes(void* bytes, std::size_t count) {
  if (count != sizeof(common::MessageRandom::Bytes))
    return draw_random({static_cast<std::uint8_t*>(bytes), count}) ? 0 : -EIO;
  const auto drawn = message_random.draw();
  if (!drawn) return -EIO;
  std::memcpy(bytes, drawn->data(), drawn->size());
  return 0;
}

void sha256(std::uint8_t digest[32], const void* message, std::size_t bytes) {
  SHA256(static_cast<const unsigned char*>(message), bytes, digest);
}

// What OpenSSL wants instead is allocated and has to be released; the core's state is just bytes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static_assert(sizeof(SHA256_CTX) <= sizeof(sevmon_sha256));

void sha256_begin(sevmon_sha256* hash) {
  SHA256_Init(reinterpret_cast<SHA256_CTX*>(hash->state));
}

void sha256_add(sevmon_sha256* hash, const void* part, std::size_t bytes) {
  SHA256_Update(reinterpret_cast<SHA256_CTX*>(hash->state), part, bytes);
}

void sha256_end(sevmon_sha256* hash, std::uint8_t digest[32]) {
  SHA256_Final(digest, reinterpret_cast<SHA256_CTX*>(hash->state));
}
#pragma GCC diagnostic pop

}  // namespace

const sevmon_host& image_host() {
  static constexpr sevmon_host kHost{
      .target_get = target_get,
      .target_put = target_put,
      .vcpu_root = vcpu_root,
      .frame_map = frame_map,
      .frame_unmap = frame_unmap,
      .vcpu_state = vcpu_state,
      .trap_table = trap_table,
      .boot_record = boot_record,
      .status = status,
      .pause = pause,
      .resume = resume,
      .wake = nullptr,  // nor will it change
      .time_ns = time_ns,
      .allocate = [](std::size_t bytes) { return std::calloc(1, bytes); },
      .release = std::free,
      .random = random_bytes,
      .sha256 = sha256,
      .sha256_begin = sha256_begin,
      .sha256_add = sha256_add,
      .sha256_end = sha256_end,
  };
  return kHost;
}

ServingImage::ServingImage(const MemoryImage& image) : before_{serving} {
  serving = &image;
}
ServingImage::~ServingImage() {
  serving = before_;
}

}  // namespace sevmon::proxy
