// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// Check that raw BTF is whole before libbpf sees it: libbpf 1.1 bounds the records but believes
/// every name offset and type id in them.
/// @return kTruncated, kMalformed, kUnsupported (a kind of type) with the offset in the BTF.
common::Result<void> check_btf(ByteSpan btf);

}  // namespace sevmon::ids
