// SPDX-License-Identifier: Apache-2.0
#include "program_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "compile.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

/// A directory that goes when this does.
class Scratch {
 public:
  static Result<std::unique_ptr<Scratch>> make() {
    const char* base = std::getenv("TMPDIR");
    std::string name =
        std::string{base != nullptr && *base != '\0' ? base : "/tmp"} + "/sevmon-program.XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
      return Error{ErrorCode::kIo, name + ": " + std::strerror(errno)};
    return std::unique_ptr<Scratch>{new Scratch{std::move(name)}};
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_{std::move(path)} {}
  std::string path_;
};

}  // namespace

void add_program_file(CLI::App& command, ProgramFile& file, const std::string& name,
                      const std::string& help) {
  command.add_option(name, file.name, help)->required();
  command.add_option("-I,--include", file.includes, "search headers there, too")
      ->allow_extra_args(false);
}

Result<ids::ProgramObject> load_program(const ProgramFile& file) {
  if (!file.name.ends_with(".c")) return ids::ProgramObject::load(file.name);
  const auto scratch = Scratch::make();
  if (!scratch) return scratch.error();
  const std::string object = (*scratch)->path() + "/program.bpf.o";
  if (auto compiled = compile_program(file.name, object, file.includes); !compiled)
    return compiled.error();
  return ids::ProgramObject::load(object);
}

}  // namespace sevmon::cli
