#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/offsets.hpp"

namespace graft {

/// A batch of sequences laid end to end: T tokens in all, of N sequences, and no padding.
///
/// Sequence n owns the tokens offsets[n] ... offsets[n + 1] - 1. Hidden states over a batch are [T, D].
struct PackedBatch {
  torch::Tensor ids;        ///< [T] int64
  torch::Tensor type_ids;   ///< [T] int64: 0 for the first text of a pair, 1 for the second
  torch::Tensor positions;  ///< [T] int64: counts from 0 in each sequence
  torch::Tensor offsets;    ///< [N + 1] int64, on the CPU wherever the rest is: 0, then where each sequence ends
  std::int64_t limit = 0;   ///< above 0: no sequence has more tokens; offsets lie with the rest, and nothing of the
                            ///< batch is read on the host or checked there

  std::int64_t sequences() const { return offsets.size(0) - 1; }  ///< N
  std::int64_t tokens() const { return ids.size(0); }             ///< T

  /// What attention() takes for offsets.
  Offsets layout() const { return {offsets, limit}; }

  /// Tokens of the longest sequence, or `limit` where there is one; 0 for a batch of none.
  std::int64_t longest() const { return detail::longest_of(layout()); }

  /// The same batch with ids, type_ids and positions on `device`; offsets stay on the CPU unless there is a limit.
  PackedBatch to(torch::Device device) const {
    return {ids.to(device), type_ids.to(device), positions.to(device), limit > 0 ? offsets.to(device) : offsets, limit};
  }
};

/// Lays `ids` end to end. `type_ids` is empty (every token is of type 0) or as long as `ids`, sequence by sequence.
/// Empty sequences are allowed, and so is a batch of none. Throws ShapeError where the lengths differ.
PackedBatch pack(std::span<const std::vector<std::int32_t>> ids,
                 std::span<const std::vector<std::int32_t>> type_ids = {});

/// Sequences [begin, end) of a batch without a limit, as a batch that shares its memory. Throws ShapeError unless
/// 0 <= begin <= end <= N.
PackedBatch sequences(const PackedBatch& batch, std::int64_t begin, std::int64_t end);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/packed-inl.hpp"
#endif
