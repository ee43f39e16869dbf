// SPDX-License-Identifier: Apache-2.0
#include "linux/module_records.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "linux/hostile.hpp"
#include "programs/modules.h"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;

// An answer holds some hundreds of records; the walks but the first can end in nearly empty ones.
constexpr std::uint32_t kRecordsOfARun = 64;
constexpr unsigned kMoreRuns = 64;

static_assert(sizeof(sevmon_module_record) == sizeof(sevmon_module_words));

std::string describe_tear(std::uint32_t reason) {
  switch (reason) {
    case SEVMON_MODULES_TEAR_READ:
      return "cannot be read";
    case SEVMON_MODULES_TEAR_LINK:
      return "does not lead back";
    case SEVMON_MODULES_TEAR_MANY:
      return "goes on without an end";
    case SEVMON_MODULES_TEAR_OBJECT:
      return "is an object of a module that has another";
    case SEVMON_MODULES_TEAR_PARENT:
      return "does not lead back to its parent";
    case SEVMON_MODULES_TEAR_NODE:
      return "is of a module that lies elsewhere";
    case SEVMON_MODULES_TEAR_DEPTH:
      return "is deeper than any tree";
  }
  return "is torn: reason " + std::to_string(reason);
}

class Reader {
 public:
  Reader(const RunProgram& run, std::uint32_t max_modules) : run_{run}, max_modules_{max_modules} {}

  Result<ModuleSightings> read() {
    const unsigned max_runs = max_modules_ / kRecordsOfARun + kMoreRuns;
    for (bool more = true; more;) {
      if (found_.use.runs == max_runs) {
        tear({}, "no end after " + std::to_string(max_runs) + " runs");
        break;
      }
      const auto ran = run_(std::as_bytes(std::span{&next_, 1}));
      if (!ran) return ran.error();
      found_.use += *ran;
      more = take(*ran);
    }
    return std::move(found_);
  }

 private:
  /// One run's result. Returns whether another has to follow.
  bool take(const ProgramRun& run) {
    const auto split = split_result<sevmon_module_record, sevmon_modules_trailer>(run);
    if (!split) return tear({}, split.error().detail);
    const auto first = next_;
    for (const auto& record : split->records)
      if (!take_record(record)) return false;
    if (split->is_cut) return tear({}, describe_cut(run));
    const bool gets_on = next_.walk != first.walk || next_.skip != first.skip;
    if (!split->trailer) return gets_on || tear({}, "it does not get on");
    const auto& trailer = *split->trailer;
    if (trailer.tears != 0)
      found_.tears.push_back(
          {{trailer.torn},
           "by program: " + describe_tear(trailer.reason) + more_places(trailer.tears)});
    mark(trailer.torn_walks);
    if (trailer.end == SEVMON_MODULES_DONE) return false;
    if (trailer.end != SEVMON_MODULES_NO_SPACE)
      return tear({}, "it ends with " + std::to_string(trailer.end));
    return take_place(trailer);
  }

  /// Where the trailer says to go on: after what was given, or at a later walk's beginning.
  bool take_place(const sevmon_modules_trailer& trailer) {
    const bool is_here = trailer.walk == next_.walk && trailer.skip == next_.skip;
    const bool is_later =
        trailer.walk > next_.walk && trailer.walk < SEVMON_MODULES_WALKS && trailer.skip == 0;
    if (!is_here && !is_later) return tear({}, "it does not go on where it ended");
    if (trailer.records == 0 && is_here) return tear({}, "it does not get on");
    next_ = {.walk = trailer.walk, .skip = trailer.skip};
    return true;
  }

  bool take_record(const sevmon_module_record& record) {
    if (is_kernel_pointer(record.module)) return take_module(record);
    sevmon_module_words words;
    std::memcpy(&words, &record, sizeof words);
    if (words.walk == SEVMON_MODULES_LIST || words.walk >= SEVMON_MODULES_WALKS)
      return tear({}, "a record of neither kind");
    const bool in_pairs = words.walk == SEVMON_MODULES_USES;
    if (words.count == 0 || words.count > SEVMON_MODULE_WORDS || (in_pairs && words.count % 2 != 0))
      return tear({}, "a record of " + std::to_string(words.count) + " words");
    const auto count = static_cast<std::uint32_t>(words.count);
    if (!move_on(static_cast<std::uint32_t>(words.walk), in_pairs ? count / 2 : count))
      return false;
    take_words(words, count);
    return true;
  }

  bool take_module(const sevmon_module_record& record) {
    if (!move_on(SEVMON_MODULES_LIST, 1)) return false;
    if (found_.listed.size() == max_modules_)
      return tear({record.module}, "over " + std::to_string(max_modules_) + " modules");
    if (record.unread != 0) {
      found_.tears.push_back({{record.module}, "by program: a module that cannot be read"});
      found_.is_list_torn = true;
      return true;
    }
    const std::string_view name{reinterpret_cast<const char*>(record.name), sizeof record.name};
    ModuleFacts facts;
    facts.address = {record.module};
    facts.next = {record.next};
    facts.previous = {record.previous};
    facts.base = {record.base};
    facts.size_bytes = record.bytes;
    facts.taints = record.taints;
    facts.state = record.state;
    facts.refcount = record.refcount;
    facts.name = name.substr(0, name.find('\0'));
    found_.listed.push_back(std::move(facts));
    return true;
  }

  void take_words(const sevmon_module_words& words, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const Gva module{words.word[i]};
      if (words.walk == SEVMON_MODULES_SYSFS)
        found_.in_sysfs.push_back(module);
      else if (words.walk == SEVMON_MODULES_TREE)
        found_.in_tree.push_back(module);
      else if (i % 2 != 0)
        found_.uses.emplace_back(Gva{words.word[i - 1]}, module);
    }
  }

  /// `count` more of `walk`: walks come one after another, each within its most.
  bool move_on(std::uint32_t walk, std::uint32_t count) {
    static constexpr std::uint32_t kMost[] = {SEVMON_MODULES_MAX_LIST, SEVMON_MODULES_MAX_USES,
                                              SEVMON_MODULES_MAX_SYSFS, SEVMON_MODULES_MAX_TREE};
    if (walk < next_.walk) return tear({}, "walks that are not in order");
    if (walk > next_.walk) next_ = {.walk = walk, .skip = 0};
    next_.skip += count;
    if (next_.skip > kMost[walk]) return tear({}, describe_tear(SEVMON_MODULES_TEAR_MANY));
    return true;
  }

  void mark(std::uint32_t torn_walks) {
    const auto is_torn = [&](std::uint32_t walk) { return (torn_walks >> walk & 1) != 0; };
    found_.is_list_torn |= is_torn(SEVMON_MODULES_LIST);
    found_.is_sysfs_torn |= is_torn(SEVMON_MODULES_SYSFS);
    found_.is_tree_torn |= is_torn(SEVMON_MODULES_TREE);
  }

  /// What follows is lost. Returns that no other run has to follow.
  bool tear(Gva address, const std::string& text) {
    found_.tears.push_back({address, "by program: " + text});
    mark(~0U);
    return false;
  }

  const RunProgram& run_;
  const std::uint32_t max_modules_;
  sevmon_modules_input next_{};
  ModuleSightings found_;
};

}  // namespace

Result<ModuleSightings> read_module_records(const RunProgram& run, std::uint32_t max_modules) {
  return Reader{run, max_modules}.read();
}

}  // namespace sevmon::ids
