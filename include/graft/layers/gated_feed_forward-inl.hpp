#pragma once

#include <vector>

#include <torch/nn/modules/linear.h>

#include "graft/layers/gated_feed_forward.hpp"

namespace graft {

GRAFT_INLINE GatedFeedForwardImpl::GatedFeedForwardImpl(std::int64_t hidden, std::int64_t intermediate,
                                                        Activation activation, bool bias)
    : gate_(register_module("gate_proj", Linear(torch::nn::LinearOptions(hidden, intermediate).bias(bias)))),
      up_(register_module("up_proj", Linear(torch::nn::LinearOptions(hidden, intermediate).bias(bias)))),
      down_(register_module("down_proj", Linear(torch::nn::LinearOptions(intermediate, hidden).bias(bias)))),
      activation_(activation) {}

GRAFT_INLINE torch::Tensor GatedFeedForwardImpl::forward(const torch::Tensor& x) {
  const std::vector<torch::Tensor> both = forward_together(x, gate_, up_);
  return down_(activate(activation_, both[0]) * both[1]);
}

}  // namespace graft
