// SPDX-License-Identifier: Apache-2.0
#include "linux/process_records.hpp"

#include <span>
#include <utility>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Gva;
using common::Result;

// A table with room for as many ids, and nearly nothing in it, ends in fewer.
constexpr std::uint32_t kRecordsOfARun = 512;
constexpr unsigned kMoreRuns = 16;

std::string describe_tear(std::uint32_t reason) {
  switch (reason) {
    case SEVMON_PROCESSES_TEAR_READ:
      return "cannot be read";
    case SEVMON_PROCESSES_TEAR_SHIFT:
      return "is a node of another height";
    case SEVMON_PROCESSES_TEAR_PARENT:
      return "is a node that does not point back to its parent";
    case SEVMON_PROCESSES_TEAR_ENTRY:
      return "has an entry that points to nothing";
  }
  return "is torn: reason " + std::to_string(reason);
}

class Reader {
 public:
  Reader(const RunProgram& run, std::uint32_t max_records) : run_{run}, max_records_{max_records} {}

  Result<ProcessRecords> read() {
    const unsigned max_runs = max_records_ / kRecordsOfARun + kMoreRuns;
    for (bool more = true; more;) {
      if (found_.use.runs == max_runs) {
        tear({}, "no end after " + std::to_string(max_runs) + " runs");
        break;
      }
      const sevmon_processes_input input{.id = next_};
      const auto ran = run_(std::as_bytes(std::span{&input, 1}));
      if (!ran && ran.error().code == ErrorCode::kTooLarge && found_.use.runs != 0) {
        tear({}, ran.error().detail);
        break;
      }
      if (!ran) return ran.error();
      found_.use += *ran;
      const auto taken = take(*ran);
      if (!taken) return taken.error();
      more = *taken;
    }
    return std::move(found_);
  }

 private:
  /// One run's result. Returns whether another has to follow.
  Result<bool> take(const ProgramRun& run) {
    const auto split = split_result<sevmon_process_record, sevmon_processes_trailer>(run);
    if (!split) return tear({}, split.error().detail);
    const auto first = next_;
    for (const auto& record : split->records) {
      if (record.id < next_) return tear({}, "ids that do not ascend");
      if (found_.records.size() == max_records_)
        return tear({}, "over " + std::to_string(max_records_) + " tasks");
      next_ = std::uint64_t{record.id} + 1;
      found_.records.push_back(record);
    }
    if (split->is_cut) return tear({}, describe_cut(run));
    // Without space for a trailer there was none for another record.
    if (!split->trailer) return true;
    return take_trailer(*split->trailer, first);
  }

  /// `first`: the id that its run began with.
  Result<bool> take_trailer(const sevmon_processes_trailer& trailer, std::uint64_t first) {
    if (trailer.tears != 0)
      tear({trailer.torn}, describe_tear(trailer.reason) + more_places(trailer.tears));
    if (trailer.status == 0)
      found_.ring = {{trailer.ring_next}, {trailer.ring_previous}};
    else
      found_.ring.reset();
    switch (trailer.end) {
      case SEVMON_PROCESSES_DONE:
        return false;
      case SEVMON_PROCESSES_NO_SPACE:
      case SEVMON_PROCESSES_TOO_MANY:
        if (trailer.next < next_ || trailer.next <= first) return tear({}, "it does not get on");
        next_ = trailer.next;
        return true;
      case SEVMON_PROCESSES_UNSUPPORTED:
        return Error{ErrorCode::kUnsupported, "the table of process ids is unlike any"};
    }
    return tear({}, "it ends with " + std::to_string(trailer.end));
  }

  /// Returns that no other run has to follow.
  bool tear(Gva address, std::string text) {
    found_.tears.push_back({address, "by program: " + std::move(text)});
    return false;
  }

  const RunProgram& run_;
  const std::uint32_t max_records_;
  std::uint64_t next_ = 0;
  ProcessRecords found_;
};

}  // namespace

Result<ProcessRecords> read_process_records(const RunProgram& run, std::uint32_t max_records) {
  return Reader{run, max_records}.read();
}

}  // namespace sevmon::ids
