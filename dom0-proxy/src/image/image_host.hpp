// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/memory_image.hpp"

struct sevmon_host;

namespace sevmon::proxy {

/// The agent core's host table over the memory image that `ServingImage` names on this thread.
const sevmon_host& image_host();

/// The host table's functions get no context of their own: one of these around each call into the
/// core says which image this thread serves.
class ServingImage {
 public:
  explicit ServingImage(const MemoryImage& image);
  ~ServingImage();
  ServingImage(const ServingImage&) = delete;
  ServingImage& operator=(const ServingImage&) = delete;

 private:
  const MemoryImage* const before_;
};

}  // namespace sevmon::proxy
