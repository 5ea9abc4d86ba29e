#pragma once

#include "graft/adapters/kinds/lora_fa.hpp"
#include "graft/core/error.hpp"

namespace graft {

GRAFT_INLINE LoraFa::LoraFa(torch::nn::Module& module, const std::string& name) {
  detail::require_adapter(module, name);
  std::vector<LowRankTerm> updates;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto adapter = layer->adapter(name);
    if (!adapter) continue;
    const auto fused = adapter->fused();
    if (!fused || layer->layer_type().looks_up_rows) {
      throw OptionError(message("LoRA-FA is for plain LoRA on layers that are no embeddings; adapter ", quoted(name),
                                " of layer ", quoted(path), " is another kind"));
    }
    updates.push_back(fused->terms.front());
  }
  const torch::NoGradGuard no_grad;
  for (LowRankTerm& update : updates) {
    update.A.set_requires_grad(false);
    if (!update.B.requires_grad()) continue;
    const torch::Tensor A = update.A.detach().flatten(1);
    const torch::Tensor inverse =
        torch::linalg_pinv(A.mm(A.t()) + 1e-8 * torch::eye(A.size(0), A.options())) / (update.scale * update.scale);
    const auto turn = [inverse](const torch::Tensor& grad) { return grad.flatten(1).mm(inverse).view(grad.sizes()); };
    hooks_.emplace_back(update.B, update.B.register_hook(turn));
  }
}

}  // namespace graft
