#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/ops/layer_norm.hpp"

namespace graft {

/// The "Add & Norm" that closes each half of a post-norm transformer layer:
///   y = LayerNorm(residual + dropout(dense(x)))
///
/// Shapes: x [T, in], residual and y [T, out]. Children: `dense`, `LayerNorm`.
/// Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762, section 3.1.
class AddNormImpl : public torch::nn::Module {
 public:
  /// `dropout` is a chance in [0, 1); `eps` is added to the variance.
  AddNormImpl(std::int64_t in, std::int64_t out, double dropout, double eps)
      : dense_(register_module("dense", Linear(in, out))),
        norm_(register_module("LayerNorm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({out}).eps(eps)))),
        dropout_(dropout) {}

  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual) {
    return add_norm(dense_(x), residual, norm_->weight, norm_->bias, norm_->options.eps(),
                    is_training() ? dropout_ : 0.0);
  }

 private:
  Linear dense_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};
TORCH_MODULE(AddNorm);

}  // namespace graft
