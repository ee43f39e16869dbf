// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sevmon/result.hpp>

namespace sevmon::cli {

/// Run clang, whichever version there is, to make an eBPF object of `source`. What it says goes to
/// stderr. `includes` are searched before the source's own directory and the installed headers.
/// @return kNotFound without a clang; kMalformed when it fails; kIo.
common::Result<void> compile_program(const std::string& source, const std::string& object,
                                     const std::vector<std::string>& includes);

}  // namespace sevmon::cli
