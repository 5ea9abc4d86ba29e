#pragma once

#include "graft/adapters/head_copies.hpp"
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

GRAFT_INLINE std::shared_ptr<LayerAdapter> LayerAdapter::copy(const std::optional<torch::Device>& device) const {
  const std::shared_ptr<LayerAdapter> result = copy_with([&](const auto& t) { return detail::copied(t, device); });
  if (heads) result->heads = heads->copy(device);
  const auto own = named_parameters();
  for (auto& parameter : result->named_parameters()) {
    parameter.value().set_requires_grad(own[parameter.key()].requires_grad());
  }
  return result;
}

}  // namespace graft
