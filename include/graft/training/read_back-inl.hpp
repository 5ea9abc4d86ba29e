#pragma once

#include <torch/utils.h>

#include "graft/core/error.hpp"
#include "graft/training/detail/mode_scope.hpp"
#include "graft/training/read_back.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE torch::Tensor evaluated(torch::nn::Module& module, const std::function<torch::Tensor()>& logits) {
  const torch::NoGradGuard no_grad;
  const ModeScope modes(module);
  module.eval();
  return logits().to(torch::kCPU, torch::kFloat64);
}

}  // namespace detail

GRAFT_INLINE void check_read_back(const torch::Tensor& trained, const torch::Tensor& saved, const std::string& where) {
  const double scale = trained.abs().max().item<double>();
  const double off = (trained - saved).abs().max().item<double>();
  if (off <= 1e-3 * scale) return;  // false for NaN
  throw StateError(message(where, ": read back, it answers otherwise than what was trained: logits differ by ", off,
                           ", the largest is ", scale, "; do not use it"));
}

}  // namespace graft
