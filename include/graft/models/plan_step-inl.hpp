#pragma once

#include <algorithm>

#include "graft/core/checked.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/plan_step.hpp"
#include "graft/ops/token_log_probabilities.hpp"
#include "graft/tensor/meta.hpp"

namespace graft {
namespace detail {

/// Numbers for each token.
struct TokenNumbers {
  std::int64_t hidden = 0;    ///< of a hidden state
  std::int64_t layer = 0;     ///< that the graph of a layer keeps, its input among them
  std::int64_t backward = 0;  ///< that backward of a layer makes beside it, at its peak
};

/// What LlamaLayer and Gpt2Layer keep: the tensors of their forward(), read off there.
GRAFT_INLINE TokenNumbers token_numbers(const CausalConfig& config, bool in_full) {
  const std::int64_t d = config.hidden_size, inner = config.intermediate_size;
  const std::int64_t queries = config.num_attention_heads * config.head_dim;
  const std::int64_t keys = config.num_key_value_heads * config.head_dim;
  const CausalFamily& family = config.family();
  TokenNumbers numbers{.hidden = d};
  // Queries, keys, values and result of attention, and the sums of its rows.
  numbers.layer = 2 * queries + 2 * keys + config.num_attention_heads;
  if (family.layers == CausalFamily::Layers::gpt2) {
    numbers.layer += 4 * d + 2 * inner;  // inputs of both norms and what they give; around the activation
    numbers.backward = 2 * inner + d;
    return numbers;
  }
  numbers.layer += 4 * d + 4 * inner;   // inputs of both norms and what they give; gate, its activation, up, product
  if (in_full) numbers.layer += 2 * d;  // what norms multiply by their weights
  if (family.head_norms) numbers.layer += queries + keys + (in_full ? queries + keys : 0);
  if (family.norms_behind) numbers.layer += 2 * d + (in_full ? 2 * d : 0);
  numbers.backward = 3 * inner + d;
  return numbers;
}

}  // namespace detail

GRAFT_INLINE Plan plan_step(const CausalConfig& config, const PlanOptions& options, const CausalStep& step) {
  std::int64_t tokens = 0;
  for (const std::int64_t length : step.lengths) {
    if (length < 1) throw OptionError(message("a sequence of ", length, " tokens; each has 1 or more"));
    tokens = checked_add(tokens, length, "tokens of the batch");
  }
  if (tokens == 0) throw OptionError("a step on no sequence; give the lengths of those of a batch");
  const std::int64_t predicted = step.predicted < 0 ? tokens : std::min(step.predicted, tokens);

  CausalLM model = [&] {
    const MetaScope no_memory;
    return CausalLM(config);
  }();
  Plan plan = graft::plan(shape_of(*model), options);

  const bool in_full = !options.adapter;
  const detail::TokenNumbers numbers = detail::token_numbers(config, in_full);
  const std::int64_t width = options.weight_bytes, layers = config.num_hidden_layers;
  const std::int64_t kept_layers = step.checkpoints_layers ? layers * numbers.hidden : layers * numbers.layer;
  // Behind the layers: the last norm's input and result, the rows that are judged and their gradients.
  const std::int64_t behind = 2 * tokens * numbers.hidden * width + 2 * predicted * numbers.hidden * 4;
  const std::int64_t kept = checked_mul(tokens, kept_layers * width, "activations") + behind;
  const std::int64_t rows = step.whole_logits ? predicted : std::min(predicted, rows_of_logits(config.vocab_size));
  // Logits, their logarithms as probabilities, and for a whole batch the gradient by either. A trained head's gradient
  // is summed over the parts.
  std::int64_t head = checked_mul(rows * (step.whole_logits ? 3 : 2), config.vocab_size * 4, "logits");
  if (in_full) head += 2 * config.vocab_size * numbers.hidden * width;
  const std::int64_t layer =
      tokens * width * (numbers.backward + (step.checkpoints_layers ? numbers.layer - numbers.hidden : 0));
  // Backward gives back what the layers kept while it makes the gradients: the peak is at either end of it.
  const std::int64_t before = kept + std::max(head, layer);
  const std::int64_t behind_all =
      plan.gradient_bytes + layer + (in_full ? config.vocab_size * numbers.hidden * width : 0);
  plan.activation_bytes = std::max(before, behind_all) - plan.gradient_bytes;
  // A program of LibTorch's on the CPU, before its first tensor.
  plan.program_bytes = std::int64_t{170} << 20;
  return plan;
}

}  // namespace graft
