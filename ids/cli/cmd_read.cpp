// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include <sevmon/text.hpp>

#include "command.hpp"
#include "file_sink.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

constexpr std::uint64_t kChunkPages = 240;                 // 16 full requests in flight
constexpr std::uint64_t kMaxJsonBytes = 1024 * 1024;       // JSON holds it all
constexpr std::uint64_t kMaxDumpBytes = 16 * 1024 * 1024;  // a hex dump that nobody reads
constexpr std::uint64_t kDumpRow = 16;

struct Arguments {
  std::string place;
  std::string length;
  std::string file;
  std::string root;
  bool physical = false;
  bool zero_fill = false;
};

/// Where the bytes go, in order.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<void> take(std::uint64_t address, std::span<const std::byte> bytes) = 0;
  virtual Result<void> finish() { return {}; }
};

class JsonSink final : public Sink {
 public:
  Result<void> take(std::uint64_t, std::span<const std::byte> bytes) override {
    text_ += ids::hex(bytes);
    return {};
  }
  std::string text_;
};

class DumpSink final : public Sink {
 public:
  explicit DumpSink(Output& output) : output_{output} {}

  Result<void> take(std::uint64_t address, std::span<const std::byte> bytes) override {
    // Rows start at multiples of 16, so that two dumps can be compared by eye.
    while (!bytes.empty()) {
      const auto part = std::min<std::uint64_t>(kDumpRow - address % kDumpRow, bytes.size());
      row(address, bytes.first(part));
      address += part;
      bytes = bytes.subspan(part);
    }
    return {};
  }

 private:
  void row(std::uint64_t address, std::span<const std::byte> bytes) {
    const auto skip = address % kDumpRow;
    char head[24];
    std::snprintf(head, sizeof(head), "%016llx ", static_cast<unsigned long long>(address - skip));
    std::string hex_part;
    std::string text_part(skip, ' ');
    for (std::uint64_t i = 0; i < kDumpRow; ++i) {
      if (i == kDumpRow / 2) hex_part += ' ';
      const bool inside = i >= skip && i < skip + bytes.size();
      hex_part += ' ';
      hex_part += inside ? ids::hex(bytes.subspan(i - skip, 1)) : "  ";
      if (!inside) continue;
      const auto c = std::to_integer<char>(bytes[i - skip]);
      text_part += c >= ' ' && c <= '~' ? c : '.';
    }
    output_.line(head + hex_part + "  |" + text_part + '|');
  }

  Output& output_;
};

class OutputFile final : public Sink {
 public:
  explicit OutputFile(std::unique_ptr<FileSink> file) : file_{std::move(file)} {}
  Result<void> take(std::uint64_t, std::span<const std::byte> bytes) override {
    return file_->write(bytes);
  }
  Result<void> finish() override { return file_->finish(); }

 private:
  std::unique_ptr<FileSink> file_;
};

/// Reads a range of any length, holding a chunk of it.
class Reader {
 public:
  Reader(ids::Channel& channel, common::DomId domain, ids::Root root, const Arguments& arguments)
      : channel_{channel}, domain_{domain}, root_{root}, arguments_{arguments} {}

  Result<void> run(std::uint64_t address, std::uint64_t bytes, Sink& sink) {
    ProgressBar bar{"reading"};
    const std::uint64_t total = bytes;
    while (bytes > 0) {
      const auto part =
          std::min(bytes, kChunkPages * SEVMON_PAGE_BYTES - address % SEVMON_PAGE_BYTES);
      if (auto done = chunk(address, part, sink); !done) return done;
      address += part;
      bytes -= part;
      bar.update(total - bytes, total);
    }
    return {};
  }

  std::uint64_t missing_bytes() const { return missing_bytes_; }

 private:
  Result<void> chunk(std::uint64_t address, std::uint64_t bytes, Sink& sink) {
    std::vector<sevmon_item> items;
    for (auto at = address; at < address + bytes;) {
      const auto part = std::min(address + bytes - at, SEVMON_PAGE_BYTES - at % SEVMON_PAGE_BYTES);
      sevmon_item item{};
      item.type = arguments_.physical ? SEVMON_ITEM_READ_PHYSICAL : SEVMON_ITEM_READ_VIRTUAL;
      item.bytes = static_cast<std::uint16_t>(part);
      item.address = at;
      items.push_back(item);
      at += part;
    }
    const auto requests = ids::pack(domain_, root_, items, channel_.size_class());
    const auto responses = channel_.exchange(requests);
    if (!responses) return responses.error();
    for (const auto& response : *responses) {
      if (auto checked = check_answer(response); !checked) return checked;
      for (const auto& result : response.items) {
        if (auto taken = take(address, result, sink); !taken) return taken;
        address += result.bytes.size();
      }
    }
    return {};
  }

  Result<void> take(std::uint64_t address, const ids::ItemResult& result, Sink& sink) {
    if (result.status != SEVMON_STATUS_OK) {
      // What is not an answer about this page (no space, unsupported) must not pass for zeros.
      const bool is_absent = result.status <= SEVMON_STATUS_BAD_TABLE && !result.bytes.empty();
      if (!arguments_.zero_fill || !is_absent)
        return Error{ErrorCode::kNotMapped, ids::hex_address(address) + ": " +
                                                ids::describe_status(result.status, result.level)};
      missing_bytes_ += result.bytes.size();
    }
    return sink.take(address, result.bytes);
  }

  ids::Channel& channel_;
  common::DomId domain_;
  ids::Root root_;
  const Arguments& arguments_;
  std::uint64_t missing_bytes_ = 0;
};

Result<void> check_arguments(const Session& session, const Arguments& arguments, const Place& place,
                             std::uint64_t bytes) {
  const auto usage = [](std::string text) { return Error{ErrorCode::kUsage, std::move(text)}; };
  if (arguments.physical && (!place.symbol.empty() || !arguments.root.empty()))
    return usage("--physical takes an address, no symbol and no --root");
  const auto limit = session.output.json() ? kMaxJsonBytes : kMaxDumpBytes;
  if (arguments.file.empty() && bytes > limit)
    return usage("over " + std::to_string(limit) + " bytes: name a file with -o");
  if (arguments.file == "-" && session.output.json())
    return usage("-o - and --json both want standard output");
  return {};
}

Result<int> run(Session& session, const Arguments& arguments) {
  const auto place = parse_place(arguments.place);
  if (!place) return place.error();
  const auto bytes = parse_length(arguments.length);
  if (!bytes) return bytes.error();
  if (auto checked = check_arguments(session, arguments, *place, *bytes); !checked)
    return checked.error();
  const auto past_end = [&](std::uint64_t from) { return from > UINT64_MAX - (*bytes - 1); };
  const Error wraps{ErrorCode::kUsage, "the range goes past the end of the address space"};
  if (place->symbol.empty() && past_end(place->offset)) return wraps;

  // Before anything is read that comes from outside.
  std::unique_ptr<Sink> sink;
  if (!arguments.file.empty()) {
    auto opened = FileSink::open(arguments.file);
    if (!opened) return opened.error();
    sink = std::make_unique<OutputFile>(std::move(*opened));
  }
  const auto root = arguments.physical ? ids::Root{} : session.root(arguments.root);
  if (!root) return root.error();
  const auto address = session.resolve(*place);
  if (!address) return address.error();
  if (past_end(address->value)) return wraps;
  const auto channel = session.channel();
  if (!channel) return channel.error();

  auto json_sink = std::make_unique<JsonSink>();
  const JsonSink* json = json_sink.get();
  if (!sink && session.output.json())
    sink = std::move(json_sink);
  else if (!sink)
    sink = std::make_unique<DumpSink>(session.output);
  Reader reader{**channel, session.domain(), *root, arguments};
  if (auto done = reader.run(address->value, *bytes, *sink); !done) return done.error();
  if (auto done = sink->finish(); !done) return done.error();

  auto& result = session.output.result();
  result = {{"address", ids::hex_address(address->value)},
            {"physical", arguments.physical},
            {"bytes", *bytes},
            {"missing_bytes", reader.missing_bytes()}};
  if (!arguments.file.empty())
    result["file"] = arguments.file;
  else if (session.output.json())
    result["hex"] = json->text_;
  if (reader.missing_bytes() > 0)
    session.output.warn(std::to_string(reader.missing_bytes()) +
                        " bytes could not be read and are zeros here");
  return reader.missing_bytes() > 0 ? kExitUnknown : kExitOk;
}

}  // namespace

void add_read(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("read", "read the target's memory");
  command->add_option("PLACE", arguments->place, "0xADDRESS, SYMBOL or SYMBOL+OFFSET")->required();
  command->add_option("LENGTH", arguments->length, "bytes: 16, 0x10, 4K, 2M, 1G")->required();
  command->add_option("-o,--output", arguments->file, "write to a file (-: standard output)");
  command->add_option("--root", arguments->root,
                      "vcpu:N or frame:0xFRAME[:LEVELS] instead of the kernel's master table");
  command->add_flag("--physical", arguments->physical, "PLACE is a guest-physical address");
  command->add_flag("--zero-fill", arguments->zero_fill,
                    "put zeros where nothing can be read; still exit 3");
  command->callback([arguments, choose] {
    choose("read", [arguments](Session& session) { return run(session, *arguments); });
  });
}

}  // namespace sevmon::cli
