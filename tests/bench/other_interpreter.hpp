// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "bench/other_interpreter.h"

namespace sevmon::bench {

/// A shared object as other_interpreter.h says, which stays loaded. Throws if it is none.
class OtherInterpreter {
 public:
  /// Runs over a buffer and returns r0.
  using Program = std::function<std::uint64_t(void*)>;

  explicit OtherInterpreter(const std::string& path)
      : object_{::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)} {
    if (object_ == nullptr) throw std::runtime_error{::dlerror()};
    find(load_, "other_interpreter_load");
    find(run_, "other_interpreter_run");
    find(unload_, "other_interpreter_unload");
  }

  Program load(const void* insns, std::uint32_t count, std::size_t bytes) const {
    const char* why = "";
    void* loaded = load_(insns, count, bytes, &why);
    if (loaded == nullptr) throw std::runtime_error{std::string{"not loaded: "} + why};
    const std::shared_ptr<void> program{loaded, unload_};
    return [program, run = run_](void* buffer) { return run(program.get(), buffer); };
  }

 private:
  template <typename Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(object_, name));
    if (function == nullptr) throw std::runtime_error{::dlerror()};
  }

  void* object_;
  decltype(&other_interpreter_load) load_ = nullptr;
  decltype(&other_interpreter_run) run_ = nullptr;
  decltype(&other_interpreter_unload) unload_ = nullptr;
};

}  // namespace sevmon::bench
