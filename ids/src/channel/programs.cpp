// SPDX-License-Identifier: Apache-2.0
#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>
#include <sevmon/programs.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::size_t kChunk = SEVMON_MAX_PAYLOAD_BYTES - sizeof(sevmon_program_chunk);
// Longer than the agent waits for a run that nobody goes on with.
constexpr unsigned kBusyTries = 50;
constexpr std::chrono::milliseconds kBusyPause{50};

std::array<std::uint8_t, 32> sha256(std::span<const std::byte> image) {
  std::array<std::uint8_t, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(image.data()), image.size(), digest.data());
  return digest;
}

template <typename T>
std::vector<std::byte> payload_of(const T& head, std::span<const std::byte> rest = {}) {
  const auto bytes = common::bytes_of(head);
  std::vector<std::byte> payload{bytes.begin(), bytes.end()};
  payload.insert(payload.end(), rest.begin(), rest.end());
  return payload;
}

Request request_of(std::uint8_t type, std::vector<std::byte> payload,
                   const ProgramRunOptions& options) {
  sevmon_item item{};
  item.type = type;
  item.bytes = static_cast<std::uint16_t>(payload.size());
  return {.domain = options.domain,
          .root = options.root,
          .items = {item},
          .payload = std::move(payload)};
}

/// The whole answer's status, then its one item's.
Error refusal(const Response& answer) {
  if (answer.head.status != SEVMON_ANSWER_OK)
    return {ErrorCode::kRefused, answer.head.status == SEVMON_ANSWER_NO_DOMAIN ? "no such domain"
                                 : answer.head.status == SEVMON_ANSWER_NO_ROOT
                                     ? "no page table to begin at"
                                     : "a request that the agent does not take"};
  return {ErrorCode::kRefused, "program: " + describe_status(answer.items[0].status, 0)};
}

/// A run with `input` behind a head of `head_bytes`.
/// @return kUsage when the agent would not take it.
Result<sevmon_run_head> run_head_of(std::span<const std::byte> image,
                                    std::span<const std::byte> input, std::size_t head_bytes,
                                    const ProgramRunOptions& options) {
  const auto most = SEVMON_MAX_PAYLOAD_BYTES - head_bytes;
  if (input.size() > most)
    return Error{ErrorCode::kUsage, "program: " + std::to_string(input.size()) +
                                        " bytes of input, not up to " + std::to_string(most)};
  if (options.budget < 1 || options.budget > SEVMON_RUN_MAX_BUDGET)
    return Error{ErrorCode::kUsage, "program: a budget of " + std::to_string(options.budget) +
                                        ", not 1 to " + std::to_string(SEVMON_RUN_MAX_BUDGET)};
  sevmon_run_head head{
      .program = Programs::name_of(image), .budget = options.budget, .flags = 0, .pause_us = 0};
  if (!options.pause) return head;
  const auto pause = options.pause->count();
  if (pause < 1 || pause > SEVMON_RUN_MAX_PAUSE_US)
    return Error{ErrorCode::kUsage, "program: a pause of " + std::to_string(pause) +
                                        " us, not 1 to " + std::to_string(SEVMON_RUN_MAX_PAUSE_US)};
  head.flags = SEVMON_RUN_ATOMIC;
  head.pause_us = static_cast<std::uint32_t>(pause);
  return head;
}

/// @return kUsage when the agent would not take it.
Result<sevmon_schedule_head> schedule_head_of(const sevmon_run_head& run,
                                              const ProgramSchedule& schedule) {
  const auto min = schedule.min.count();
  const auto max = schedule.max.count();
  if (min < SEVMON_SCHEDULE_MIN_MS || max < min || max > SEVMON_SCHEDULE_MAX_MS)
    return Error{ErrorCode::kUsage, "program: every " + std::to_string(min) + " to " +
                                        std::to_string(max) + " ms, not within " +
                                        std::to_string(SEVMON_SCHEDULE_MIN_MS) + " to " +
                                        std::to_string(SEVMON_SCHEDULE_MAX_MS)};
  if (std::chrono::microseconds{run.pause_us} * SEVMON_SCHEDULE_PAUSE_PART > schedule.min)
    return Error{ErrorCode::kUsage, "program: a pause of " + std::to_string(run.pause_us) +
                                        " us every " + std::to_string(min) +
                                        " ms: more than a quarter"};
  return sevmon_schedule_head{.run = run,
                              .min_ms = static_cast<std::uint32_t>(min),
                              .max_ms = static_cast<std::uint32_t>(max)};
}

bool has_status(const Response& answer, std::uint16_t status) {
  return answer.head.status == SEVMON_ANSWER_OK && answer.items[0].status == status;
}

}  // namespace

std::uint64_t Programs::name_of(std::span<const std::byte> image) {
  std::uint64_t name = 0;
  std::memcpy(&name, sha256(image).data(), sizeof(name));
  return name;
}

Result<Response> Programs::ask(std::uint8_t type, std::span<const std::byte> payload,
                               const ProgramRunOptions& options) {
  for (unsigned tries = 1;; ++tries) {
    const auto request = request_of(type, {payload.begin(), payload.end()}, options);
    auto answers = channel_.exchange(std::span{&request, 1});
    if (!answers) return answers.error();
    auto& answer = answers->front();
    if (!has_status(answer, SEVMON_STATUS_BUSY) || tries == kBusyTries) return std::move(answer);
    std::this_thread::sleep_for(kBusyPause);
  }
}

Result<void> Programs::send(std::span<const std::byte> image, std::uint64_t name) {
  std::vector<Request> chunks;
  for (std::size_t at = 0; at < image.size(); at += kChunk) {
    const sevmon_program_chunk head{
        .program = name, .offset = static_cast<std::uint32_t>(at), .zero = 0};
    const auto bytes = image.subspan(at, std::min(kChunk, image.size() - at));
    chunks.push_back(request_of(SEVMON_ITEM_PROGRAM_CHUNK, payload_of(head, bytes), {}));
  }
  const auto answers = channel_.exchange(chunks);
  if (!answers) return answers.error();
  for (const auto& answer : *answers)
    if (!has_status(answer, SEVMON_STATUS_OK)) return refusal(answer);
  return {};
}

Result<void> Programs::load(std::span<const std::byte> image) {
  if (image.size() < SEVMON_PROGRAM_MIN_BYTES || image.size() > SEVMON_PROGRAM_MAX_BYTES)
    return Error{ErrorCode::kUsage, "a program of " + std::to_string(image.size()) +
                                        " bytes, not " + std::to_string(SEVMON_PROGRAM_MIN_BYTES) +
                                        " to " + std::to_string(SEVMON_PROGRAM_MAX_BYTES)};
  const auto digest = sha256(image);
  const auto name = name_of(image);
  sevmon_program_begin begin{
      .sha256 = {}, .bytes = static_cast<std::uint32_t>(image.size()), .zero = 0};
  std::ranges::copy(digest, begin.sha256);
  const auto begun = ask(SEVMON_ITEM_PROGRAM_BEGIN, payload_of(begin));
  if (!begun) return begun.error();
  if (has_status(*begun, SEVMON_STATUS_BUSY))
    return Error{ErrorCode::kRefused,
                 "program: all places are taken by others that run or are "
                 "scheduled"};
  if (!has_status(*begun, SEVMON_STATUS_OK)) return refusal(*begun);
  const auto entry = common::Reader{begun->items[0].bytes}.take<sevmon_program_entry>();
  if (!std::ranges::equal(entry.sha256, digest) || entry.bytes != image.size())
    return Error{ErrorCode::kMismatch, "program: another of that name is loaded"};
  if (entry.state == SEVMON_PROGRAM_READY) return {};

  if (auto ok = send(image, name); !ok) return ok;
  const auto committed =
      ask(SEVMON_ITEM_PROGRAM_COMMIT, payload_of(sevmon_program_name{.program = name, .zero = 0}));
  if (!committed) return committed.error();
  if (has_status(*committed, SEVMON_STATUS_OK)) return {};
  if (!has_status(*committed, SEVMON_STATUS_REFUSED)) return refusal(*committed);
  const auto verdict = common::Reader{committed->items[0].bytes}.take<sevmon_program_verdict>();
  return Error{ErrorCode::kRefused, "program: the agent refuses instruction " +
                                        std::to_string(verdict.insn) + ": " +
                                        describe_verdict(verdict.reason)};
}

Result<ProgramRun> Programs::run(std::span<const std::byte> image, std::span<const std::byte> input,
                                 const ProgramRunOptions& options) {
  const auto head = run_head_of(image, input, sizeof(sevmon_run_head), options);
  if (!head) return head.error();
  ProgramRun run;
  auto answer = ask(SEVMON_ITEM_PROGRAM_RUN, payload_of(*head, input), options);
  if (answer && has_status(*answer, SEVMON_STATUS_NO_PROGRAM)) {
    if (auto ok = load(image); !ok) return ok.error();
    run.was_loaded = true;
    answer = ask(SEVMON_ITEM_PROGRAM_RUN, payload_of(*head, input), options);
  }
  if (!answer) return answer.error();
  if (!has_status(*answer, SEVMON_STATUS_OK)) return refusal(*answer);
  common::Reader reader{answer->items[0].bytes};
  run.head = answer->head;
  run.report = reader.take<sevmon_run_report>();
  const auto result = reader.bytes(reader.left());
  run.result.assign(result.begin(), result.end());
  return run;
}

Result<sevmon_response_head> Programs::schedule(std::span<const std::byte> image,
                                                std::span<const std::byte> input,
                                                const ProgramSchedule& schedule) {
  const auto run = run_head_of(image, input, sizeof(sevmon_schedule_head), schedule.run);
  if (!run) return run.error();
  const auto head = schedule_head_of(*run, schedule);
  if (!head) return head.error();
  if (auto ok = load(image); !ok) return ok.error();
  const auto answer = ask(SEVMON_ITEM_PROGRAM_SCHEDULE, payload_of(*head, input), schedule.run);
  if (!answer) return answer.error();
  if (has_status(*answer, SEVMON_STATUS_UNSUPPORTED))
    return Error{ErrorCode::kUnsupported, "program: no schedules over a memory image"};
  if (!has_status(*answer, SEVMON_STATUS_OK)) return refusal(*answer);
  return answer->head;
}

Result<void> Programs::unschedule(std::uint64_t name) {
  return name_item(SEVMON_ITEM_PROGRAM_UNSCHEDULE, name);
}

Result<Collected> Programs::collect(std::uint64_t seen) {
  const auto answer =
      ask(SEVMON_ITEM_PROGRAM_COLLECT, payload_of(sevmon_collect{.seen = seen, .zero = 0}));
  if (!answer) return answer.error();
  if (has_status(*answer, SEVMON_STATUS_REFUSED))
    return Error{ErrorCode::kRefused, "program: a result that does not fit this size class"};
  if (!has_status(*answer, SEVMON_STATUS_OK)) return refusal(*answer);
  const auto view = common::decode_collected(answer->items[0].bytes);
  if (!view) return view.error();
  Collected collected{.agent_ns = answer->head.time_ns,
                      .next_number = view->head.next_number,
                      .skipped = view->head.skipped,
                      .waiting = view->head.waiting,
                      .runs = {}};
  for (const auto& result : view->results)
    collected.runs.push_back({result.head, {result.bytes.begin(), result.bytes.end()}});
  return collected;
}

Result<void> Programs::unload(std::uint64_t name) {
  return name_item(SEVMON_ITEM_PROGRAM_UNLOAD, name);
}

Result<void> Programs::name_item(std::uint8_t type, std::uint64_t name) {
  const auto answer = ask(type, payload_of(sevmon_program_name{.program = name, .zero = 0}));
  if (!answer) return answer.error();
  if (has_status(*answer, SEVMON_STATUS_NO_PROGRAM))
    return Error{ErrorCode::kNotFound, refusal(*answer).detail};
  return has_status(*answer, SEVMON_STATUS_OK) ? Result<void>{} : Result<void>{refusal(*answer)};
}

Result<std::vector<sevmon_program_entry>> Programs::list() {
  const auto answer = ask(SEVMON_ITEM_PROGRAM_LIST, {});
  if (!answer) return answer.error();
  if (!has_status(*answer, SEVMON_STATUS_OK)) return refusal(*answer);
  std::vector<sevmon_program_entry> entries;
  common::Reader reader{answer->items[0].bytes};
  for (unsigned i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    const auto entry = reader.take<sevmon_program_entry>();
    if (entry.state != SEVMON_PROGRAM_FREE) entries.push_back(entry);
  }
  return entries;
}

bool is_truncated(const sevmon_run_report& report) {
  return report.state == SEVMON_RUN_OVER_TIME || report.state == SEVMON_RUN_OVER_BUDGET;
}

std::string describe_run(std::uint32_t state) {
  switch (state) {
    case SEVMON_RUN_DONE:
      return "done";
    case SEVMON_RUN_OVER_BUDGET:
      return "over budget";
    case SEVMON_RUN_FAULT:
      return "an access outside of its memory";
    case SEVMON_RUN_TOO_DEEP:
      return "calls too deep";
    case SEVMON_RUN_BAD_INSN:
      return "an instruction that does not exist";
    case SEVMON_RUN_NO_TARGET:
      return "the domain went away";
    case SEVMON_RUN_OVER_TIME:
      return "over the time of its pause";
    case SEVMON_RUN_NOT_PAUSED:
      return "the target's vCPUs did not stop in time";
    case SEVMON_RUN_NO_ROOT:
      return "no page table to begin at";
  }
  return "state " + std::to_string(state);
}

std::string describe_verdict(std::uint32_t reason) {
  switch (reason) {
    case SEVMON_VERDICT_OK:
      return "ok";
    case SEVMON_VERDICT_LENGTH:
      return "no instructions, or too many";
    case SEVMON_VERDICT_OPCODE:
      return "no such instruction";
    case SEVMON_VERDICT_FIELD:
      return "a field that must be zero, or is out of range";
    case SEVMON_VERDICT_REGISTER:
      return "no such register, or r10 is written";
    case SEVMON_VERDICT_JUMP:
      return "a jump out of its function or into an immediate";
    case SEVMON_VERDICT_END:
      return "the function can run past its end";
    case SEVMON_VERDICT_UNINITIALISED:
      return "a register is read that may not be set";
    case SEVMON_VERDICT_HELPER:
      return "no such helper";
    case SEVMON_VERDICT_STACK:
      return "a place off r10 that is not in the stack";
    case SEVMON_VERDICT_DEPTH:
      return "recursion, or calls too deep";
    case SEVMON_VERDICT_DIGEST:
      return "the image is not the one that was announced";
    case SEVMON_VERDICT_HEAD:
      return "the image's head does not fit it";
  }
  return "reason " + std::to_string(reason);
}

}  // namespace sevmon::ids
