// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include <sevmon/kernel.hpp>
#include <sevmon/text.hpp>

#include "command.hpp"
#include "ids_sev.hpp"

namespace sevmon::cli {
namespace {

using common::Result;

constexpr unsigned kRoundTrips = 9;  // samples for the median

constexpr std::array<const char*, SEVMON_COUNTERS> kCounterNames = {
    "frames",        "answers",    "malformed", "forged",  "replayed", "hellos",
    "bad_initiates", "handshakes", "limited",   "refused", "expired",  "no_random"};

const char* host_name(unsigned host) {
  constexpr const char* kNames[] = {"unknown", "xen", "image", "test"};
  return host < std::size(kNames) ? kNames[host] : kNames[0];
}
const char* key_source_name(unsigned source) {
  constexpr const char* kNames[] = {"unknown", "boot module", "EFI secret", "file"};
  return source < std::size(kNames) ? kNames[source] : kNames[0];
}
const char* iommu_name(unsigned iommu) {
  constexpr const char* kNames[] = {"unknown", "none", "on"};
  return iommu < std::size(kNames) ? kNames[iommu] : kNames[0];
}
const char* kind_name(unsigned kind) {
  constexpr const char* kNames[] = {"unknown", "PV", "HVM", "image"};
  return kind < std::size(kNames) ? kNames[kind] : kNames[0];
}
std::string sev_name(unsigned sev) {
  if ((sev & SEVMON_SEV_SNP) != 0) return "SEV-SNP";
  if ((sev & SEVMON_SEV_ES) != 0) return "SEV-ES";
  return (sev & SEVMON_SEV_ENABLED) != 0 ? "SEV" : "off";
}
std::string host_version(const sevmon_status& status) {
  const std::string_view text{status.host_version, sizeof(status.host_version)};
  return ids::escape(text.substr(0, text.find('\0')));
}

struct Lack {
  const char* id;
  const char* text;
};

/// What production needs and this set-up has not.
std::vector<Lack> find_lacks(const sevmon_status& status, const OwnSev& own) {
  std::vector<Lack> lacks;
  if (status.host != SEVMON_HOST_XEN)
    lacks.push_back({"agent-not-xen", "the agent does not run in Xen"});
  if (status.key_source != SEVMON_KEY_EFI_SECRET)
    lacks.push_back({"key-source",
                     "the agent's key is no SEV launch secret: whoever can read the medium that it "
                     "came from can read this channel"});
  if ((status.sev & SEVMON_SEV_ENABLED) == 0)
    lacks.push_back({"agent-sev",
                     "the agent's machine does not run under SEV: its host can read "
                     "key and memory"});
  // No Xen that carries the agent so far sets it: docs/threat-model.md.
  if (status.host == SEVMON_HOST_XEN && (status.sev & SEVMON_SEV_ENABLED) != 0)
    lacks.push_back({"xen-c-bit",
                     "this Xen is not known to set the encryption bit in its page tables: what "
                     "it maps without is in clear for its host"});
  if (status.iommu != SEVMON_IOMMU_ON)
    lacks.push_back({"iommu", "no IOMMU confines the target's devices: they can write into Xen"});
  if (own.answer == Answer::kNo)
    lacks.push_back({"ids-sev", "this IDS does not run under SEV: its host can read key and data"});
  if (own.answer == Answer::kUnknown)
    lacks.push_back({"ids-sev-unknown", "whether this IDS runs under SEV cannot be told"});
  return lacks;
}

Result<std::chrono::nanoseconds> median_round_trip(ids::Channel& channel, common::DomId domain) {
  std::vector<std::chrono::nanoseconds> samples;
  for (unsigned i = 0; i < kRoundTrips; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto facts = ids::read_facts(channel, domain);
    if (!facts) return facts.error();
    samples.push_back(std::chrono::steady_clock::now() - start);
  }
  std::ranges::nth_element(samples, samples.begin() + kRoundTrips / 2);
  return samples[kRoundTrips / 2];
}

Json agent_json(const sevmon_status& status) {
  Json counters = Json::object();
  for (std::size_t i = 0; i < kCounterNames.size(); ++i)
    counters[kCounterNames[i]] = status.counter[i];
  return {{"version", std::to_string(status.agent_version >> 8) + '.' +
                          std::to_string(status.agent_version & 0xff)},
          {"protocol", status.protocol_version},
          {"host", host_name(status.host)},
          {"host_version", host_version(status)},
          {"uptime_ns", status.uptime_ns},
          {"boot_nonce", ids::hex(std::span<const std::uint8_t>{status.boot_nonce})},
          {"keys", status.keys},
          {"key_source", key_source_name(status.key_source)},
          {"sev",
           {{"enabled", (status.sev & SEVMON_SEV_ENABLED) != 0},
            {"es", (status.sev & SEVMON_SEV_ES) != 0},
            {"snp", (status.sev & SEVMON_SEV_SNP) != 0}}},
          {"c_bit_mask", ids::hex_address(status.c_bit_mask)},
          {"iommu", iommu_name(status.iommu)},
          {"limits",
           {{"items", status.max_items},
            {"connections", status.max_connections},
            {"pages", status.max_pages},
            {"window_bits", status.window_bits}}},
          {"features",
           {{"programs", (status.features & SEVMON_FEATURE_PROGRAMS) != 0},
            {"standing_programs", (status.features & SEVMON_FEATURE_STANDING) != 0},
            {"hash", (status.features & SEVMON_FEATURE_HASH) != 0},
            {"shared_memory", (status.features & SEVMON_FEATURE_SHM) != 0}}},
          {"longest",
           {{"call_ns", status.longest_call_ns},
            {"standing_ns", status.longest_standing_ns},
            {"pause_ns", status.longest_pause_ns}}},
          {"lanes", {{"served", status.lanes}, {"cpu_ns", status.lanes_ns}}},
          {"counters", counters}};
}

Json target_json(const ids::TargetFacts& facts) {
  Json json = {{"domain", facts.head.domid},
               {"kind", kind_name(facts.status.target_kind)},
               {"vcpus", facts.status.target_vcpus},
               {"frames", facts.status.target_frames},
               {"boot_record", nullptr}};
  if (!facts.boot_record) return json;
  const auto& record = *facts.boot_record;
  const auto file = [](const sevmon_file_digest& digest) -> Json {
    if (digest.bytes == 0) return nullptr;
    return {{"sha256", ids::hex(std::span<const std::uint8_t>{digest.sha256})},
            {"bytes", digest.bytes}};
  };
  json["boot_record"] = {{"kernel", file(record.kernel)},
                         {"initrd", file(record.initrd)},
                         {"command_line", file(record.cmdline)},
                         {"entry_point_changes", record.changes},
                         {"first_change_ns", record.first_change_ns},
                         {"last_change_ns", record.last_change_ns}};
  return json;
}

std::string seconds(std::uint64_t ns, int digits) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.*f s", digits, static_cast<double>(ns) / 1e9);
  return text;
}

std::string microseconds(std::uint64_t ns) {
  return std::to_string((ns + 500) / 1000) + " us";
}

void print(Output& output, const ids::TargetFacts& facts, const ids::Channel& channel,
           const std::string& key_path, std::chrono::nanoseconds round_trip, const OwnSev& own) {
  const auto& status = facts.status;
  char trip[32];
  std::snprintf(trip, sizeof(trip), "%.3f ms", static_cast<double>(round_trip.count()) / 1e6);
  output.line("channel      " + channel.describe() + ", round trip " + trip + " (median of " +
              std::to_string(kRoundTrips) + ')');
  if (!key_path.empty()) output.line("key          " + ids::escape(key_path));
  output.line("agent        " + std::to_string(status.agent_version >> 8) + '.' +
              std::to_string(status.agent_version & 0xff) + " in " + host_name(status.host) + ' ' +
              host_version(status) + ", protocol " + std::to_string(status.protocol_version) +
              ", up " + seconds(status.uptime_ns, 1));
  output.line(std::string{"key source   "} + key_source_name(status.key_source) + ", " +
              std::to_string(status.keys) + (status.keys == 1 ? " key" : " keys"));
  output.line("limits       " + std::to_string(status.max_items) + " items, " +
              std::to_string(status.max_pages) + " pages, " +
              std::to_string(status.max_connections) + " connections, window " +
              std::to_string(status.window_bits));
  output.line("agent's SEV  " + sev_name(status.sev) + "; IOMMU " + iommu_name(status.iommu));
  output.line(std::string{"own SEV      "} + name(own.answer) + ": " + own.reason);
  output.line("target       domain " + std::to_string(facts.head.domid) + ", " +
              kind_name(status.target_kind) + ", " + std::to_string(status.target_vcpus) +
              " vCPUs, frames below " + ids::hex_address(status.target_frames));
  if (facts.boot_record && facts.boot_record->kernel.bytes != 0)
    output.line("booted       kernel " +
                ids::hex(std::span<const std::uint8_t>{facts.boot_record->kernel.sha256}) + ", " +
                std::to_string(facts.boot_record->changes) + " changes of entry points");
  output.line("longest      call " + microseconds(status.longest_call_ns) + ", standing run " +
              microseconds(status.longest_standing_ns) + ", pause " +
              microseconds(status.longest_pause_ns));
  if (status.lanes != 0)
    output.line("shared mem.  " + std::to_string(status.lanes) + " lanes, " +
                seconds(status.lanes_ns, 3) + " of CPU time so far");
  std::string counters;
  for (std::size_t i = 0; i < kCounterNames.size(); ++i)
    if (status.counter[i] != 0)
      counters += (counters.empty() ? "" : ", ") + std::string{kCounterNames[i]} + ' ' +
                  std::to_string(status.counter[i]);
  output.line("counters     " + (counters.empty() ? "none" : counters));
}

Result<int> run(Session& session) {
  const auto own = detect_own_sev();  // from files that a confined process cannot open
  const auto channel = session.channel();
  if (!channel) return channel.error();
  const auto round_trip = median_round_trip(**channel, session.domain());
  if (!round_trip) return round_trip.error();
  const auto facts = ids::read_facts(**channel, session.domain());
  if (!facts) return facts.error();
  const auto lacks = find_lacks(facts->status, own);
  const bool development = session.options.development.value_or(false);

  auto& output = session.output;
  Json lacking = Json::array();
  for (const auto& lack : lacks) lacking.push_back({{"id", lack.id}, {"text", lack.text}});
  output.result() = {
      {"channel",
       {{"connect", ids::escape((*channel)->describe())},
        {"key", session.key_path().empty() ? Json{} : Json(ids::escape(session.key_path()))},
        {"round_trip_ns", round_trip->count()},
        {"round_trip_samples", kRoundTrips},
        {"response_pages", SEVMON_CLASS_PAGES((*channel)->size_class())}}},
      {"agent", agent_json(facts->status)},
      {"target", target_json(*facts)},
      {"ids", {{"sev", name(own.answer)}, {"sev_reason", own.reason}}},
      {"production",
       {{"ready", lacks.empty()}, {"development", development}, {"lacking", lacking}}}};
  print(output, *facts, **channel, session.key_path(), *round_trip, own);
  for (const auto& lack : lacks) output.warn(lack.text);
  return lacks.empty() || development ? kExitOk : kExitUnknown;
}

}  // namespace

void add_status(CLI::App& app, const Choose& choose) {
  auto* command = app.add_subcommand(
      "status", "what the agent says of itself; exit 3 unless fit for production");
  command->callback([choose] { choose("status", run); });
}

}  // namespace sevmon::cli
