// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <sevmon/channel.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"

namespace sevmon::cli {

void add_keygen(CLI::App& app, const Choose& choose) {
  struct Paths {
    std::string ids;
    std::string agent;
  };
  auto paths = std::make_shared<Paths>();
  auto* command =
      app.add_subcommand("keygen", "make a key for a new IDS and add it to an agent's key file");
  command->add_option("IDS-KEY", paths->ids, "the IDS's key file; must not exist")->required();
  command->add_option("AGENT-KEYS", paths->agent, "the agent's key file; made when missing")
      ->required();
  command->callback([paths, choose] {
    choose("keygen", [paths](Session& session) -> common::Result<int> {
      if (auto made = ids::generate_key(paths->ids, paths->agent); !made) return made.error();
      const auto key = ids::Key::load(paths->ids);
      if (!key) return key.error();
      const auto agent_id = ids::hex(std::span<const std::uint8_t>{key->agent_id()});
      const auto ids_id = ids::hex(std::span<const std::uint8_t>{key->ids_id()});
      session.output.result() = {{"ids_key_file", paths->ids},
                                 {"agent_key_file", paths->agent},
                                 {"agent_id", agent_id},
                                 {"ids_id", ids_id}};
      session.output.line("key of IDS   " + ids_id + "  " + paths->ids);
      session.output.line("for agent    " + agent_id + "  " + paths->agent);
      return kExitOk;
    });
  });
}

}  // namespace sevmon::cli
