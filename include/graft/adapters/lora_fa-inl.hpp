#pragma once

#include "graft/adapters/lora_fa.hpp"

namespace graft {

GRAFT_INLINE LoraFa::LoraFa(torch::nn::Module& module, const std::string& name) {
  detail::require_adapter(module, name);
  std::vector<std::shared_ptr<LowRankAdapter>> adapters;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto slot = layer->slot(name);
    if (!slot) continue;
    const auto adapter = layer->adapter(name);
    if (!adapter || std::dynamic_pointer_cast<DoraAdapter>(slot) || layer->is_embedding()) {
      throw OptionError(message("LoRA-FA is for plain LoRA on layers that are no embeddings; adapter ", quoted(name),
                                " of layer ", quoted(path), " is another kind"));
    }
    adapters.push_back(adapter);
  }
  const torch::NoGradGuard no_grad;
  for (const auto& adapter : adapters) {
    adapter->lora_A.set_requires_grad(false);
    if (!adapter->lora_B.requires_grad()) continue;
    const torch::Tensor A = adapter->lora_A.detach().flatten(1);
    const torch::Tensor inverse = torch::linalg_pinv(A.mm(A.t()) + 1e-8 * torch::eye(A.size(0), A.options())) /
                                  (adapter->scale() * adapter->scale());
    const auto turn = [inverse](const torch::Tensor& grad) { return grad.flatten(1).mm(inverse).view(grad.sizes()); };
    hooks_.emplace_back(adapter->lora_B, adapter->lora_B.register_hook(turn));
  }
}

}  // namespace graft
