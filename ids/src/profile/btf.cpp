// SPDX-License-Identifier: Apache-2.0
#include "profile/btf.hpp"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "profile/btf_check.hpp"

namespace sevmon::ids {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// The deepest that the kernel nests is far below; a cycle of types must end somewhere.
constexpr unsigned kMaxDepth = 32;
constexpr unsigned kMaxMembersVisited = 1u << 16;

/// What libbpf last said on this thread. It prints through one function for the whole process; ours
/// keeps it off stderr and lets parse() put it into the Error.
thread_local std::string last_words;

int keep_words(libbpf_print_level level, const char* format, va_list args) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 256> line{};
  const int length = std::vsnprintf(line.data(), line.size(), format, args);
  last_words = line.data();
  while (!last_words.empty() && last_words.back() == '\n') last_words.pop_back();
  return length;
}

bool is_modifier(const btf_type* type) {
  return btf_is_mod(type) || btf_is_typedef(type) || btf_kind(type) == BTF_KIND_TYPE_TAG;
}

/// What all types of one name answer: those that have an answer must give the same.
template <typename T, typename Ask>
Result<T> agree(const std::vector<std::uint32_t>& ids, const std::string& what, Ask ask) {
  std::optional<T> found;
  Error refusal{ErrorCode::kNotFound, what + ": no such type in the kernel's types"};
  for (const std::uint32_t id : ids) {
    const Result<T> answer = ask(id);
    if (!answer)
      refusal = answer.error();
    else if (found && *found != *answer)
      return Error{ErrorCode::kMalformed,
                   what + " is ambiguous: several types of that name differ"};
    else
      found = *answer;
  }
  if (found) return *found;
  return refusal;
}

}  // namespace

struct Btf::Search {
  std::string_view name;
  unsigned visited = 0;
  std::uint64_t bit_offset = 0;
  std::uint32_t bit_size = 0;
  std::uint32_t type_id = 0;
};

Btf::Btf(Btf&&) noexcept = default;
Btf& Btf::operator=(Btf&&) noexcept = default;
Btf::~Btf() = default;

void Btf::Deleter::operator()(btf* handle) const {
  btf__free(handle);
}

Btf::Btf(std::unique_ptr<btf, Deleter> handle) : handle_{std::move(handle)} {}

Result<Btf> Btf::parse(ByteSpan raw) {
  if (const auto checked = check_btf(raw); !checked) return checked.error();
  static const auto previous_print = libbpf_set_print(keep_words);
  static_cast<void>(previous_print);
  last_words.clear();
  std::unique_ptr<btf, Deleter> handle{
      btf__new(raw.data(), static_cast<std::uint32_t>(raw.size()))};
  if (!handle) return Error{ErrorCode::kMalformed, "libbpf refuses the BTF: " + last_words};

  Btf types{std::move(handle)};
  // Asked for once: btf__raw_data() writes to the handle, which threads share later.
  std::uint32_t bytes = 0;
  const void* data = btf__raw_data(types.handle_.get(), &bytes);
  types.raw_ = {static_cast<const std::byte*>(data), bytes};
  for (std::uint32_t id = 1; id < btf__type_cnt(types.handle_.get()); ++id) types.index_type(id);
  std::sort(types.types_.begin(), types.types_.end(), [](const Named& a, const Named& b) {
    return std::tie(a.name, a.id) < std::tie(b.name, b.id);
  });
  std::sort(types.constants_.begin(), types.constants_.end(),
            [](const Constant& a, const Constant& b) {
              return std::tie(a.name, a.value) < std::tie(b.name, b.value);
            });
  return types;
}

void Btf::index_type(std::uint32_t id) {
  const btf_type* type = btf__type_by_id(handle_.get(), id);
  const bool is_value = btf_is_composite(type) || btf_is_any_enum(type) || btf_is_typedef(type) ||
                        btf_is_int(type) || btf_is_float(type);
  if (is_value && type->name_off != 0) types_.push_back({string_at(type->name_off), id});

  if (btf_is_enum(type)) {
    const bool is_signed = btf_kflag(type);
    for (const struct btf_enum& value : std::span{::btf_enum(type), btf_vlen(type)})
      constants_.push_back({string_at(value.name_off),
                            is_signed ? std::int64_t{value.val}
                                      : std::int64_t{static_cast<std::uint32_t>(value.val)}});
  } else if (btf_is_enum64(type)) {
    for (const struct btf_enum64& value : std::span{::btf_enum64(type), btf_vlen(type)})
      constants_.push_back(
          {string_at(value.name_off), static_cast<std::int64_t>(btf_enum64_value(&value))});
  }
}

std::string_view Btf::string_at(std::uint32_t offset) const {
  return btf__str_by_offset(handle_.get(), offset);
}

/// Without qualifiers, tags and typedefs. @return nullptr for void and for a cycle.
const btf_type* Btf::resolve(std::uint32_t id) const {
  for (unsigned depth = 0; depth < kMaxDepth; ++depth) {
    const btf_type* type = id != 0 ? btf__type_by_id(handle_.get(), id) : nullptr;
    if (type == nullptr || !is_modifier(type)) return type;
    id = type->type;
  }
  return nullptr;
}

/// The types that `name` can mean: structures and unions before enumerations before the rest.
std::vector<std::uint32_t> Btf::candidates(std::string_view name) const {
  const auto rank = [&](std::uint32_t id) {
    const btf_type* type = btf__type_by_id(handle_.get(), id);
    return btf_is_composite(type) ? 0 : btf_is_any_enum(type) ? 1 : 2;
  };
  std::vector<std::uint32_t> ids;
  auto at = std::lower_bound(types_.begin(), types_.end(), name,
                             [](const Named& a, std::string_view b) { return a.name < b; });
  for (; at != types_.end() && at->name == name; ++at) {
    if (!ids.empty() && rank(at->id) < rank(ids.front())) ids.clear();
    if (ids.empty() || rank(at->id) == rank(ids.front())) ids.push_back(at->id);
  }
  return ids;
}

/// Look for search.name in `type` and in its anonymous members. @return false when it is not there.
bool Btf::find_member(Search& search, const btf_type* type, std::uint64_t base_bits,
                      unsigned depth) const {
  if (depth >= kMaxDepth) return false;
  for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
    // A structure that holds itself several times would make 2^depth visits.
    if (++search.visited > kMaxMembersVisited) return false;
    const btf_member& member = btf_members(type)[i];
    const std::uint64_t bits = base_bits + btf_member_bit_offset(type, i);
    if (string_at(member.name_off) == search.name) {
      search.bit_offset = bits;
      search.bit_size = btf_member_bitfield_size(type, i);
      search.type_id = member.type;
      return true;
    }
    if (member.name_off != 0) continue;
    const btf_type* inner = resolve(member.type);
    if (inner != nullptr && btf_is_composite(inner) && find_member(search, inner, bits, depth + 1))
      return true;
  }
  return false;
}

Result<Member> Btf::member_of(std::uint32_t id, std::string_view type,
                              std::string_view path) const {
  const auto refuse = [&](ErrorCode code, std::string_view upto, const std::string& why) {
    return Error{code, std::string{type} + "." + std::string{upto} + " " + why};
  };
  Search search;
  std::uint64_t base_bits = 0;
  for (std::size_t start = 0;;) {
    const btf_type* holder = resolve(id);
    if (start > 0)
      for (unsigned depth = 0; holder != nullptr && btf_is_array(holder) && depth < kMaxDepth;
           ++depth)
        holder = resolve(btf_array(holder)->type);
    const std::size_t dot = std::min(path.find('.', start), path.size());
    if (holder == nullptr || !btf_is_composite(holder)) {
      const std::string_view before = path.substr(0, start == 0 ? 0 : start - 1);
      return refuse(ErrorCode::kNotFound, before,
                    holder != nullptr && btf_is_ptr(holder)
                        ? "is a pointer: what it points to has offsets of its own"
                        : "is no structure or union");
    }
    search = {.name = path.substr(start, dot - start)};
    if (search.name.empty() || !find_member(search, holder, base_bits, 0))
      return refuse(ErrorCode::kNotFound, path.substr(0, dot), "is not in the kernel's types");
    if (search.bit_offset > std::numeric_limits<std::uint32_t>::max())
      return refuse(ErrorCode::kMalformed, path.substr(0, dot), "lies over 512 MiB deep");
    if (dot == path.size()) break;
    base_bits = search.bit_offset;
    id = search.type_id;
    start = dot + 1;
  }

  Member member{.offset_bytes = static_cast<std::uint32_t>(search.bit_offset / 8)};
  if (search.bit_size != 0) {
    member.bit_offset = static_cast<std::uint32_t>(search.bit_offset);
    member.bit_size = search.bit_size;
    return member;
  }
  const std::int64_t size_bytes = btf__resolve_size(handle_.get(), search.type_id);
  if (search.bit_offset % 8 != 0 || size_bytes < 0 ||
      size_bytes > std::numeric_limits<std::uint32_t>::max())
    return refuse(ErrorCode::kMalformed, path, "has no size or no whole offset");
  member.size_bytes = static_cast<std::uint32_t>(size_bytes);
  return member;
}

Result<Member> Btf::member(std::string_view type, std::string_view path) const {
  return agree<Member>(candidates(type), std::string{type} + "." + std::string{path},
                       [&](std::uint32_t id) { return member_of(id, type, path); });
}

Result<std::uint32_t> Btf::size_of(std::string_view type) const {
  const std::string what{type};
  return agree<std::uint32_t>(candidates(type), what,
                              [&](std::uint32_t id) -> Result<std::uint32_t> {
                                const std::int64_t bytes = btf__resolve_size(handle_.get(), id);
                                if (bytes < 0 || bytes > std::numeric_limits<std::uint32_t>::max())
                                  return Error{ErrorCode::kMalformed, what + " has no size"};
                                return static_cast<std::uint32_t>(bytes);
                              });
}

Result<std::int64_t> Btf::enumerator(std::string_view name) const {
  auto at = std::lower_bound(constants_.begin(), constants_.end(), name,
                             [](const Constant& a, std::string_view b) { return a.name < b; });
  if (at == constants_.end() || at->name != name)
    return Error{ErrorCode::kNotFound,
                 "enumerator " + std::string{name} + " is not in the kernel's types"};
  const std::int64_t value = at->value;
  for (; at != constants_.end() && at->name == name; ++at)
    if (at->value != value)
      return Error{ErrorCode::kMalformed, "enumerator " + std::string{name} +
                                              " is ambiguous: several of that name differ"};
  return value;
}

std::size_t Btf::type_count() const {
  return btf__type_cnt(handle_.get());
}

}  // namespace sevmon::ids
