// SPDX-License-Identifier: Apache-2.0
#include "program/helpers.hpp"

#include <algorithm>

#include <sevmon/program.h>

namespace sevmon::ids {
namespace {

using Kind = HelperArgument::Kind;
using Gives = Helper::Gives;

constexpr HelperArgument kWrites{Kind::kWrites, 0};
constexpr HelperArgument kReads{Kind::kReads, 0};
constexpr HelperArgument kBytes{Kind::kBytes, 0};
constexpr HelperArgument kAddress{Kind::kAddress, 0};
constexpr HelperArgument kNumber{Kind::kNumber, 0};

constexpr std::array kHelpers = {
    Helper{SEVMON_HELPER_READ, "read", {kWrites, kBytes, kAddress}, Gives::kStatus},
    Helper{
        SEVMON_HELPER_READ_PHYSICAL, "read_physical", {kWrites, kBytes, kAddress}, Gives::kStatus},
    Helper{SEVMON_HELPER_READ_USER,
           "read_user",
           {kWrites, kBytes, kAddress, kAddress},
           Gives::kStatus},
    Helper{SEVMON_HELPER_READ_STRING, "read_string", {kWrites, kBytes, kAddress}, Gives::kLength},
    Helper{SEVMON_HELPER_TRANSLATE,
           "translate",
           {HelperArgument{Kind::kWrites, sizeof(sevmon_translation)}, kAddress},
           Gives::kStatus},
    Helper{SEVMON_HELPER_APPEND, "append", {kReads, kBytes}, Gives::kStatus},
    Helper{SEVMON_HELPER_VCPU_STATE,
           "vcpu_state",
           {HelperArgument{Kind::kWrites, sizeof(sevmon_vcpu_state)}, kNumber},
           Gives::kStatus},
    Helper{SEVMON_HELPER_TIME, "time", {}, Gives::kAnything},
    Helper{SEVMON_HELPER_DIGEST,
           "digest",
           {HelperArgument{Kind::kWrites, SEVMON_DIGEST_BYTES},
            HelperArgument{Kind::kReads, SEVMON_DIGEST_KEY_BYTES}, kBytes, kAddress},
           Gives::kStatus},
};
static_assert(kHelpers.size() == SEVMON_HELPERS - 1);

}  // namespace

const Helper* find_helper(std::int32_t number) {
  const auto found = std::ranges::find(kHelpers, number, &Helper::number);
  return found == kHelpers.end() ? nullptr : &*found;
}

}  // namespace sevmon::ids
