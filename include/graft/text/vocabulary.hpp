#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Tokens and their ids, both ways. Looking up allocates nothing.
/// Threads: immutable.
class Vocabulary {
 public:
  struct Entry {
    std::string token;
    std::int32_t id;
  };

  /// What a token that has two ids is.
  enum class Repeated {
    error,
    last,  ///< found by its text it is the last of them, as in most tools that read lists of tokens
  };

  Vocabulary() : Vocabulary({}, "") {}

  /// Ids may leave gaps. The token "" takes an id but is never found by its text.
  /// Throws FormatError, `where` naming the file, for a repeated id, for an id outside [0, 2^24), and for a repeated
  /// token unless `repeated` says otherwise.
  Vocabulary(const std::vector<Entry>& entries, std::string_view where, Repeated repeated = Repeated::error);

  /// How many tokens there are; with gaps, fewer than id_limit().
  std::size_t size() const { return records_.size(); }

  /// One more than the largest id: the rows that an embedding of this vocabulary needs at least.
  std::int32_t id_limit() const { return records_.empty() ? 0 : records_.back().id + 1; }

  std::optional<std::int32_t> id(std::string_view token) const {
    const std::int32_t found = find(token);
    return found < 0 ? std::nullopt : std::optional(found);
  }

  /// id() without the optional: -1 for a token that is not there. Left to itself g++ calls it in the library, which
  /// costs WordPiece 4 % of its time.
  [[gnu::always_inline]] std::int32_t find(std::string_view token) const {
    const std::uint32_t hash = hashed(token);
    for (std::size_t slot = hash & mask_;; slot = (slot + 1) & mask_) {
      const Slot& candidate = slots_[slot];
      if (candidate.record == 0) return -1;
      if (candidate.hash != hash) continue;
      const Record& record = records_[candidate.record - 1];
      if (record.length == token.size() && std::memcmp(texts_.data() + record.begin, token.data(), token.size()) == 0) {
        return record.id;
      }
    }
  }

  std::optional<std::string_view> token(std::int32_t id) const;

  /// All entries, in the order of their ids.
  std::vector<Entry> entries() const;

 private:
  struct Record {
    std::uint32_t begin, length;
    std::int32_t id;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t record = 0;  // 0: free, else one more than its place in records_
  };

  std::string_view text(const Record& record) const { return {texts_.data() + record.begin, record.length}; }
  static std::uint32_t hashed(std::string_view token);
  void insert(std::uint32_t record, std::string_view where, Repeated repeated);

  std::string texts_;
  std::vector<Record> records_;  // sorted by id
  std::vector<Slot> slots_;      // open addressing, at most half full
  std::size_t mask_ = 0;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/text/vocabulary-inl.hpp"
#endif
