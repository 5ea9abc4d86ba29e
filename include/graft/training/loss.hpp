#pragma once

#include <cstdint>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/training/count.hpp"

namespace graft {

/// A loss before its mean is taken: the sum over what was judged, and how much was judged.
///
/// Sums of several micro-batches add up to the sum of the whole batch, means do not. So a loss keeps both, and whoever
/// steps the optimizer divides once, by the count of all that was summed.
struct Loss {
  torch::Tensor sum;  ///< [], differentiable
  Count count = 0.0;  ///< rows, tokens or weights behind `sum`, >= 0

  /// The mean, []. Not a number if nothing was judged.
  torch::Tensor mean() const { return sum / count.on(sum.device()).to(sum.scalar_type()); }
};

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  ///< a target of this value is not judged
  double label_smoothing = 0.0;      ///< share in [0, 1] of the target spread evenly over all classes
};

/// Cross-entropy of logits [N, C] against class numbers [N] (int64), counted in targets that are not ignored, on their
/// device.
/// Throws ShapeError if the sizes do not fit, OptionError if `label_smoothing` leaves its range.
Loss cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets, const CrossEntropyOptions& options = {});

/// Cross-entropy of tokens whose log-probabilities [M] are known, as CausalLM::log_probabilities() gives them: the same
/// as cross_entropy() of their logits, counted in tokens. Throws ShapeError unless they are [M].
Loss negative_log_likelihood(const torch::Tensor& log_probabilities);

/// Squared error of predictions against targets of the same shape, counted in elements.
/// Throws ShapeError if the shapes differ: nothing is broadcast.
Loss mean_squared_error(const torch::Tensor& predictions, const torch::Tensor& targets);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/loss-inl.hpp"
#endif
