#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <queue>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// Which neighbours become one token, and in which order.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = none;  ///< the lowest goes first
    std::int32_t id = -1;       ///< of what the two become
  };
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  explicit MergeTable(std::size_t count = 0) : slots_(std::bit_ceil(2 * count + 2)), mask_(slots_.size() - 1) {}

  /// At most the constructor's count of different pairs; a pair that is there already is replaced.
  void set(std::int32_t left, std::int32_t right, Merge merge) {
    Slot& slot = slots_[place(left, right)];
    slot = {left, right, merge};
  }

  /// A rank of `none` where the two do not merge.
  Merge find(std::int32_t left, std::int32_t right) const { return slots_[place(left, right)].merge; }

  /// Merges neighbours until none are left to merge: always the lowest rank, of equal ones the leftmost. No range is
  /// empty.
  void apply(std::vector<Token>& symbols) const {
    constexpr std::size_t few = 48;  // so many are searched through faster than a queue is kept
    symbols.size() <= few ? apply_to_few(symbols) : apply_to_many(symbols);
  }

 private:
  struct Slot {
    std::int32_t left = -1, right = -1;
    Merge merge;
  };

  std::size_t place(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    std::size_t at = static_cast<std::size_t>(key * 0x9E3779B97F4A7C15 >> 20) & mask_;  // 2^64 / the golden ratio
    while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask_;
    return at;
  }

  void apply_to_few(std::vector<Token>& symbols) const;
  void apply_to_many(std::vector<Token>& symbols) const;

  std::vector<Slot> slots_;  // open addressing, at most half full
  std::size_t mask_;
};

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/merge_table-inl.hpp"
#endif
