// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;
using State = sevmon_vcpu_state;

constexpr const char* kGprNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr std::pair<const char*, std::uint64_t State::*> kControl[] = {
    {"rip", &State::rip},
    {"rflags", &State::rflags},
    {"fs_base", &State::fs_base},
    {"gs_base", &State::gs_base},
    {"shadow_gs_base", &State::shadow_gs_base},
    {"cr0", &State::cr0},
    {"cr2", &State::cr2},
    {"cr3", &State::cr3},
    {"cr4", &State::cr4},
    {"efer", &State::efer},
    {"kernel_root", &State::kernel_root},
    {"user_root", &State::user_root},
    {"kernel_sp", &State::kernel_sp},
    {"gdt_base", &State::gdt_base},
    {"idt_base", &State::idt_base},
    {"ldt_base", &State::ldt_base},
};
constexpr std::pair<const char*, std::uint16_t State::*> kSegments[] = {
    {"cs", &State::cs}, {"ss", &State::ss}, {"ds", &State::ds},
    {"es", &State::es}, {"fs", &State::fs}, {"gs", &State::gs}};
constexpr std::pair<const char*, std::uint64_t sevmon_entry_points::*> kEntries[] = {
    {"event", &sevmon_entry_points::event},         {"failsafe", &sevmon_entry_points::failsafe},
    {"syscall64", &sevmon_entry_points::syscall64}, {"syscall32", &sevmon_entry_points::syscall32},
    {"sysenter", &sevmon_entry_points::sysenter},
};

Json flags_json(std::uint32_t flags) {
  return {{"online", (flags & SEVMON_VCPU_ONLINE) != 0},
          {"running", (flags & SEVMON_VCPU_RUNNING) != 0},
          {"caller", (flags & SEVMON_VCPU_CALLER) != 0},
          {"pv", (flags & SEVMON_VCPU_PV) != 0}};
}

Json to_json(const State& state, const ids::Kernel* kernel) {
  Json registers = Json::object();
  for (std::size_t i = 0; i < std::size(kGprNames); ++i)
    registers[kGprNames[i]] = ids::hex_address(state.gpr[i]);
  for (const auto& [name, member] : kControl) registers[name] = ids::hex_address(state.*member);
  for (const auto& [name, member] : kSegments) registers[name] = ids::hex_address(state.*member);
  Json debug = Json::array();
  for (const auto value : state.dr) debug.push_back(ids::hex_address(value));
  Json entries = Json::object();
  for (const auto& [name, member] : kEntries) {
    const auto address = state.entry.*member;
    const auto symbol = kernel != nullptr ? kernel->describe({address}) : std::nullopt;
    entries[name] = {{"address", ids::hex_address(address)},
                     {"symbol", symbol ? Json(ids::escape(*symbol)) : Json()}};
  }
  return {{"vcpu", state.vcpu},
          {"flags", flags_json(state.flags)},
          {"registers", registers},
          {"debug_registers", debug},
          {"gdt_limit", state.gdt_limit},
          {"idt_limit", state.idt_limit},
          {"ldt_entries", state.ldt_entries},
          {"entry_points", entries},
          {"trap_table_sha256", ids::hex(std::span<const std::uint8_t>{state.entry.traps})}};
}

void print_registers(Output& output, const Json& registers) {
  std::string row;
  int column = 0;
  for (const auto& [name, value] : registers.items()) {
    char cell[64];
    std::snprintf(cell, sizeof(cell), "  %-14s %-18s", name.c_str(),
                  value.get_ref<const std::string&>().c_str());
    row += cell;
    if (++column % 3 == 0) output.line(std::exchange(row, {}));
  }
  if (!row.empty()) output.line(row);
}

void print(Output& output, const State& state, const Json& json) {
  std::string head = "vCPU " + std::to_string(state.vcpu) + ':';
  if ((state.flags & SEVMON_VCPU_ONLINE) == 0) head += " offline";
  if ((state.flags & SEVMON_VCPU_CALLER) != 0)
    head += " carries this very request, so its registers are the relay's";
  else if ((state.flags & SEVMON_VCPU_RUNNING) != 0)
    head += " running, so its registers are from its last exit";
  else
    head += " not running";
  output.line(output.styled(Output::Style::kBold, head));
  print_registers(output, json["registers"]);
  for (const auto& [name, entry] : json["entry_points"].items()) {
    const auto& address = entry["address"].get_ref<const std::string&>();
    if (address == "0x0") continue;
    output.line("  entry " + name + "  " + address +
                (entry["symbol"].is_null() ? "" : "  " + entry["symbol"].get<std::string>()));
  }
}

/// One exchange for all of them.
Result<std::vector<State>> read_states(Session& session, const std::vector<std::uint32_t>& vcpus) {
  const auto channel = session.channel();
  if (!channel) return channel.error();
  std::vector<sevmon_item> items;
  for (const auto vcpu : vcpus) {
    sevmon_item item{};
    item.type = SEVMON_ITEM_VCPU_STATE;
    item.arg = vcpu;
    items.push_back(item);
  }
  const auto requests = ids::pack(session.domain(), {}, items, (*channel)->size_class());
  const auto responses = (*channel)->exchange(requests);
  if (!responses) return responses.error();
  std::vector<State> states;
  for (const auto& response : *responses) {
    if (auto checked = check_answer(response); !checked) return checked.error();
    for (const auto& item : response.items) {
      if (item.status != SEVMON_STATUS_OK || item.bytes.size() != sizeof(State))
        return Error{
            item.status == SEVMON_STATUS_NO_VCPU ? ErrorCode::kNotFound : ErrorCode::kUnsupported,
            "vCPU " + std::to_string(vcpus[states.size()]) + ": " +
                ids::describe_status(item.status, item.level)};
      states.emplace_back();
      std::memcpy(&states.back(), item.bytes.data(), sizeof(State));
    }
  }
  return states;
}

Result<int> run(Session& session, std::optional<std::uint32_t> wanted, bool symbols) {
  const ids::Kernel* kernel = nullptr;
  if (symbols) {
    const auto attached = session.kernel();
    if (!attached) return attached.error();
    kernel = *attached;
  }
  std::vector<std::uint32_t> vcpus;
  if (wanted) {
    vcpus.push_back(*wanted);
  } else {
    constexpr std::uint32_t kMaxVcpus = 1024;
    const auto channel = session.channel();
    if (!channel) return channel.error();
    const auto facts = ids::read_facts(**channel, session.domain());
    if (!facts) return facts.error();
    for (std::uint32_t i = 0; i < facts->status.target_vcpus && i < kMaxVcpus; ++i)
      vcpus.push_back(i);
  }
  const auto states = read_states(session, vcpus);
  if (!states) return states.error();
  auto& array = session.output.result()["vcpus"] = Json::array();
  for (const auto& state : *states) {
    array.push_back(to_json(state, kernel));
    print(session.output, state, array.back());
  }
  return kExitOk;
}

}  // namespace

void add_vcpu(CLI::App& app, const Choose& choose) {
  struct Arguments {
    std::optional<std::uint32_t> vcpu;
    bool symbols = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("vcpu", "registers of the target's vCPUs, as Xen holds them");
  command->add_option("N", arguments->vcpu, "which vCPU; default: all")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--symbols", arguments->symbols, "name entry points; needs a profile");
  command->callback([arguments, choose] {
    choose("vcpu", [arguments](Session& session) {
      return run(session, arguments->vcpu, arguments->symbols);
    });
  });
}

}  // namespace sevmon::cli
