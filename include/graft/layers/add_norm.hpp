#pragma once

#include <cstdint>
#include <memory>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"

namespace torch::nn {
class LayerNormImpl;
}

namespace graft {

/// The "Add & Norm" that closes each half of a post-norm transformer layer:
///   y = LayerNorm(residual + dropout(dense(x)))
///
/// Shapes: x [T, in], residual and y [T, out]. Children: `dense`, `LayerNorm`.
/// Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762, section 3.1.
class AddNormImpl : public torch::nn::Module {
 public:
  /// `dropout` is a chance in [0, 1); `eps` is added to the variance.
  AddNormImpl(std::int64_t in, std::int64_t out, double dropout, double eps);

  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual);

 private:
  Linear dense_;
  std::shared_ptr<torch::nn::LayerNormImpl> norm_;
  double dropout_;
};
TORCH_MODULE(AddNorm);

namespace detail {

/// A LibTorch LayerNorm over `size` columns.
std::shared_ptr<torch::nn::LayerNormImpl> make_layer_norm(std::int64_t size, double eps);

}  // namespace detail
}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/add_norm-inl.hpp"
#endif
