// SPDX-License-Identifier: Apache-2.0
// sevmon check text: has the kernel's text, or what it calls constants, changed?
#include <memory>
#include <string>

#include <sevmon/kernel_copy.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "file_sink.hpp"
#include "kernel_json.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

struct Arguments {
  std::string copy;
  bool take = false;
};

Json copy_json(const std::string& path, const ids::KernelCopy& copy) {
  return {{"file", ids::escape(path)},
          {"pages", copy.pages()},
          {"boot_nonce", ids::hex(std::span{copy.origin().boot_nonce})},
          {"time_ns", copy.origin().time_ns}};
}

Result<int> take_copy(Session& session, const std::string& path) {
  auto sink = FileSink::open(path);  // a confined process opens none
  if (!sink) return sink.error();
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto copy = ids::KernelCopy::take(**channel, session.domain(), **kernel);
  if (!copy) return copy.error();
  if (auto ok = (*sink)->write(copy->encode()); !ok) return ok.error();
  if (auto ok = (*sink)->finish(); !ok) return ok.error();
  auto& output = session.output;
  output.result() = {
      {"kernel", to_json(**kernel)}, {"copy", copy_json(path, *copy)}, {"taken", true}};
  output.line("a copy of " + std::to_string(copy->pages()) + " pages of text and constants is in " +
              ids::escape(path) + ": what they are now counts as right");
  return kExitOk;
}

std::string text_of(const ids::Kernel& kernel, const ids::KernelChange& change) {
  const auto symbol = kernel.describe(change.address);
  const auto place = ids::hex_address(change.address.value) +
                     (symbol ? " (" + ids::escape(*symbol) + ")" : std::string{});
  if (change.passed)
    return place + ": the page was another when Xen digested it, and was not when it was read";
  return place + ": " + std::to_string(change.bytes) + " bytes, " + ids::hex(change.expected) +
         " is now " + ids::hex(change.found);
}

Json change_json(const ids::Kernel& kernel, const ids::KernelChange& change) {
  const auto symbol = kernel.describe(change.address);
  return {{"id", change.passed ? "text-changed-for-a-while" : "text-changed"},
          {"severity", "high"},
          {"attack", "T1014"},  // MITRE ATT&CK: rootkit
          {"address", ids::hex_address(change.address.value)},
          {"symbol", symbol ? Json(ids::escape(*symbol)) : Json(nullptr)},
          {"bytes", change.bytes},
          {"expected", ids::hex(change.expected)},
          {"found", ids::hex(change.found)},
          {"text", text_of(kernel, change)}};
}

Result<int> compare(Session& session, const std::string& path) {
  const auto copy = ids::KernelCopy::load(path);
  if (!copy) return copy.error();
  const auto kernel = session.kernel();
  if (!kernel) return kernel.error();
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto found = ids::find_kernel_changes(**channel, session.domain(), **kernel, *copy);
  if (!found) return found.error();

  auto& output = session.output;
  auto& result = output.result();
  result = {{"kernel", to_json(**kernel)},
            {"copy", copy_json(path, *copy)},
            {"taken", false},
            {"pages", found->pages},
            {"differing", found->differing},
            {"complete", found->complete},
            {"unreadable", Json::array()},
            {"findings", Json::array()},
            {"notes", found->notes}};
  session.command_stats = {{"digest_round_trips", found->digest_round_trips},
                           {"loading_round_trips", found->loading_round_trips}};
  for (const auto& address : found->unreadable) {
    result["unreadable"].push_back(ids::hex_address(address.value));
    output.warn(ids::hex_address(address.value) + ": cannot be read");
  }
  for (const auto& change : found->changes) {
    result["findings"].push_back(change_json(**kernel, change));
    output.line(output.styled(Output::Style::kBad, "text-changed") + "  " +
                text_of(**kernel, change));
  }
  for (const auto& note : found->notes) output.warn(note);
  output.line(std::to_string(found->pages) + " pages digested, " +
              std::to_string(found->differing) + " differ");
  if (!found->changes.empty()) return kExitFindings;
  return found->complete ? kExitOk : kExitUnknown;
}

}  // namespace

void add_check_text(CLI::App& check, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = check.add_subcommand(
      "text", "have the kernel's text and constants changed since a copy was taken?");
  command->add_option("--copy", arguments->copy, "the copy's file")->required();
  command->add_flag("--take", arguments->take, "take the copy now, and compare nothing");
  command->callback([arguments, choose] {
    choose("check text", [arguments](Session& session) {
      return arguments->take ? take_copy(session, arguments->copy)
                             : compare(session, arguments->copy);
    });
  });
}

}  // namespace sevmon::cli
