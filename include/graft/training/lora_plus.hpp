#pragma once

#include <vector>

#include "graft/core/mode.hpp"
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
std::vector<ParameterGroup> lora_plus_groups(torch::nn::Module& module, const LoraPlusOptions& options);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/lora_plus-inl.hpp"
#endif
