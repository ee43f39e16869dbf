// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <sevmon/listing.hpp>
#include <sevmon/result.hpp>
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
auto identity_of(const Note& note) {
  std::int32_t pid = 0;
  if constexpr (requires { note.pid; }) pid = note.pid;
  return std::tuple{note.kind, note.address, pid};
}

template <typename List>
using Identities =
    std::set<decltype(identity_of(std::declval<typename decltype(List::notes)::value_type>()))>;

/// What a pass found to be hidden.
template <typename List>
Identities<List> hidden_of(const List& list) {
  Identities<List> hidden;
  for (const auto& note : list.notes)
    if (note.kind != decltype(note.kind)::kTear) hidden.insert(identity_of(note));
  return hidden;
}

/// From `least` to twice as long: who hides and shows up at a steady pace shall not fit it.
inline void wait_to_settle(std::chrono::microseconds least) {
  std::uint32_t random = 0;
  static_cast<void>(getrandom(&random, sizeof(random), GRND_NONBLOCK));
  std::this_thread::sleep_for(least + least * random / (std::uint64_t{1} << 32));
}

/// The list of a last pass that is not to be relied on. What it was the first to see hidden is
/// told, as a tear: it may be anything.
template <typename List>
List torn_list(List list, const Identities<List>& before) {
  list.consistency = Consistency::kTorn;
  for (auto& note : list.notes)
    if (note.kind != decltype(note.kind)::kTear && !before.contains(identity_of(note))) {
      note.kind = decltype(note.kind)::kTear;
      note.text += ", in the last pass only";
    }
  return list;
}

/// `run_pass()` until a pass does not contradict itself and shows nothing hidden, or something that
/// the pass before, at least `options.settle` ago, showed hidden, too. What comes or goes during a
/// pass is seen by one way and not by the other: what one pass alone sees so is not believed, and
/// what two see so is hidden. What is torn is never believed.
template <typename List, typename Options, typename RunPass>
common::Result<List> list_until_stable(const Options& options, RunPass run_pass) {
  Identities<List> before;
  ProgramUse use;
  for (unsigned passes = 1;; ++passes) {
    common::Result<ListPass<List>> pass = run_pass();
    if (!pass) return pass.error();
    auto& list = pass->list;
    list.passes = passes;
    list.program = use += list.program;
    auto hidden = hidden_of(list);
    const auto is_new = [&](const auto& identity) { return !before.contains(identity); };
    if (!pass->torn && (hidden.empty() || !std::ranges::all_of(hidden, is_new))) {
      list.consistency = passes == 1 ? Consistency::kConsistent : Consistency::kRetried;
      std::erase_if(list.notes, [&](const auto& note) { return is_new(identity_of(note)); });
      return std::move(list);
    }
    if (passes >= options.max_passes) return torn_list(std::move(list), before);
    before = std::move(hidden);
    if (!before.empty()) wait_to_settle(options.settle);
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
