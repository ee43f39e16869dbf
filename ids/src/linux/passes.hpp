// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>
#include <sevmon/text.hpp>
#include <sevmon/units.hpp>

// Lists are made again until they can be relied on. A `List` has entries, notes with a kind and an
// address, and says how it was made: ProcessList, ModuleList.
namespace sevmon::ids {

template <typename List>
struct ListPass {
  List list;          // but for consistency and passes
  bool torn = false;  // it contradicts itself
};

/// Which one a note is about. A kernel gives a new task the memory of one that has just gone: only
/// with its pid is it the same. A module has nothing of that kind, and comes and goes less often.
template <typename Note>
HiddenHistory::Identity identity_of(const Note& note) {
  std::int32_t pid = 0;
  if constexpr (requires { note.pid; }) pid = note.pid;
  return {static_cast<std::uint8_t>(note.kind), note.address.value, pid};
}

template <typename Note>
bool is_tear(const Note& note) {
  return note.kind == decltype(note.kind)::kTear;
}

/// What the passes of a list showed hidden. Who just begins or ends is seen so once, if at all:
/// what two passes show, of this list or one of an earlier one, is hidden.
template <typename Note>
class Sightings {
 public:
  /// `history` may be null.
  explicit Sightings(HiddenHistory* history) : history_{history} {}
  Sightings(const Sightings&) = delete;
  Sightings& operator=(const Sightings&) = delete;
  ~Sightings() {
    if (history_ == nullptr) return;
    for (const auto& [identity, seen] : seen_) history_->add(identity);
  }

  /// Take what is hidden out of a pass's notes. Returns whether there was anything.
  bool take(std::vector<Note>& notes) {
    ++passes_;
    const auto hidden = std::stable_partition(notes.begin(), notes.end(), is_tear<Note>);
    for (auto note = hidden; note != notes.end(); ++note) {
      const auto identity = identity_of(*note);
      const unsigned before = history_ != nullptr && history_->contains(identity) ? 1 : 0;
      auto& seen = seen_.try_emplace(identity, Seen{{}, before}).first->second;
      seen.note = std::move(*note);
      ++seen.times;
    }
    const bool was_any = hidden != notes.end();
    notes.erase(hidden, notes.end());
    return was_any;
  }

  bool is_any_sure() const {
    return std::ranges::any_of(seen_, [](const auto& each) { return is_sure(each.second); });
  }

  /// What is sure, and as tears what is not: it may be anything, but is not kept from anybody.
  void put(std::vector<Note>& notes) const {
    for (const auto& [identity, seen] : seen_) {
      notes.push_back(seen.note);
      if (is_sure(seen)) continue;
      notes.back().kind = decltype(notes.back().kind)::kTear;
      notes.back().text += passes_ > 1 && passes_with(identity) == passes_
                               ? ", in one pass, and in each other something else at that address"
                               : ", in one pass only";
    }
  }

 private:
  struct Seen {
    Note note;
    unsigned times = 0;
  };
  static bool is_sure(const Seen& seen) { return seen.times > 1; }
  /// Passes that showed this kind and address, whatever the pid.
  unsigned passes_with(const HiddenHistory::Identity& identity) const {
    return static_cast<unsigned>(std::ranges::count_if(seen_, [&](const auto& each) {
      return std::get<0>(each.first) == std::get<0>(identity) &&
             std::get<1>(each.first) == std::get<1>(identity);
    }));
  }

  HiddenHistory* history_;
  std::map<HiddenHistory::Identity, Seen> seen_;
  unsigned passes_ = 0;
};

/// From `least` to twice as long: who hides and shows up at a steady pace shall not fit it.
inline void wait_to_settle(std::chrono::microseconds least) {
  std::uint32_t random = 0;
  static_cast<void>(getrandom(&random, sizeof(random), GRND_NONBLOCK));
  std::this_thread::sleep_for(least + least * random / (std::uint64_t{1} << 32));
}

/// `run_pass()` until a pass does not contradict itself, and shows nothing hidden or something is
/// sure to be. Where something looks hidden, `options.settle` goes by until the next pass: what
/// comes or goes during a pass is seen by one way and not by the other. A list that is torn may
/// lack entries; what is sure to be hidden is hidden all the same, also where a later pass cannot
/// be made any more: that list is torn.
template <typename List, typename Options, typename RunPass>
common::Result<List> list_until_stable(const Options& options, RunPass run_pass) {
  HiddenHistory* history = nullptr;
  if constexpr (requires { options.history; }) history = options.history;
  Sightings<typename decltype(List::notes)::value_type> sightings{history};
  ProgramUse use;
  List latest;
  for (unsigned passes = 1;; ++passes) {
    common::Result<ListPass<List>> pass = run_pass();
    if (!pass && !sightings.is_any_sure()) return pass.error();
    if (!pass) {
      sightings.put(latest.notes);
      auto& tear = latest.notes.emplace_back();
      tear.text = "the list could not be finished: " + escape(pass.error().message());
      return latest;
    }
    auto& list = pass->list;
    list.passes = passes;
    list.program = use += list.program;
    const bool looks_hidden = sightings.take(list.notes);
    if (!pass->torn && (!looks_hidden || sightings.is_any_sure())) {
      list.consistency = passes == 1 ? Consistency::kConsistent : Consistency::kRetried;
      if (sightings.is_any_sure()) sightings.put(list.notes);
      return std::move(list);
    }
    if (passes >= options.max_passes) {
      list.consistency = Consistency::kTorn;
      sightings.put(list.notes);
      return std::move(list);
    }
    if (looks_hidden) wait_to_settle(options.settle);
    latest = std::move(list);
    latest.consistency = Consistency::kTorn;
  }
}

/// What of an entry does not change while it is listed twice, or hardly ever: by name.
using Fields = std::vector<std::pair<std::string_view, std::string>>;

/// The two ways, in a note's words.
struct Ways {
  std::string_view ours, theirs;
};

/// By entry and what differs, so that two comparisons can be held against each other. `Traits`
/// say what an entry's Place is, its Fields, what it is called, and what kind of thing it is.
template <typename Traits>
using Differences = std::map<std::pair<typename Traits::Place, std::string_view>, std::string>;

template <typename Traits>
Differences<Traits> differences(const typename Traits::List& our_list,
                                const typename Traits::List& their_list, const Ways& ways) {
  using Place = typename Traits::Place;
  const std::string ours_by{ways.ours}, theirs_by{ways.theirs};
  std::map<Place, const typename Traits::Entry*> others;
  for (const auto& entry : Traits::entries(their_list)) others[Traits::place(entry)] = &entry;
  Differences<Traits> found;
  for (const auto& entry : Traits::entries(our_list)) {
    const auto place = Traits::place(entry);
    const auto other = others.extract(place);
    if (other.empty()) {
      found[{place, Traits::kNoun}] =
          '"' + Traits::title(entry) + "\" is found by " + ours_by + " and not by " + theirs_by;
      continue;
    }
    const Fields ours = Traits::fields(entry), theirs = Traits::fields(*other.mapped());
    for (std::size_t i = 0; i < ours.size(); ++i)
      if (ours[i].second != theirs[i].second)
        found[{place, ours[i].first}] = std::string{ours[i].first} + ": " + ours[i].second +
                                        " by " + ours_by + ", " + theirs[i].second + " by " +
                                        theirs_by;
  }
  for (const auto& [place, entry] : others)
    found[{place, Traits::kNoun}] =
        '"' + Traits::title(*entry) + "\" is found by " + theirs_by + " and not by " + ours_by;
  return found;
}

/// Our list, with a note for each difference from theirs that every one of `max_passes` comparisons
/// found: what came or went between the two lists differs once, not twice.
template <typename Traits, typename MakeOurs, typename MakeTheirs>
common::Result<typename Traits::List> compare_until_stable(unsigned max_passes, ListMethod method,
                                                           const Ways& ways, MakeOurs make_ours,
                                                           MakeTheirs make_theirs) {
  Differences<Traits> before;
  unsigned passes = 0;
  ProgramUse use;
  for (unsigned tries = 1;; ++tries) {
    common::Result<typename Traits::List> list = make_ours();
    if (!list) return list.error();
    const common::Result<typename Traits::List> other = make_theirs();
    if (!other) return other.error();
    list->method = method;
    list->passes = passes += list->passes + other->passes;
    list->program = use += list->program;
    if (other->consistency == Consistency::kTorn) {
      list->consistency = Consistency::kTorn;
      list->notes.insert(list->notes.end(), other->notes.begin(), other->notes.end());
    }
    if (list->consistency == Consistency::kTorn) return list;

    auto now = differences<Traits>(*list, *other, ways);
    if (tries > 1)
      std::erase_if(now, [&](const auto& each) { return !before.contains(each.first); });
    if (!now.empty() && tries < max_passes) {
      before = std::move(now);
      continue;
    }
    for (auto& [where, text] : now)
      list->notes.push_back(Traits::difference(where.first, std::move(text)));
    if (tries > 1) list->consistency = Consistency::kRetried;
    return list;
  }
}

}  // namespace sevmon::ids
