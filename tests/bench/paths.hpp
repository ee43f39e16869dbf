// SPDX-License-Identifier: Apache-2.0
//
// Ways to pages: to an agent's, and what each of them has for a limit: as many bytes over the same
// way with nobody behind it, or out of the same file without any agent at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace sevmon::bench {

class Path {
 public:
  virtual ~Path() = default;
  /// Read `requests` times so many pages as the path was made for, and have them all.
  virtual void read(std::size_t requests) = 0;
};

struct PathOptions {
  std::string key;     // file of an IDS's key
  std::string memory;  // a profile: the kernel's text is read; or a number: of frames from 0 on
  std::size_t pages;   // in each request: 1..15
  unsigned depth;      // requests in flight
};

/// @param name "tcp:PORT", "shm:FILE", "image:FILE": an agent's.
///             "tcp-echo:PORT", "shm-echo:FILE": guest/tcp-echo.c, guest/lane-echo.c.
///             "memcpy:FILE", "aes-gcm:FILE": copied, or sealed by the agent's code.
/// Whatever fails throws.
std::unique_ptr<Path> make_path(const std::string& name, const PathOptions& options);

}  // namespace sevmon::bench
