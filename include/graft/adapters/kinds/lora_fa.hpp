#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/core/mode.hpp"

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

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/kinds/lora_fa-inl.hpp"
#endif
