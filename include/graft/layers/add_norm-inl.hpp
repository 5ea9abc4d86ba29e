#pragma once

#include <torch/nn/modules/normalization.h>

#include "graft/layers/add_norm.hpp"
#include "graft/ops/layer_norm.hpp"

namespace graft {

GRAFT_INLINE std::shared_ptr<torch::nn::LayerNormImpl> detail::make_layer_norm(std::int64_t size, double eps) {
  return std::make_shared<torch::nn::LayerNormImpl>(torch::nn::LayerNormOptions({size}).eps(eps));
}

GRAFT_INLINE AddNormImpl::AddNormImpl(std::int64_t in, std::int64_t out, double dropout, double eps)
    : dense_(register_module("dense", Linear(in, out))),
      norm_(register_module("LayerNorm", detail::make_layer_norm(out, eps))),
      dropout_(dropout) {}

GRAFT_INLINE torch::Tensor AddNormImpl::forward(const torch::Tensor& x, const torch::Tensor& residual) {
  return add_norm(dense_(x), residual, norm_->weight, norm_->bias, norm_->options.eps(),
                  is_training() ? dropout_ : 0.0);
}

}  // namespace graft
