#pragma once

#include <algorithm>
#include <cstdint>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {

/// The most that a batch may hold where all batches are brought to one shape.
struct TokenBudget {
  std::int64_t tokens = 0;     ///< of all sequences, >= 1
  std::int64_t sequences = 0;  ///< >= 1
  std::int64_t longest = 0;    ///< tokens of one sequence, >= 1

  /// The shape: sequences enough to hold the tokens that a batch leaves over, none of them empty or above `longest`.
  std::int64_t padded_sequences() const { return sequences + (tokens + longest - 1) / longest; }
  std::int64_t padded_tokens() const { return tokens + sequences; }
};

/// Throws OptionError that names every number below 1.
void check_budget(const TokenBudget& budget);

/// Throws ShapeError unless `batch` (on the CPU) has a sequence, all of them have a token, and it keeps to `budget`.
void check_fits(const PackedBatch& batch, const TokenBudget& budget);

/// `batch` and behind it sequences of padding, which make it budget.padded_tokens() tokens in budget.padded_sequences()
/// sequences. Padding has id 0 and type 0, and positions of its own. No sequence sees another, so that what is computed
/// of the batch's own tokens stays as it was; the loss must leave the padding out (pad_labels()).
/// Throws ShapeError as check_fits() does.
PackedBatch pad_to_budget(const PackedBatch& batch, const TokenBudget& budget);

/// labels [M] and behind them `ignored`: [size].
torch::Tensor pad_labels(const torch::Tensor& labels, std::int64_t size, std::int64_t ignored = -100);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/token_budget-inl.hpp"
#endif
