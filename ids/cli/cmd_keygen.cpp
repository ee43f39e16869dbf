// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <memory>

#include <sevmon/channel.hpp>
#include <sevmon/codec.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"

namespace sevmon::cli {
namespace {

using common::Result;

/// 32 hexadecimal digits, as keygen prints them, or else an IDS's key file.
Result<common::IdBytes> parse_ids(const std::string& text) {
  common::IdBytes id{};
  bool is_id = text.size() == 2 * id.size();
  for (std::size_t i = 0; is_id && i < id.size(); ++i) {
    const auto* digits = text.data() + 2 * i;
    const auto [stop, error] = std::from_chars(digits, digits + 2, id[i], 16);
    is_id = error == std::errc{} && stop == digits + 2;
  }
  if (is_id) return id;
  const auto key = ids::Key::load(text);
  if (!key) return key.error();
  return key->ids_id();
}

}  // namespace

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
    choose("keygen", [paths](Session& session) -> Result<int> {
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

void add_revoke(CLI::App& app, const Choose& choose) {
  struct Arguments {
    std::string ids;
    std::string agent;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("revoke", "take an IDS's key out of an agent's key file");
  command->add_option("IDS", arguments->ids, "the IDS's id, or its key file")->required();
  command->add_option("AGENT-KEYS", arguments->agent, "the agent's key file")->required();
  command->callback([arguments, choose] {
    choose("revoke", [arguments](Session& session) -> Result<int> {
      const auto ids_id = parse_ids(arguments->ids);
      if (!ids_id) return ids_id.error();
      if (auto gone = ids::revoke_key(*ids_id, arguments->agent); !gone) return gone.error();
      const auto text = ids::hex(std::span<const std::uint8_t>{*ids_id});
      session.output.result() = {{"agent_key_file", arguments->agent}, {"ids_id", text}};
      session.output.line("revoked      " + text + "  " + arguments->agent);
      return kExitOk;
    });
  });
}

}  // namespace sevmon::cli
