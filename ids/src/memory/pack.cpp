// SPDX-License-Identifier: Apache-2.0
#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>

namespace sevmon::ids {

std::vector<Request> pack(common::DomId domain, Root root, std::span<const sevmon_item> items,
                          std::uint8_t size_class) {
  std::vector<Request> requests;
  common::DataLayout layout{size_class};
  for (const auto& item : items) {
    const auto bytes = common::item_data_bytes(item);
    if (requests.empty() || requests.back().items.size() == SEVMON_MAX_ITEMS ||
        !layout.fits(bytes)) {
      requests.push_back({domain, root, {}});
      layout = common::DataLayout{size_class};
    }
    layout.place(bytes);
    requests.back().items.push_back(item);
  }
  return requests;
}

}  // namespace sevmon::ids
