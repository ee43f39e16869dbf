// SPDX-License-Identifier: Apache-2.0
// A kernel made up in code: types and symbols as tables, memory as bytes.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sevmon/kernel_info.hpp>
#include <sevmon/memory.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids::test {

class FakeInfo final : public KernelInfo {
 public:
  std::string banner_ = "Linux version 9.9.9-fake (builder@example.org) #1 SMP";
  std::string release_ = "9.9.9-fake";
  std::string build_id_;
  std::array<std::uint8_t, 32> sha256_{};
  std::map<std::string, std::uint64_t, std::less<>> symbols_;
  std::map<std::pair<std::string, std::string>, Member> members_;
  std::map<std::string, std::uint32_t, std::less<>> sizes_;
  std::map<std::string, std::int64_t, std::less<>> enumerators_;

  FakeInfo& add(const std::string& type, const std::string& member, std::uint32_t offset,
                std::uint32_t bytes) {
    members_[{type, member}] = {.offset_bytes = offset, .size_bytes = bytes};
    return *this;
  }
  std::uint32_t offset(const std::string& type, const std::string& member) const {
    return members_.at({type, member}).offset_bytes;
  }

  const std::string& banner() const override { return banner_; }
  const std::string& release() const override { return release_; }
  const std::string& build_id() const override { return build_id_; }
  const std::array<std::uint8_t, 32>& file_sha256() const override { return sha256_; }
  common::Result<common::Gva> symbol(std::string_view name) const override {
    const auto found = symbols_.find(name);
    if (found == symbols_.end()) return missing("symbol " + std::string{name});
    return common::Gva{found->second};
  }
  bool has_symbol(std::string_view name) const override { return symbols_.contains(name); }
  std::optional<Symbol> symbol_at(common::Gva address) const override {
    std::optional<Symbol> best;
    for (const auto& [name, value] : symbols_)
      if (value <= address.value && (!best || value > best->address.value))
        best = Symbol{name, {value}, 'd'};
    return best;
  }
  common::Result<Member> member(std::string_view type, std::string_view path) const override {
    const auto found = members_.find({std::string{type}, std::string{path}});
    if (found == members_.end())
      return missing("member " + std::string{type} + "." + std::string{path});
    return found->second;
  }
  bool has_member(std::string_view type, std::string_view path) const override {
    return members_.contains({std::string{type}, std::string{path}});
  }
  common::Result<std::uint32_t> size_of(std::string_view type) const override {
    const auto found = sizes_.find(type);
    if (found == sizes_.end()) return missing("type " + std::string{type});
    return found->second;
  }
  common::Result<std::int64_t> enumerator(std::string_view name) const override {
    const auto found = enumerators_.find(name);
    if (found == enumerators_.end()) return missing("enumerator " + std::string{name});
    return found->second;
  }

 private:
  common::Error missing(const std::string& what) const {
    return {common::ErrorCode::kNotFound, "no " + what + " in " + release_};
  }
};

/// Bytes of a guest, by virtual address; only pages that were written are mapped.
class FakeBytes {
 public:
  void write(std::uint64_t address, std::span<const std::byte> bytes) {
    for (const auto byte : bytes) at(address++) = byte;
  }
  void put(std::uint64_t address, std::uint64_t value, std::uint32_t bytes = 8) {
    for (std::uint32_t i = 0; i < bytes; ++i) at(address + i) = std::byte(value >> (8 * i));
  }
  void put_text(std::uint64_t address, std::string_view text) {
    write(address, std::as_bytes(std::span{text.data(), text.size()}));
  }
  std::uint64_t get(std::uint64_t address) {
    std::uint64_t value = 0;
    for (int i = 7; i >= 0; --i)
      value = value << 8 | std::to_integer<std::uint64_t>(at(address + static_cast<unsigned>(i)));
    return value;
  }
  void for_each_page(auto visit) const {
    for (const auto& [page, bytes] : pages_) visit(page, bytes);
  }
  void unmap(std::uint64_t address) { pages_.erase(address >> 12); }
  const std::byte* find(std::uint64_t address) const {
    const auto page = pages_.find(address >> 12);
    return page == pages_.end() ? nullptr : &page->second[address & 4095];
  }

 private:
  std::byte& at(std::uint64_t address) { return pages_[address >> 12][address & 4095]; }
  std::map<std::uint64_t, std::array<std::byte, 4096>> pages_;
};

/// An epoch over FakeBytes that counts waves as the real one does: a read of what no fetch()
/// brought is a wave of its own.
class FakeMemory final : public Memory {
 public:
  FakeMemory(const FakeBytes& bytes, unsigned& waves) : bytes_{bytes}, waves_{waves} {}

  common::Result<void> fetch(std::span<const Range> ranges) override {
    bool any = false;
    for (const auto& range : ranges)
      for (auto line = range.address.value >> 6;
           line <= (range.address.value + range.bytes - 1) >> 6; ++line)
        any = lines_.insert(line).second || any;
    waves_ += any ? 1 : 0;
    return {};
  }
  common::Result<std::vector<std::byte>> read(Range range) override {
    if (auto done = fetch(std::array{range}); !done) return done.error();
    std::vector<std::byte> out;
    for (std::uint32_t i = 0; i < range.bytes; ++i) {
      const std::byte* byte = bytes_.find(range.address.value + i);
      if (byte == nullptr) return common::Error{common::ErrorCode::kNotMapped, "fake: not mapped"};
      out.push_back(*byte);
    }
    return out;
  }
  common::Result<std::uint64_t> read_uint(common::Gva address, std::uint32_t bytes) override {
    const auto raw = read({address, bytes});
    if (!raw) return raw.error();
    std::uint64_t value = 0;
    std::memcpy(&value, raw->data(), bytes);
    return value;
  }
  common::Result<std::string> read_string(common::Gva address, std::uint32_t max_bytes) override {
    std::string out;
    for (std::uint32_t i = 0; i < max_bytes; ++i) {
      const auto byte = read_uint(address + i, 1);
      if (!byte) return byte.error();
      if (*byte == 0) return out;
      out += static_cast<char>(*byte);
    }
    return common::Error{common::ErrorCode::kTorn, "fake: no end"};
  }

 private:
  const FakeBytes& bytes_;
  unsigned& waves_;
  std::set<std::uint64_t> lines_;
};

/// How a kernel lays out what process lists need.
struct Shape {
  const char* state = "__state";
  std::uint32_t state_bytes = 4;
  const char* start = "start_boottime";
  bool pid_links = true;  // else task_struct.pids[].node
  std::uint32_t slots = 64;
  std::uint32_t shuffle = 0;  // added to offsets, so that no two shapes agree by chance
};

inline FakeInfo make_info(const Shape& shape) {
  const auto s = shape.shuffle;
  FakeInfo info;
  info.add("idr", "idr_rt", 0 + s, 16).add("xarray", "xa_head", 8, 8);
  info.add("pid_namespace", "idr", 16 + s, 24 + s);
  info.sizes_["xa_node"] = 64 + shape.slots * 8;
  info.add("xa_node", "shift", 0, 1).add("xa_node", "offset", 1, 1);
  info.add("xa_node", "parent", 8, 8).add("xa_node", "slots", 40, shape.slots * 8);
  info.add("list_head", "next", 0, 8).add("list_head", "prev", 8, 8);
  info.sizes_["hlist_node"] = 16;
  info.enumerators_["PIDTYPE_TGID"] = 1;
  info.add("pid", "tasks", 16 + s, 32).add("pid", "numbers", 96 + s, 16).add("upid", "nr", 0, 4);
  info.add("task_struct", shape.state, 24 + s, shape.state_bytes);
  info.add("task_struct", "flags", 44 + s, 4).add("task_struct", "tasks", 400 + s, 16);
  info.add("task_struct", "exit_state", 480 + s, 4).add("task_struct", "pid", 484 + s, 4);
  info.add("task_struct", "tgid", 488 + s, 4).add("task_struct", "real_parent", 496 + s, 8);
  info.add("task_struct", shape.start, 520 + s, 8).add("task_struct", "real_cred", 700 + s, 8);
  info.add("task_struct", "comm", 720 + s, 16).add("task_struct", "signal", 744 + s, 8);
  if (shape.pid_links) {
    info.add("task_struct", "pid_links", 600 + s, 64);
  } else {
    info.add("task_struct", "pids", 600 + s, 72).add("pid_link", "node", 0, 16);
    info.sizes_["pid_link"] = 24;
  }
  info.add("cred", "uid", 4 + s, 4).add("cred", "euid", 20 + s, 4);
  info.add("signal_struct", "nr_threads", 8 + s, 4);
  info.symbols_ = {{"init_pid_ns", 0xffffffff81001000},
                   {"init_task", 0xffffffff81002000},
                   {"linux_banner", 0xffffffff81000900},
                   {"init_uts_ns", 0xffffffff81004000}};
  return info;
}

/// Processes in a FakeBytes, linked as the kernel links them.
class FakeProcesses {
 public:
  struct Spec {
    std::int32_t pid = 0;
    std::int32_t parent = 0;  // a pid that was added before; 0: init_task
    std::string comm;
    std::uint32_t uid = 0;
    std::uint64_t state = 1;
    std::uint64_t exit_state = 0;
    std::uint64_t flags = 0;
    std::uint64_t start_ns = 0;
    std::int32_t tgid = 0;  // 0: as pid
  };

  FakeProcesses(const Shape& shape, std::uint64_t slide)
      : FakeProcesses{shape, make_info(shape), slide} {}
  /// `made` has the members that make_info() gives, wherever they are; `shape` says what is named
  /// how.
  FakeProcesses(const Shape& shape, FakeInfo made, std::uint64_t slide,
                std::uint64_t task_bytes = 1024)
      : shape_{shape}, info{std::move(made)}, slide_{slide}, task_bytes_{task_bytes} {
    const auto init = symbol("init_task");
    write_task(init, {.comm = "swapper/0", .state = 0});
    link_alone(init);
    bytes.put(head_address(), 0);
    tasks_[0] = init;
  }

  std::uint64_t symbol(const char* name) const { return info.symbols_.at(name) + slide_; }
  std::uint64_t task(std::int32_t pid) const { return tasks_.at(pid); }
  std::uint64_t pid_struct(std::int32_t pid) const { return pids_.at(pid); }
  std::uint64_t member(std::int32_t pid, const char* name) const {
    return task(pid) + info.offset("task_struct", name);
  }
  std::uint64_t head_address() const {
    return symbol("init_pid_ns") + info.offset("pid_namespace", "idr") +
           info.offset("idr", "idr_rt") + info.offset("xarray", "xa_head");
  }

  std::uint64_t allocate(std::uint64_t bytes_wanted) {
    const auto at = next_free_;
    next_free_ += (bytes_wanted + 255) & ~255ULL;
    for (auto page = at; page < next_free_; page += 256) bytes.put(page, 0);
    return at;
  }

  /// Into id table and ring.
  void add(const Spec& spec) {
    add_unlisted(spec);
    add_id(spec.pid);
    if (spec.tgid == 0) add_to_ring(spec.pid);
  }
  void add_unlisted(const Spec& spec) {
    const auto address = allocate(task_bytes_);
    tasks_[spec.pid] = address;
    write_task(address, spec);
    link_alone(address);
  }
  void add_to_ring(std::int32_t pid) {
    const auto list = info.offset("task_struct", "tasks");
    const auto head = tasks_[0] + list;
    const auto entry = task(pid) + list;
    const auto last = bytes.get(head + 8);
    bytes.put(last, entry);
    bytes.put(entry + 8, last);
    bytes.put(entry, head);
    bytes.put(head + 8, entry);
  }
  void remove_from_ring(std::int32_t pid) {
    const auto entry = member(pid, "tasks");
    const auto next = bytes.get(entry);
    const auto previous = bytes.get(entry + 8);
    bytes.put(previous, next);
    bytes.put(next + 8, previous);
  }
  void add_id(std::int32_t pid) {
    const auto address = allocate(256);
    pids_[pid] = address;
    bytes.put(address + info.offset("pid", "numbers"), static_cast<std::uint32_t>(pid), 4);
    const auto lists = address + info.offset("pid", "tasks");
    bytes.put(lists, link_of(pid, 0));
    if (is_leader(pid)) bytes.put(lists + 8, link_of(pid, 1));
    insert(static_cast<std::uint64_t>(pid), address);
  }
  /// Where the id table's slot for `id` is; the tree grows as in lib/xarray.c.
  std::uint64_t slot(std::uint64_t id) {
    const auto bits = static_cast<unsigned>(std::countr_zero(shape_.slots));
    if (root_ == 0) {
      root_ = make_node(0, 0, 0);
      bytes.put(head_address(), root_ | 2);
    }
    while (id >> (root_shift_ + bits) != 0) {
      const auto top = make_node(root_shift_ + bits, 0, 0);
      bytes.put(top + slots_at(), root_ | 2);
      bytes.put(root_ + parent_at(), top);
      root_ = top;
      root_shift_ += bits;
      bytes.put(head_address(), root_ | 2);
    }
    auto node = root_;
    for (auto shift = root_shift_; shift > 0; shift -= bits) {
      const auto index = (id >> shift) & (shape_.slots - 1);
      const auto child = bytes.get(node + slots_at() + index * 8);
      if (child == 0) {
        const auto made = make_node(shift - bits, node, index);
        bytes.put(node + slots_at() + index * 8, made | 2);
        node = made;
      } else {
        node = child & ~3ULL;
      }
    }
    return node + slots_at() + (id & (shape_.slots - 1)) * 8;
  }
  void insert(std::uint64_t id, std::uint64_t object) { bytes.put(slot(id), object); }
  std::uint64_t root() const { return root_; }
  std::uint64_t slots_at() const { return info.offset("xa_node", "slots"); }
  std::uint64_t shift_at() const { return info.offset("xa_node", "shift"); }

 private:
  Shape shape_;

 public:
  FakeInfo info;
  FakeBytes bytes;

 private:
  std::uint64_t parent_at() const { return info.offset("xa_node", "parent"); }
  bool is_leader(std::int32_t pid) {
    return static_cast<std::int32_t>(bytes.get(member(pid, "tgid"))) == pid;
  }
  std::uint64_t link_of(std::int32_t pid, unsigned type) const {
    return shape_.pid_links ? member(pid, "pid_links") + 16 * type
                            : member(pid, "pids") + 24 * type;
  }
  std::uint64_t make_node(unsigned shift, std::uint64_t parent, std::uint64_t offset) {
    const auto node = allocate(info.sizes_.at("xa_node"));
    bytes.put(node + shift_at(), shift, 1);
    bytes.put(node + info.offset("xa_node", "offset"), offset, 1);
    bytes.put(node + parent_at(), parent);
    return node;
  }
  void link_alone(std::uint64_t address) {
    const auto entry = address + info.offset("task_struct", "tasks");
    bytes.put(entry, entry);
    bytes.put(entry + 8, entry);
  }
  void write_task(std::uint64_t address, const Spec& spec) {
    const auto field = [&](const char* name, std::uint64_t value, std::uint32_t size) {
      bytes.put(address + info.offset("task_struct", name), value, size);
    };
    field(shape_.state, spec.state, shape_.state_bytes);
    field("exit_state", spec.exit_state, 4);
    field("flags", spec.flags, 4);
    field("pid", static_cast<std::uint32_t>(spec.pid), 4);
    field("tgid", static_cast<std::uint32_t>(spec.tgid != 0 ? spec.tgid : spec.pid), 4);
    field("real_parent", tasks_.contains(spec.parent) ? tasks_[spec.parent] : address, 8);
    field(shape_.start, spec.start_ns, 8);
    bytes.put_text(address + info.offset("task_struct", "comm"), spec.comm);
    const auto cred = allocate(256);
    bytes.put(cred + info.offset("cred", "uid"), spec.uid, 4);
    bytes.put(cred + info.offset("cred", "euid"), spec.uid + 1000, 4);
    field("real_cred", cred, 8);
    const auto signal = allocate(256);
    bytes.put(signal + info.offset("signal_struct", "nr_threads"), 1, 4);
    field("signal", signal, 8);
  }

  std::uint64_t slide_;
  std::uint64_t task_bytes_;
  std::uint64_t next_free_ = 0xffff888000100000;
  std::uint64_t root_ = 0;
  unsigned root_shift_ = 0;
  std::map<std::int32_t, std::uint64_t> tasks_;
  std::map<std::int32_t, std::uint64_t> pids_;
};

}  // namespace sevmon::ids::test
