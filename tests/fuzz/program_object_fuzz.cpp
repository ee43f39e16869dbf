// SPDX-License-Identifier: Apache-2.0
//
// Target: ProgramObject::parse() and link(). The input is an object file; the kernel that it is
// linked for has the object's own types. Properties: an image is as long as its head says, under
// the limits, and the check of it comes to an end.
#include <sevmon/program.hpp>

#include "program/elf_object.hpp"
#include "support/fuzz_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon;
  using tests::must;
  const auto file = std::as_bytes(std::span{data, size});
  const auto object = ids::ProgramObject::parse(file);
  if (!object) {
    must(!object.error().detail.empty(), "a refusal says why");
    return 0;
  }
  const auto elf = ids::ElfObject::parse(file);
  const auto* types = elf->find(".BTF");
  must(types != nullptr, "what is parsed has types");
  const auto image = object->link({"fuzz", types->data, [](std::string_view name) {
                                     return common::Result<common::Gva>{
                                         common::Gva{0xffffffff80000000 + name.size()}};
                                   }});
  if (!image) return 0;
  const auto head = image->head();
  must(image->bytes.size() ==
           sizeof head + std::size_t{head.insns} * 8 + head.data_bytes + head.init_bytes,
       "an image is as long as its head says");
  must(head.insns >= 1 && head.insns <= SEVMON_PROGRAM_MAX_INSNS &&
           head.data_bytes <= SEVMON_PROGRAM_MAX_DATA_BYTES &&
           head.map_bytes <= SEVMON_PROGRAM_MAX_MAP_BYTES && head.init_bytes <= head.map_bytes &&
           image->bytes.size() <= SEVMON_PROGRAM_MAX_BYTES,
       "an image is within the limits");
  static_cast<void>(ids::check_program(*image));
  for (std::uint32_t at = 0; at < head.insns; ++at)
    static_cast<void>(ids::disassemble(image->instructions(), at));
  return 0;
}
