// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/profile.hpp>
#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

struct btf;
struct btf_type;

namespace sevmon::ids {

/// The kernel's types. Immutable, so usable from any thread.
///
/// Several types can share a name (drivers define their own); a question that they answer
/// differently is refused as ambiguous, never answered by chance.
class Btf {
 public:
  /// Copies `raw`. @return kTruncated, kMalformed, kUnsupported with the offset.
  static common::Result<Btf> parse(ByteSpan raw);

  Btf(Btf&&) noexcept;
  Btf& operator=(Btf&&) noexcept;
  ~Btf();

  /// See Profile. An array in the middle of a path stands for its first element; a pointer is
  /// refused, since what it points to lies elsewhere.
  common::Result<Member> member(std::string_view type, std::string_view path) const;
  common::Result<std::uint32_t> size_of(std::string_view type) const;
  common::Result<std::int64_t> enumerator(std::string_view name) const;
  std::size_t type_count() const;
  ByteSpan raw() const { return raw_; }
  /// For what libbpf answers itself; lives as long as this.
  const btf* handle() const { return handle_.get(); }

 private:
  struct Deleter {
    void operator()(btf* handle) const;
  };
  struct Named {
    std::string_view name;
    std::uint32_t id;
  };
  struct Constant {
    std::string_view name;
    std::int64_t value;
  };
  struct Search;

  explicit Btf(std::unique_ptr<btf, Deleter> handle);
  void index_type(std::uint32_t id);
  std::vector<std::uint32_t> candidates(std::string_view type) const;
  const btf_type* resolve(std::uint32_t id) const;
  std::string_view string_at(std::uint32_t offset) const;
  common::Result<Member> member_of(std::uint32_t id, std::string_view type,
                                   std::string_view path) const;
  bool find_member(Search& search, const btf_type* type, std::uint64_t base_bits,
                   unsigned depth) const;

  std::unique_ptr<btf, Deleter> handle_;
  ByteSpan raw_;                     // libbpf's copy
  std::vector<Named> types_;         // sorted by name, then id
  std::vector<Constant> constants_;  // sorted by name
};

}  // namespace sevmon::ids
