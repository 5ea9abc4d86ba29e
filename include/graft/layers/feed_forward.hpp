#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/adapters/adaptable.hpp"
#include "graft/layers/activation.hpp"

namespace graft {

/// A projection and its nonlinearity:  y = activation(dense(x))
///
/// Shapes: x [..., in], y [..., out]. Child: `dense`.
class DenseImpl : public torch::nn::Module {
 public:
  DenseImpl(std::int64_t in, std::int64_t out, Activation activation)
      : dense_(register_module("dense", Linear(in, out))), activation_(activation) {}

  torch::Tensor forward(const torch::Tensor& x) { return activate(activation_, dense_(x)); }

 private:
  Linear dense_;
  Activation activation_;
};
TORCH_MODULE(Dense);

}  // namespace graft
