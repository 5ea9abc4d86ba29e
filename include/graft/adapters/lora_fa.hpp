#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/attach.hpp"

namespace graft {

/// Trains an adapter as LoRA-FA: A stays as it was drawn, and backward turns the gradient of B into that which follows
/// the gradient of the whole weight most closely,
///   g_B <- g_B (A A^T + 1e-8)^-1 / s^2,   s = alpha / r
/// Since A is not trained, the inputs of its layers need not be kept for backward. Any optimizer may follow; PEFT's is
/// AdamW with eps 1e-6. What clips gradients sees the new ones, where PEFT clips the old.
///
/// Holds until it is destroyed; A stays frozen then too. For layers with LoRA that are no embeddings (their A starts at
/// zero); an adapter must keep its values of A meanwhile.
/// Source: Zhang et al., LoRA-FA, arXiv:2308.03303; the gradient as PEFT 0.21 has it.
class LoraFa {
 public:
  /// Throws OptionError if no layer has the adapter, or one has it in another kind or on an embedding.
  explicit LoraFa(torch::nn::Module& module, const std::string& name = "default");
  ~LoraFa() {
    for (auto& [B, hook] : hooks_) B.remove_hook(hook);
  }
  LoraFa(const LoraFa&) = delete;
  LoraFa& operator=(const LoraFa&) = delete;

 private:
  std::vector<std::pair<torch::Tensor, unsigned>> hooks_;
};

inline LoraFa::LoraFa(torch::nn::Module& module, const std::string& name) {
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
