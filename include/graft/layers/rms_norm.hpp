#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/ops/decoding.hpp"

namespace graft {

/// Each row over its root mean square, times a weight:  y = x / sqrt(mean(x^2) + eps) * (offset + weight)
///
/// Shapes: x, y [..., D]. Parameter: `weight` [D], which starts at 1 - offset. In float32 inside for 16-bit types.
/// Source: Zhang and Sennrich, Root mean square layer normalization, arXiv:1910.07467.
class RmsNormImpl : public torch::nn::Module {
 public:
  /// `offset` is 1 for Gemma, which stores what its weights differ from one by, and 0 for others.
  RmsNormImpl(std::int64_t size, double eps, double offset = 0.0)
      : weight_(register_parameter("weight", torch::full({size}, 1.0 - offset))), eps_(eps), offset_(offset) {}

  torch::Tensor forward(const torch::Tensor& x) { return rms_norm(x, weight_, eps_, offset_); }

  const torch::Tensor& weight() const { return weight_; }

 private:
  torch::Tensor weight_;
  double eps_, offset_;
};
TORCH_MODULE(RmsNorm);

}  // namespace graft
