// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "helper/ipc.hpp"
#include "helper/server.hpp"

namespace sevmon::proxy::test {

using Bytes = std::vector<std::byte>;

// The hypercall, made up: `behave` fills the answer and returns its size or -errno.
class FakeCall : public AgentCall {
 public:
  using Behaviour = std::function<long(std::span<const std::byte>, std::span<std::byte>)>;

  explicit FakeCall(Behaviour behave, unsigned workers = 4)
      : behave_{std::move(behave)}, buffers_(workers, Bytes(kMaxAnswerBytes + 8)) {}

  long call(unsigned worker, std::span<const std::byte> frame,
            std::span<const std::byte>& answer) override {
    ++calls;
    const long result = behave_(frame, buffers_.at(worker));
    if (result > 0)
      answer = std::span{buffers_.at(worker)}.first(
          std::min(static_cast<std::size_t>(result), buffers_.at(worker).size()));
    return result;
  }

  static long echo(std::span<const std::byte> frame, std::span<std::byte> answer) {
    std::ranges::copy(frame, answer.begin());
    return static_cast<long>(frame.size());
  }

  std::atomic<unsigned> calls = 0;

 private:
  Behaviour behave_;
  std::vector<Bytes> buffers_;
};

// A directory of its own, gone at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "sevmon-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A helper in a thread of this process.
class RunningHelper {
 public:
  RunningHelper(const std::string& path, AgentCall& call, unsigned workers = 4)
      : stop_{::eventfd(0, EFD_CLOEXEC)}, server_{call, workers} {
    set_log_level(LogLevel::kError);
    auto listener = listen_seqpacket(path, -1);
    if (!listener) throw std::runtime_error{listener.error().message()};
    listener_ = *std::move(listener);
    thread_ = std::thread{[this] { (void)server_.run(listener_.get(), stop_.get()); }};
  }
  ~RunningHelper() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }

 private:
  Descriptor stop_;
  Descriptor listener_;
  HelperServer server_;
  std::thread thread_;
};

}  // namespace sevmon::proxy::test
