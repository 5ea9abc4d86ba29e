#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft {

/// Makes biases require gradients, beside what does already: all of the model's, or those of the layers that carry
/// `adapter`. They are the base's own: training them changes what the base computes without the adapter too, as in
/// PEFT. save_adapter() writes them. Returns their names. Throws OptionError for lora_only without such an adapter.
inline std::vector<std::string> train_biases(torch::nn::Module& module, AdapterBias which,
                                             const std::string& adapter = "default");

/// Freezes a model but for its biases and heads; without heads given, those that attach() would take. Returns the names
/// of what is trained. Source: Ben Zaken et al., BitFit, arXiv:2106.10199.
inline std::vector<std::string> train_only_biases(torch::nn::Module& module, const std::vector<std::string>& heads = {
                                                                                 "classifier", "score", "qa_outputs"});

namespace detail {

inline bool is_bias(std::string_view name) { return name == "bias" || name.ends_with(".bias"); }

/// The biases of a model that are no adapter's, by name.
inline NamedTensors biases(torch::nn::Module& module) {
  const auto factors = factor_tensors(module);
  NamedTensors found;
  for (const auto& parameter : module.named_parameters()) {
    if (!is_bias(parameter.key()) || factors.count(parameter.value().unsafeGetTensorImpl())) continue;
    found.emplace_back(parameter.key(), parameter.value());
  }
  return found;
}

}  // namespace detail

inline std::vector<std::string> train_biases(torch::nn::Module& module, AdapterBias which, const std::string& adapter) {
  std::vector<std::string> names;
  if (which == AdapterBias::none) return names;
  if (which == AdapterBias::lora_only) detail::require_adapter(module, adapter);
  std::set<std::string> adapted;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (layer->slot(adapter)) adapted.insert(path.empty() ? "bias" : path + ".bias");
  }
  for (auto& [name, bias] : detail::biases(module)) {
    if (which == AdapterBias::lora_only && !adapted.count(name)) continue;
    bias.set_requires_grad(true);
    names.push_back(name);
  }
  return names;
}

inline std::vector<std::string> train_only_biases(torch::nn::Module& module, const std::vector<std::string>& heads) {
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
