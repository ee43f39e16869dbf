// SPDX-License-Identifier: Apache-2.0
#include "linux/rings.hpp"

#include <optional>
#include <string>
#include <utility>

#include "linux/hostile.hpp"

namespace sevmon::ids {
namespace {

using common::Gva;
using common::Result;

struct Links {
  Gva next{}, previous{};
};

/// One ring, walked from both ends: everything outside [front, back] is known, and led back.
class Walk {
 public:
  explicit Walk(Ring& ring) : ring_{ring} {}

  bool is_over() const { return is_over_; }
  std::vector<RecordTear>& tears() { return tears_; }

  /// What the next step reads.
  void append_ranges(std::vector<Range>& ranges) const {
    if (!has_begun_) {
      ranges.push_back({ring_.head, kListHeadBytes});
      return;
    }
    for (const Gva link : {next_, previous_}) {
      if (!is_kernel_pointer(link.value)) continue;
      ranges.push_back({link, kListHeadBytes});
      if (ring_.append_ranges && link != ring_.head) ring_.append_ranges(link, ranges);
    }
  }

  /// @return errors of the channel.
  Result<void> step(Memory& memory) {
    if (!has_begun_) return begin(memory);
    // The ends met: each must be the other's neighbour.
    if (next_ == back_ || previous_ == front_) {
      if (next_ != back_ || previous_ != front_)
        tear(next_ == back_ ? front_ : back_, "does not lead back");
      return finish();
    }
    const bool is_last = next_ == previous_;
    if (before_.size() + after_.size() + (is_last ? 1 : 2) > ring_.max_entries) {
      tear(next_, "is one of over " + std::to_string(ring_.max_entries));
      return finish();
    }
    const auto front = take(memory, next_);
    if (!front) return front.error();
    const auto back = is_last ? front : take(memory, previous_);
    if (!back) return back.error();
    if (!*front || !*back) return finish();
    if ((*front)->previous != front_ || (*back)->next != back_) {
      tear((*front)->previous != front_ ? next_ : previous_, "does not lead back");
      return finish();
    }
    before_.push_back(std::exchange(front_, next_));
    next_ = (*front)->next;
    if (is_last) return finish();
    after_.push_back(std::exchange(back_, previous_));
    previous_ = (*back)->previous;
    return {};
  }

 private:
  Result<void> begin(Memory& memory) {
    has_begun_ = true;
    front_ = back_ = ring_.head;
    const auto head = take(memory, ring_.head);
    if (!head) return head.error();
    if (!*head) return finish();
    next_ = (*head)->next;
    previous_ = (*head)->previous;
    return {};
  }

  /// The links at `at`; none, and a tear, when there can be none.
  Result<std::optional<Links>> take(Memory& memory, Gva at) {
    if (!is_kernel_pointer(at.value)) {
      tear(at, "can be no link");
      return {std::nullopt};
    }
    const auto next = memory.read_uint(at, 8);
    const auto previous = memory.read_uint(at + 8, 8);
    for (const auto* read : {&next, &previous}) {
      if (*read) continue;
      if (!is_about_data(read->error())) return read->error();
      tear(at, read->error().detail);
      return {std::nullopt};
    }
    return {Links{{*next}, {*previous}}};
  }

  Result<void> finish() {
    is_over_ = true;
    // The ends themselves are not among what is behind them yet.
    before_.push_back(front_);
    after_.push_back(back_);
    for (const Gva link : before_)
      if (link != ring_.head) ring_.entries.push_back(link);
    for (auto link = after_.rbegin(); link != after_.rend(); ++link)
      if (*link != ring_.head) ring_.entries.push_back(*link);
    return {};
  }

  void tear(Gva at, const std::string& text) {
    ring_.is_torn = true;
    tears_.push_back({at, std::string{ring_.what} + ": " + text});
  }

  Ring& ring_;
  bool has_begun_ = false, is_over_ = false;
  Gva front_{}, back_{};             // the last ones that led back
  Gva next_{}, previous_{};          // behind them
  std::vector<Gva> before_, after_;  // what is outside the two
  std::vector<RecordTear> tears_;
};

}  // namespace

Result<std::vector<RecordTear>> read_rings(Memory& memory, std::span<Ring> rings) {
  std::vector<Walk> walks;
  walks.reserve(rings.size());
  for (auto& ring : rings) walks.emplace_back(ring);
  for (bool more = true; more;) {
    more = false;
    std::vector<Range> ranges;
    for (const auto& walk : walks)
      if (!walk.is_over()) walk.append_ranges(ranges);
    if (auto fetched = memory.fetch(ranges); !fetched) return fetched.error();
    for (auto& walk : walks) {
      if (walk.is_over()) continue;
      if (auto done = walk.step(memory); !done) return done.error();
      more = more || !walk.is_over();
    }
  }
  std::vector<RecordTear> tears;
  for (auto& walk : walks) tears.insert(tears.end(), walk.tears().begin(), walk.tears().end());
  return tears;
}

}  // namespace sevmon::ids
