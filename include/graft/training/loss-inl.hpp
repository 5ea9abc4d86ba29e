#pragma once

#include <torch/nn/functional/loss.h>

#include "graft/core/error.hpp"
#include "graft/training/loss.hpp"

namespace graft {

GRAFT_INLINE Loss cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets,
                                const CrossEntropyOptions& options) {
  if (logits.dim() != 2 || targets.dim() != 1 || logits.size(0) != targets.size(0)) {
    throw ShapeError(message("cross-entropy needs logits [N, C] and targets [N], got ", logits.sizes(), " and ",
                             targets.sizes(), "; flatten all but the class dimension"));
  }
  if (!(options.label_smoothing >= 0.0 && options.label_smoothing <= 1.0)) {
    throw OptionError(message("label_smoothing is ", options.label_smoothing, "; it must lie in [0, 1]"));
  }
  const auto sum = torch::nn::functional::cross_entropy(logits, targets,
                                                        torch::nn::functional::CrossEntropyFuncOptions()
                                                            .ignore_index(options.ignore_index)
                                                            .label_smoothing(options.label_smoothing)
                                                            .reduction(torch::kSum));
  return {sum, targets.ne(options.ignore_index).sum()};
}

GRAFT_INLINE Loss negative_log_likelihood(const torch::Tensor& log_probabilities) {
  if (log_probabilities.dim() != 1)
    throw ShapeError(message("log-probabilities are ", log_probabilities.sizes(), "; give one for each token, [M]"));
  return {-log_probabilities.sum(), static_cast<double>(log_probabilities.size(0))};
}

GRAFT_INLINE Loss mean_squared_error(const torch::Tensor& predictions, const torch::Tensor& targets) {
  if (predictions.sizes() != targets.sizes()) {
    throw ShapeError(message("squared error needs equal shapes, got predictions ", predictions.sizes(), " and targets ",
                             targets.sizes()));
  }
  const auto sum = torch::nn::functional::mse_loss(predictions, targets,
                                                   torch::nn::functional::MSELossFuncOptions().reduction(torch::kSum));
  return {sum, static_cast<double>(targets.numel())};
}

}  // namespace graft
