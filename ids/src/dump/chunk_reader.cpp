// SPDX-License-Identifier: Apache-2.0
#include "dump/chunk_reader.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <sevmon/wire.h>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint16_t kProbeBytes = 8;

/// A chunk in the making.
struct Buffer {
  FrameRun frames;
  std::vector<std::byte> bytes = std::vector<std::byte>(kChunkFrames * SEVMON_PAGE_BYTES);
  std::vector<std::uint8_t> present = std::vector<std::uint8_t>(kChunkFrames);
  std::vector<std::uint16_t> wanted;  // frames of it, ascending
  std::size_t asked = 0;              // of `wanted`
  std::size_t answered = 0;
  bool is_probing = false;
  std::uint64_t first_ns = 0, last_ns = 0;

  void start(FrameRun run, bool probe);
  /// After the last answer to a probe: what it found. @return whether there is anything to read.
  bool read_what_was_found();
  void absent(std::uint16_t frame);
  std::vector<FrameRun> runs() const;
};

void Buffer::start(FrameRun run, bool probe) {
  frames = run;
  wanted.resize(run.count);
  for (std::size_t i = 0; i < run.count; ++i) wanted[i] = static_cast<std::uint16_t>(i);
  asked = answered = 0;
  is_probing = probe;
  first_ns = last_ns = 0;
  std::ranges::fill(present, std::uint8_t{0});
}

bool Buffer::read_what_was_found() {
  is_probing = false;
  std::erase_if(wanted, [this](auto frame) { return present[frame] == 0; });
  asked = answered = 0;
  return !wanted.empty();
}

void Buffer::absent(std::uint16_t frame) {
  present[frame] = 0;
  std::ranges::fill(std::span{bytes}.subspan(frame * SEVMON_PAGE_BYTES, SEVMON_PAGE_BYTES),
                    std::byte{0});
}

std::vector<FrameRun> Buffer::runs() const {
  FrameRuns found;
  for (std::uint64_t i = 0; i < frames.count; ++i)
    if (present[i] != 0) found.append({frames.first + i, 1});
  return {found.runs().begin(), found.runs().end()};
}

/// The taker's thread: gets buffers in the order in which they were handed out, gives them back.
class Taking {
 public:
  explicit Taking(const TakeChunk& take) : take_{take}, thread_{[this] { run(); }} {}
  ~Taking() { static_cast<void>(end()); }
  Taking(const Taking&) = delete;
  Taking& operator=(const Taking&) = delete;

  /// @return none when all are in use; `wait`: until one is not, or taking failed.
  Buffer* get(bool wait) {
    std::unique_lock lock{mutex_};
    if (wait) changed_.wait(lock, [this] { return !free_.empty() || failed_; });
    if (free_.empty() || failed_) return nullptr;
    Buffer* const buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void put(Buffer* buffer) {
    const std::lock_guard lock{mutex_};
    full_.push_back(buffer);
    changed_.notify_all();
  }
  bool has_failed() const {
    const std::lock_guard lock{mutex_};
    return failed_.has_value();
  }
  /// Take what was put, then no more.
  Result<void> end() {
    {
      const std::lock_guard lock{mutex_};
      is_over_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
    return failed_ ? Result<void>{*failed_} : Result<void>{};
  }

 private:
  void run() {
    std::unique_lock lock{mutex_};
    for (auto& buffer : buffers_) free_.push_back(&buffer);
    changed_.notify_all();
    while (true) {
      changed_.wait(lock, [this] { return !full_.empty() || is_over_; });
      if (full_.empty()) return;
      Buffer* const buffer = full_.front();
      full_.pop_front();
      lock.unlock();
      auto done = failed_ ? Result<void>{} : take(*buffer);
      lock.lock();
      if (!done) failed_ = std::move(done).error();
      free_.push_back(buffer);
      changed_.notify_all();
    }
  }
  Result<void> take(const Buffer& buffer) const {
    const auto runs = buffer.runs();
    return take_({.frames = buffer.frames,
                  .present = runs,
                  .bytes = buffer.bytes,
                  .first_ns = buffer.first_ns,
                  .last_ns = buffer.last_ns});
  }

  const TakeChunk& take_;
  std::array<Buffer, kChunks> buffers_;
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::vector<Buffer*> free_;
  std::deque<Buffer*> full_;
  std::optional<Error> failed_;  // written by its own thread only
  bool is_over_ = false;
  std::thread thread_;  // last: it uses the others
};

class ChunkReader final : public RequestStream {
 public:
  ChunkReader(common::DomId domain, const FrameRuns& frames, std::uint8_t size_class,
              const std::atomic<bool>& stop, const TakeChunk& take)
      : domain_{domain},
        pages_{std::min<std::size_t>(SEVMON_CLASS_PAGES(size_class), SEVMON_MAX_ITEMS)},
        rest_{frames.runs().begin(), frames.runs().end()},
        stop_{stop},
        taking_{take} {}

  Next next(Request& request, bool nothing_under_way) override {
    if (stop_ || taking_.has_failed()) return Next::kEnd;
    auto open = std::ranges::find_if(
        open_, [](const Buffer* buffer) { return buffer->asked < buffer->wanted.size(); });
    if (open == open_.end()) {
      if (rest_.empty()) return open_.empty() ? Next::kEnd : Next::kLater;
      Buffer* const buffer = taking_.get(nothing_under_way);
      if (buffer == nullptr) return taking_.has_failed() ? Next::kEnd : Next::kLater;
      start(*buffer);
      open = std::prev(open_.end());
    }
    request = ask(**open);
    return Next::kRequest;
  }

  Result<void> take(std::size_t index, Response response) override {
    const auto found = asked_.find(index);
    if (found == asked_.end()) return Error{ErrorCode::kInternal, "an answer to no request"};
    const auto asked = found->second;
    asked_.erase(found);
    Buffer& buffer = *asked.buffer;
    if (response.head.status != SEVMON_ANSWER_OK)
      return Error{ErrorCode::kRefused, response.head.status == SEVMON_ANSWER_NO_DOMAIN
                                            ? "the agent has no such domain"
                                            : "the agent refuses the request: status " +
                                                  std::to_string(response.head.status)};
    for (std::size_t i = 0; i < response.items.size(); ++i)
      if (auto ok = take_frame(buffer, buffer.wanted[asked.first + i], response.items[i]); !ok)
        return ok;
    const auto now = response.head.time_ns;
    buffer.first_ns = buffer.first_ns == 0 ? now : std::min(buffer.first_ns, now);
    buffer.last_ns = std::max(buffer.last_ns, now);
    buffer.answered += response.items.size();
    if (buffer.answered == buffer.wanted.size()) complete(buffer);
    return {};
  }

  Result<void> end() { return taking_.end(); }

 private:
  struct Asked {
    Buffer* buffer;
    std::size_t first;  // of buffer->wanted
  };

  void start(Buffer& buffer) {
    auto& run = rest_.front();
    // Up to a multiple, so that it does not matter where an earlier dump was interrupted.
    const auto count = std::min(run.count, kChunkFrames - run.first % kChunkFrames);
    buffer.start({run.first, count}, last_was_absent_);
    run = {run.first + count, run.count - count};
    if (run.count == 0) rest_.pop_front();
    open_.push_back(&buffer);
  }

  Request ask(Buffer& buffer) {
    Request request{.domain = domain_, .root = {}, .items = {}};
    const std::size_t most = buffer.is_probing ? SEVMON_MAX_ITEMS : pages_;
    const auto count = std::min(most, buffer.wanted.size() - buffer.asked);
    for (std::size_t i = 0; i < count; ++i) {
      const auto frame = buffer.frames.first + buffer.wanted[buffer.asked + i];
      request.items.push_back(
          {.type = SEVMON_ITEM_READ_PHYSICAL,
           .zero = 0,
           .bytes = buffer.is_probing ? kProbeBytes : std::uint16_t{SEVMON_PAGE_BYTES},
           .arg = 0,
           .address = frame * SEVMON_PAGE_BYTES});
    }
    asked_.emplace(made_++, Asked{&buffer, buffer.asked});
    buffer.asked += count;
    return request;
  }

  Result<void> take_frame(Buffer& buffer, std::uint16_t frame, const ItemResult& result) {
    if (result.status == SEVMON_STATUS_NO_FRAME) {
      buffer.absent(frame);
      return {};
    }
    // Anything else is no answer about this frame, and must not pass for a hole.
    if (result.status != SEVMON_STATUS_OK)
      return Error{ErrorCode::kRefused, describe_status(result.status, result.level)};
    buffer.present[frame] = 1;
    if (!buffer.is_probing)
      std::ranges::copy(result.bytes, buffer.bytes.begin() + frame * SEVMON_PAGE_BYTES);
    return {};
  }

  void complete(Buffer& buffer) {
    if (buffer.is_probing && buffer.read_what_was_found()) return;
    last_was_absent_ = std::ranges::none_of(buffer.present, [](auto is) { return is != 0; });
    // In order, however the answers come.
    while (!open_.empty() && !open_.front()->is_probing &&
           open_.front()->answered == open_.front()->wanted.size()) {
      taking_.put(open_.front());
      open_.pop_front();
    }
  }

  const common::DomId domain_;
  const std::size_t pages_;
  std::deque<FrameRun> rest_;
  const std::atomic<bool>& stop_;
  std::deque<Buffer*> open_;            // handed out, not complete; ascending
  std::map<std::size_t, Asked> asked_;  // by request
  std::size_t made_ = 0;
  bool last_was_absent_ = false;
  Taking taking_;
};

}  // namespace

std::span<const std::byte> Chunk::bytes_of(FrameRun run) const {
  return bytes.subspan((run.first - frames.first) * SEVMON_PAGE_BYTES,
                       run.count * SEVMON_PAGE_BYTES);
}

Result<void> read_chunks(Channel& channel, common::DomId domain, const FrameRuns& frames,
                         const std::atomic<bool>& stop, const TakeChunk& take) {
  ChunkReader reader{domain, frames, channel.size_class(), stop, take};
  auto read = channel.stream(reader);
  // What is complete is worth keeping, whatever came after.
  auto taken = reader.end();
  return taken ? read : taken;
}

}  // namespace sevmon::ids
