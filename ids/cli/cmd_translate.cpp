// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>

#include <sevmon/text.hpp>

#include "command.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr const char* kLevelNames[] = {"PTE", "PMD", "PUD", "P4D", "PGD"};  // [level - 1]

const char* level_name(unsigned level, unsigned levels) {
  return level == levels ? "PGD" : kLevelNames[level - 1];
}

std::string describe_flags(std::uint64_t flags) {
  std::string text = (flags & SEVMON_PTE_WRITE) != 0 ? "writable" : "read-only";
  text += (flags & SEVMON_PTE_NX) != 0 ? ", no-execute" : ", executable";
  text += (flags & SEVMON_PTE_USER) != 0 ? ", user" : ", kernel";
  if ((flags & SEVMON_PTE_GLOBAL) != 0) text += ", global";
  return text;
}

std::string page_size(unsigned shift) {
  return shift == 30 ? "1 GiB" : shift == 21 ? "2 MiB" : "4 KiB";
}

Json entries_json(const sevmon_translation& translation) {
  Json entries = Json::array();
  for (unsigned i = 0; i < translation.reached && i < translation.levels && i < 5; ++i)
    entries.push_back({{"level", translation.levels - i},
                       {"name", level_name(translation.levels - i, translation.levels)},
                       {"entry", ids::hex_address(translation.entry[i])}});
  return entries;
}

Result<int> report(Session& session, common::Gva address, const ids::Response& response) {
  const auto& item = response.items.front();
  sevmon_translation translation{};
  if (item.bytes.size() != sizeof(translation))
    return Error{ErrorCode::kRefused, ids::describe_status(item.status, item.level)};
  std::memcpy(&translation, item.bytes.data(), sizeof(translation));

  auto& output = session.output;
  auto& result = output.result();
  const bool mapped = item.status == SEVMON_STATUS_OK;
  result["address"] = ids::hex_address(address.value);
  result["mapped"] = mapped;
  result["root_frame"] = ids::hex_address(response.head.root_frame);
  result["levels"] = response.head.levels;
  result["entries"] = entries_json(translation);
  output.line(ids::hex_address(address.value) + "  root frame " +
              ids::hex_address(response.head.root_frame) + ", " +
              std::to_string(response.head.levels) + " levels");
  for (const auto& entry : result["entries"])
    output.line("  " + entry["name"].get<std::string>() + "  " + entry["entry"].get<std::string>());
  if (!mapped) {
    result["status"] = ids::describe_status(item.status, item.level);
    output.line("  " + ids::describe_status(item.status, item.level));
    return kExitUnknown;
  }
  const auto offset = address.value & (SEVMON_PAGE_BYTES - 1);
  result["frame"] = ids::hex_address(translation.frame);
  result["physical"] = ids::hex_address(translation.frame << 12 | offset);
  result["page_bytes"] = 1ULL << translation.page_shift;
  result["writable"] = (translation.flags & SEVMON_PTE_WRITE) != 0;
  result["user"] = (translation.flags & SEVMON_PTE_USER) != 0;
  result["global"] = (translation.flags & SEVMON_PTE_GLOBAL) != 0;
  result["executable"] = (translation.flags & SEVMON_PTE_NX) == 0;
  output.line("  physical " + result["physical"].get<std::string>() + "  " +
              page_size(translation.page_shift) + " page, " + describe_flags(translation.flags));
  return kExitOk;
}

Result<int> run(Session& session, const std::string& text, const std::string& root_text) {
  const auto place = parse_place(text);
  if (!place) return place.error();
  const auto root = session.root(root_text);
  if (!root) return root.error();
  const auto address = session.resolve(*place);
  if (!address) return address.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  sevmon_item item{};
  item.type = SEVMON_ITEM_TRANSLATE;
  item.address = address->value;
  const ids::Request request{.domain = session.domain(), .root = *root, .items = {item}};
  const auto responses = (*channel)->exchange({&request, 1});
  if (!responses) return responses.error();
  if (auto checked = check_answer(responses->front()); !checked) return checked.error();
  return report(session, *address, responses->front());
}

}  // namespace

void add_translate(CLI::App& app, const Choose& choose) {
  struct Arguments {
    std::string place;
    std::string root;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("translate", "walk the page tables for an address");
  command->add_option("PLACE", arguments->place, "0xADDRESS, SYMBOL or SYMBOL+OFFSET")->required();
  command->add_option("--root", arguments->root,
                      "vcpu:N or frame:0xFRAME[:LEVELS] instead of the kernel's master table");
  command->callback([arguments, choose] {
    choose("translate", [arguments](Session& session) {
      return run(session, arguments->place, arguments->root);
    });
  });
}

}  // namespace sevmon::cli
