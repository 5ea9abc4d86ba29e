#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/modules/normalization.h>

#include "graft/adapters/attach.hpp"
#include "graft/training/optimizer.hpp"

namespace graft {

struct LoraPlusOptions {
  double lr = 5e-5;            ///< of A, and of other matrices, such as a head's
  double ratio = 16.0;         ///< B, and every vector, learn at ratio * lr; >= 1
  double embedding_lr = 1e-6;  ///< of adapters on embeddings
  double weight_decay = 0.0;   ///< of all but biases and the weights of LayerNorm
};

/// The trained parameters of `module` in groups for LoRA+, in which B learns faster than A; the groups, and what is in
/// them, are those of PEFT's create_loraplus_optimizer. Groups that would be empty are left out. Give them to AdamW or
/// Trainer. Throws OptionError for a ratio below 1.
/// Source: Hayou et al., LoRA+, arXiv:2402.12354, section 4.
inline std::vector<ParameterGroup> lora_plus_groups(torch::nn::Module& module, const LoraPlusOptions& options) {
  if (!(options.ratio >= 1.0)) throw OptionError(message("the ratio of LoRA+ is ", options.ratio, "; give 1 or more"));
  std::set<const c10::TensorImpl*> of_embeddings, of_B, of_norms;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const std::string& name : layer->adapters()) {
      for (const torch::Tensor& parameter : layer->slot(name)->parameters()) {
        if (layer->is_embedding()) of_embeddings.insert(parameter.unsafeGetTensorImpl());
      }
      if (const auto adapter = layer->adapter(name)) of_B.insert(adapter->lora_B.unsafeGetTensorImpl());
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
