#pragma once

#include "graft/adapters/layer_adapter.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE void set_trained(torch::Tensor& parameter, bool trained) {
  if (parameter.requires_grad() != trained) parameter.set_requires_grad(trained);
}

GRAFT_INLINE torch::Tensor copied(const torch::Tensor& tensor, const std::optional<torch::Device>& device) {
  if (!tensor.defined()) return {};
  return tensor.detach().to(device.value_or(tensor.device()), tensor.scalar_type(), false, /*copy=*/true);
}

}  // namespace detail

GRAFT_INLINE torch::Tensor LayerAdapter::folded_bias(const Adaptable&, const torch::Tensor& bias, double) const {
  return bias;
}

}  // namespace graft
