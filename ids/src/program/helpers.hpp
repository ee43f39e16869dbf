// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sevmon::ids {

/// What one argument of a helper is.
struct HelperArgument {
  enum class Kind : std::uint8_t {
    kNone,
    kWrites,   // a place of the program's own that it fills
    kReads,    // one that it reads
    kBytes,    // how long that is: 1 to SEVMON_HELPER_MAX_BYTES
    kAddress,  // of the kernel's; never one of the program's own
    kNumber,
  } kind = Kind::kNone;
  std::uint32_t bytes = 0;  // of a place whose length is fixed
};

/// A helper of program.h, whose comments this table is the other form of.
struct Helper {
  std::int32_t number;
  std::string_view name;
  std::array<HelperArgument, 5> arguments;
  /// What r0 may be besides the negative of a status; `kLength`: up to the bytes argument.
  enum class Gives : std::uint8_t { kStatus, kLength, kAnything } gives;

  unsigned argument_count() const {
    unsigned count = 0;
    while (count < arguments.size() && arguments[count].kind != HelperArgument::Kind::kNone)
      ++count;
    return count;
  }
};

/// nullptr when there is none of that number.
const Helper* find_helper(std::int32_t number);

}  // namespace sevmon::ids
