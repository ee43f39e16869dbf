// SPDX-License-Identifier: Apache-2.0
//
// Writes the fuzz targets' seeds: make-profile-seeds tests/fuzz/corpus
#include <elf.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "fake_kernel.hpp"
#include "profile/profile_file.hpp"

namespace {

namespace fs = std::filesystem;
using namespace sevmon::ids;
using fake::Bytes;
using fake::KallsymsForm;
using fake::KallsymsOrder;

void write(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream file{path, std::ios::binary};
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error{"cannot write " + path.string()};
}

void write_vmlinuz(const fs::path& directory) {
  const Bytes vmlinux = fake::to_bytes(
      "\x7f"
      "ELF and a little text, a little text, for a little payload");
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kBzip2, Compression::kLzma,
        Compression::kXz, Compression::kLzo, Compression::kLz4, Compression::kZstd})
    // The fuzzer puts a boot header before it: the payload alone.
    write(directory / name(compression), [&] {
      Bytes image = fake::encode_bzimage(compression, vmlinux);
      image.resize(image.size() - 100);
      return Bytes{image.begin() + fake::kFakePayloadAt, image.end()};
    }());
}

void write_kallsyms(const fs::path& directory) {
  struct Seed {
    const char* name;
    fake::KallsymsOptions options;
  };
  for (const Seed& seed : {
           Seed{"to-6.1", {KallsymsOrder::kTo61, KallsymsForm::kAbsolutePerCpu}},
           Seed{"6.2", {KallsymsOrder::k62, KallsymsForm::kAbsolutePerCpu}},
           Seed{"6.4", {KallsymsOrder::k64, KallsymsForm::kAbsolutePerCpu}},
           Seed{"6.15", {KallsymsOrder::k64, KallsymsForm::kBaseRelative}},
           Seed{"7.0", {KallsymsOrder::k70, KallsymsForm::kPlaceRelative}},
       }) {
    const bool per_cpu = seed.options.form == KallsymsForm::kAbsolutePerCpu;
    write(directory / seed.name, fake::encode_kallsyms(fake::make_symbols(258, per_cpu),
                                                       seed.options, fake::kRodataAddress));
  }
}

void write_profile_file(const fs::path& directory) {
  SymbolTable symbols;
  symbols.add(0x1000, 'T', "one");
  symbols.add(0x1000, 't', "two");
  symbols.add(0x2000, 'D', "one");
  symbols.index();
  const KernelIdentity identity{
      .banner = "Linux version 9", .release = "9", .build_id = "00ff", .file_bytes = 5};
  // The first byte says which decoder the rest is for.
  const auto write_for = [&](char decoder, const char* name, const Bytes& bytes) {
    Bytes seed{static_cast<std::byte>(decoder)};
    fake::append(seed, bytes);
    write(directory / name, seed);
  };
  write_for(0, "file", encode_profile(identity, symbols, fake::make_btf()));
  write_for(1, "identity", encode_identity(identity));
  write_for(2, "symbols", symbols.encode());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make-profile-seeds DIRECTORY\n";
    return 2;
  }
  const fs::path corpus{argv[1]};
  write_vmlinuz(corpus / "vmlinuz");
  write(corpus / "elf" / "small",
        fake::encode_elf({{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, Bytes(16)},
                          {".notes", SHT_NOTE, SHF_ALLOC, 0x2000,
                           fake::encode_build_id(fake::to_bytes("\x01\x02\x03\x04"))},
                          {".bss", SHT_NOBITS, SHF_ALLOC, 0x3000, {}}}));
  write(corpus / "btf" / "kernel", fake::make_btf());
  write_kallsyms(corpus / "kallsyms");
  write_profile_file(corpus / "profile_file");
}
