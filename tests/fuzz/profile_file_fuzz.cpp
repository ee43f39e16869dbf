// SPDX-License-Identifier: Apache-2.0
// Target: what reads a saved profile: the first byte picks the whole file, or one of the sections
// that a digest would otherwise hide from the fuzzer. Property: what decodes re-encodes to the same
// bytes (the file: to the same content, as it can be compressed in several ways).
#include <algorithm>
#include <cstdlib>

#include "profile/profile_file.hpp"

namespace {

using namespace sevmon::ids;

void check_file(ByteSpan in) {
  const auto content = decode_profile(in);
  if (!content) return;
  const auto again =
      decode_profile(encode_profile(content->identity, content->symbols, content->btf));
  if (!again || !(again->identity == content->identity) || again->btf != content->btf ||
      again->symbols.encode() != content->symbols.encode())
    std::abort();
}

template <typename Decoded>
void check_same(const Decoded& again, ByteSpan in) {
  if (!std::equal(again.begin(), again.end(), in.begin(), in.end())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto in = std::as_bytes(std::span{data, size}).subspan(1);
  switch (data[0] % 3) {
    case 0:
      check_file(in);
      break;
    case 1:
      if (const auto identity = decode_identity(in)) check_same(encode_identity(*identity), in);
      break;
    default:
      if (const auto symbols = SymbolTable::decode(in)) check_same(symbols->encode(), in);
  }
  return 0;
}
