// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "image/layout.hpp"
#include "image/memory_image.hpp"

#include <sevmon/result.hpp>

struct sevmon_lane;
struct sevmon_work;

namespace sevmon::proxy {

/// The agent core over a memory image, in this process. Target: the image, as Dom0 (domain 0).
/// Virtual items walk the image's page tables; SEVMON_ROOT_VCPU needs the CR3 of an ELF image's
/// notes. Thread-safe.
class ImageAgent {
 public:
  /// Open the image at `path` with the keys of an agent's key file. The keys are copied; the caller
  /// wipes `key_file`.
  /// @return kIo, kTruncated, kTooLarge, kMalformed, kUnsupported: the image, or a CPU without
  ///         AES-NI, PCLMULQDQ and SSE4.1; kKey: no key file; kInternal: a self-test failed;
  ///         errors of `opened`.
  static common::Result<std::unique_ptr<ImageAgent>> open(const std::string& path,
                                                          std::span<const std::byte> key_file,
                                                          ImageFormat format = ImageFormat::kAuto,
                                                          const ImageOpened& opened = {});
  ~ImageAgent();

  /// Hand in one frame. @return the answer's size, at the start of `out`, or -errno as the
  /// hypercall: -EINVAL: size of `in` (16..1020) or of `out` (at least 62,012); -EBADMSG; -EBUSY.
  int frame(std::span<const std::byte> in, std::span<std::byte> out);

  /// A frame on its way through the core, in private memory of its own, where its answer will be.
  struct Call {
    int result = 0;  // as frame()'s; -ERESTART: finish() has to go on
    std::shared_ptr<sevmon_work> work{};
    std::span<const std::byte> answer() const;  // with a result over 0: sealed, it stays so
  };
  /// Hand in one frame: all of it but a program's run, of which this does the first slice.
  Call start(std::span<const std::byte> in);
  /// As long as it takes, in slices.
  void finish(Call& call);

  /// What sevmon_lane_poll() did. One thread at a time for each lane.
  enum class LaneState { kNothing, kAnswered, kRunning, kBlocked };
  LaneState poll(sevmon_lane& lane);

  /// "elf image FILE, 4 vCPUs"
  std::string describe() const;

 private:
  struct Impl;
  struct SpareWork;
  explicit ImageAgent(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sevmon::proxy
