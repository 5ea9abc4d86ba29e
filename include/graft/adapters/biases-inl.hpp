#pragma once

#include "graft/adapters/biases.hpp"

namespace graft::detail {

GRAFT_INLINE NamedTensors biases(torch::nn::Module& module) {
  const auto factors = factor_tensors(module);
  NamedTensors found;
  for (const auto& parameter : module.named_parameters()) {
    if (!is_bias(parameter.key()) || factors.count(parameter.value().unsafeGetTensorImpl())) continue;
    found.emplace_back(parameter.key(), parameter.value());
  }
  return found;
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE std::vector<std::string> train_biases(torch::nn::Module& module, AdapterBias which,
                                                   const std::string& adapter) {
  std::vector<std::string> names;
  if (which == AdapterBias::none) return names;
  if (which == AdapterBias::lora_only) detail::require_adapter(module, adapter);
  std::set<std::string> adapted;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->adapter(adapter)) adapted.insert(path.empty() ? "bias" : path + ".bias");
  }
  for (auto& [name, bias] : detail::biases(module)) {
    if (which == AdapterBias::lora_only && !adapted.count(name)) continue;
    bias.set_requires_grad(true);
    names.push_back(name);
  }
  return names;
}

GRAFT_INLINE std::vector<std::string> train_only_biases(torch::nn::Module& module,
                                                        const std::vector<std::string>& heads) {
  for (torch::Tensor& parameter : module.parameters()) parameter.set_requires_grad(false);
  train_biases(module, AdapterBias::all);
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    for (const std::string& head : heads) {
      if (!matches_suffix(child.key(), head)) continue;
      for (torch::Tensor& parameter : child.value()->parameters()) parameter.set_requires_grad(true);
    }
  }
  std::vector<std::string> names;
  for (const auto& parameter : module.named_parameters()) {
    if (parameter.value().requires_grad()) names.push_back(parameter.key());
  }
  return names;
}

}  // namespace graft
