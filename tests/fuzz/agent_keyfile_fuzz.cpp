// SPDX-License-Identifier: Apache-2.0
//
// Target: sevmon_agent_start()'s key file. Properties: what is accepted re-encodes to the same
// bytes; what is refused leaves nothing of it in the agent.
#include "support/fake_host.hpp"
#include "support/fuzz_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sevmon::tests;
  FakeHost host;
  auto agent = std::make_unique<sevmon_agent>();
  const int rc = sevmon_agent_start(agent.get(), host.table(), data, size);
  if (rc) {
    must(rc == -EINVAL, "refused for what it is");
    must(sevmon_is_zero(agent.get(), sizeof(*agent)), "nothing is left");
    return 0;
  }
  std::vector<TestKey> keys(agent->keys);
  for (unsigned i = 0; i < agent->keys; ++i) {
    keys[i].ids_id = to_array<16>(agent->ids[i].ids_id);
    keys[i].psk = to_array<32>(agent->ids[i].psk);
    must(!sevmon_is_zero(agent->ids[i].challenge, 16), "each IDS has a challenge");
  }
  const auto again = key_file(keys, to_array<16>(agent->agent_id));
  must(std::ranges::equal(again, ByteView{data, size}), "re-encodes to the same bytes");
  sevmon_agent_end(agent.get());
  must(sevmon_is_zero(agent.get(), sizeof(*agent)), "nothing is left");
  return 0;
}
