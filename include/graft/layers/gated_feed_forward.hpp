#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/layers/activation.hpp"

namespace graft {

/// The feed-forward half of a Llama layer:  y = down_proj(activation(gate_proj(x)) * up_proj(x))
///
/// Shapes: x, y [T, D]. Children: `gate_proj`, `up_proj`, `down_proj`.
/// Source: Shazeer, GLU variants improve transformer, arXiv:2002.05202.
class GatedFeedForwardImpl : public torch::nn::Module {
 public:
  GatedFeedForwardImpl(std::int64_t hidden, std::int64_t intermediate, Activation activation, bool bias)
      : gate_(register_module("gate_proj", Linear(torch::nn::LinearOptions(hidden, intermediate).bias(bias)))),
        up_(register_module("up_proj", Linear(torch::nn::LinearOptions(hidden, intermediate).bias(bias)))),
        down_(register_module("down_proj", Linear(torch::nn::LinearOptions(intermediate, hidden).bias(bias)))),
        activation_(activation) {}

  torch::Tensor forward(const torch::Tensor& x) {
    const std::vector<torch::Tensor> both = forward_together(x, gate_, up_);
    return down_(activate(activation_, both[0]) * both[1]);
  }

 private:
  Linear gate_, up_, down_;
  Activation activation_;
};
TORCH_MODULE(GatedFeedForward);

}  // namespace graft
