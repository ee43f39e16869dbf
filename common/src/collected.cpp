// SPDX-License-Identifier: MIT
#include <string>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

namespace sevmon::common {
namespace {

Error malformed(const std::string& what) {
  return {ErrorCode::kMalformed, "results: " + what};
}

/// Of a result that comes after number `before`, and before number `next`.
bool is_next(const sevmon_result_head& head, std::uint64_t before, std::uint64_t next) {
  return head.number > before && head.number < next && head.kind <= SEVMON_TARGET_IMAGE &&
         (head.levels == 0 || head.levels == 4 || head.levels == 5) &&
         (head.flags & ~SEVMON_RUN_ATOMIC) == 0 && is_sound(head.report);
}

}  // namespace

bool is_sound(const sevmon_run_report& report) {
  return report.state > SEVMON_RUN_RUNNING && report.state < SEVMON_RUN_STATES;
}

Result<CollectedView> decode_collected(std::span<const std::byte> data) {
  Reader reader{data};
  CollectedView view{.head = reader.take<sevmon_collected>(), .results = {}, .bytes = 0};
  if (reader.failed() || view.head.zero != 0) return malformed("head");
  std::uint64_t before = 0;
  for (std::uint32_t i = 0; i < view.head.results; ++i) {
    const auto head = reader.take<sevmon_result_head>();
    if (reader.failed() || !is_next(head, before, view.head.next_number))
      return malformed("number " + std::to_string(i) + " of " + std::to_string(view.head.results));
    const std::size_t bytes = head.report.result_bytes;
    view.results.push_back({head, reader.bytes(bytes)});
    if (!all_zero(reader.bytes(-bytes & 7)) || reader.failed())
      return malformed(std::to_string(bytes) + " bytes of a program");
    before = head.number;
  }
  view.bytes = data.size() - reader.left();
  return view;
}

}  // namespace sevmon::common
