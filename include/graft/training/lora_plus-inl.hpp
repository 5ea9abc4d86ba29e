#pragma once

#include <set>
#include <string>
#include <utility>

#include <torch/nn/modules/normalization.h>

#include "graft/adapters/attach.hpp"
#include "graft/core/error.hpp"
#include "graft/training/lora_plus.hpp"

namespace graft {

GRAFT_INLINE std::vector<ParameterGroup> lora_plus_groups(torch::nn::Module& module, const LoraPlusOptions& options) {
  if (!(options.ratio >= 1.0)) throw OptionError(message("the ratio of LoRA+ is ", options.ratio, "; give 1 or more"));
  std::set<const c10::TensorImpl*> of_embeddings, of_B, of_norms;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const std::string& name : layer->adapters()) {
      const auto adapter = layer->adapter(name);
      for (const torch::Tensor& parameter : adapter->parameters()) {
        if (layer->layer_type().looks_up_rows) of_embeddings.insert(parameter.unsafeGetTensorImpl());
      }
      for (const torch::Tensor& parameter : adapter->output_side()) of_B.insert(parameter.unsafeGetTensorImpl());
    }
  }
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (!dynamic_cast<const torch::nn::LayerNormImpl*>(child.get())) continue;
    for (const torch::Tensor& parameter : child->parameters()) of_norms.insert(parameter.unsafeGetTensorImpl());
  }

  ParameterGroup slow{.lr = options.lr, .weight_decay = options.weight_decay};
  ParameterGroup embeddings{.lr = options.embedding_lr, .weight_decay = options.weight_decay};
  ParameterGroup fast{.lr = options.lr * options.ratio, .weight_decay = options.weight_decay};
  ParameterGroup fast_without_decay{.lr = options.lr * options.ratio};
  for (auto& named : trained_parameters(module)) {
    const auto* tensor = named.second.unsafeGetTensorImpl();
    ParameterGroup* group = &slow;
    if (of_embeddings.count(tensor)) {
      group = &embeddings;
    } else if (of_B.count(tensor) || named.second.dim() == 1) {
      const bool bias = named.first.find("bias") != std::string::npos;
      group = bias || of_norms.count(tensor) ? &fast_without_decay : &fast;
    }
    group->parameters.push_back(std::move(named));
  }
  std::vector<ParameterGroup> groups;
  for (ParameterGroup* group : {&slow, &embeddings, &fast, &fast_without_decay}) {
    if (!group->parameters.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

}  // namespace graft
