#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/core/mode.hpp"
#include "graft/layers/activation.hpp"

namespace graft {

/// The feed-forward half of a Llama layer:  y = down_proj(activation(gate_proj(x)) * up_proj(x))
///
/// Shapes: x, y [T, D]. Children: `gate_proj`, `up_proj`, `down_proj`.
/// Source: Shazeer, GLU variants improve transformer, arXiv:2002.05202.
class GatedFeedForwardImpl : public torch::nn::Module {
 public:
  GatedFeedForwardImpl(std::int64_t hidden, std::int64_t intermediate, Activation activation, bool bias);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Linear gate_, up_, down_;
  Activation activation_;
};
TORCH_MODULE(GatedFeedForward);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/gated_feed_forward-inl.hpp"
#endif
