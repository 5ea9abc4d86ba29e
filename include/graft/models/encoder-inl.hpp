#pragma once

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/layers/init.hpp"
#include "graft/layers/pooling.hpp"
#include "graft/models/encoder.hpp"

namespace graft {

GRAFT_INLINE void EncoderLayer::register_feed_forward(const EncoderConfig& config) {
  intermediate_ = register_module(
      "intermediate", Dense(config.hidden_size, config.intermediate_size, activation_named(config.hidden_act)));
  output_ = register_module("output", AddNorm(config.intermediate_size, config.hidden_size, config.hidden_dropout_prob,
                                              config.layer_norm_eps));
}

GRAFT_INLINE void EncoderModel::finish(const EncoderConfig& config, bool with_pooler) {
  if (with_pooler) pooler_ = register_module("pooler", Dense(config.hidden_size, config.hidden_size, Activation::tanh));
  initialize_normal(*this, config.initializer_range);
}

GRAFT_INLINE BertStates EncoderModel::forward(const PackedBatch& batch) {
  BertStates states;
  states.hidden = hidden(batch);
  if (pooler_) states.pooled = pooler_(first_tokens(states.hidden, batch.offsets));
  return states;
}

GRAFT_INLINE torch::Tensor EncoderModel::pooled(const PackedBatch& batch) {
  if (!pooler_) throw StateError("this model was made without a pooler");
  return pooler_(first(batch));
}

GRAFT_INLINE torch::Tensor roberta_positions(const torch::Tensor& ids, const torch::Tensor& positions,
                                             std::int64_t padding) {
  // Padding met in the batch up to and without each token, less what was met before its sequence began.
  const torch::Tensor is_padding = ids.eq(padding).to(torch::kInt64);
  const torch::Tensor before = is_padding.cumsum(0) - is_padding;
  const torch::Tensor start = torch::arange(ids.size(0), positions.options()) - positions;
  const torch::Tensor counted = positions - (before - before.index_select(0, start));
  return (counted + padding + 1).masked_fill(is_padding.to(torch::kBool), padding);
}

}  // namespace graft
