#pragma once

#include "graft/models/bert.hpp"
#include "graft/models/detail/check_ids.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE void check_batch(const PackedBatch& batch, const BertConfig& config) {
  check_lengths(batch, config.max_tokens());
  if (batch.limit > 0) return;
  check_in_table(batch.ids, config.vocab_size, "token id");
  check_in_table(batch.type_ids, config.type_vocab_size, "type id");
}

GRAFT_INLINE TokenEmbeddingsOptions embeddings_options(const BertConfig& config) {
  return {.vocabulary = config.vocab_size,
          .positions = config.max_position_embeddings,
          .types = config.type_vocab_size,
          .hidden = config.hidden_size,
          .padding = config.pad_token_id,
          .padding_position = config.is_roberta() ? config.pad_token_id : std::nullopt,
          .dropout = config.hidden_dropout_prob,
          .eps = config.layer_norm_eps};
}

}  // namespace detail

GRAFT_INLINE BertAttentionImpl::BertAttentionImpl(const BertConfig& config) {
  self_ = register_module("self", SelfAttention(SelfAttentionOptions{.hidden = config.hidden_size,
                                                                     .heads = config.num_attention_heads,
                                                                     .dropout = config.attention_probs_dropout_prob}));
  output_ = register_module(
      "output", AddNorm(config.hidden_size, config.hidden_size, config.hidden_dropout_prob, config.layer_norm_eps));
}

GRAFT_INLINE BertLayerImpl::BertLayerImpl(const BertConfig& config) {
  attention_ = register_module("attention", BertAttention(config));
  intermediate_ = register_module(
      "intermediate", Dense(config.hidden_size, config.intermediate_size, activation_named(config.hidden_act)));
  output_ = register_module("output", AddNorm(config.intermediate_size, config.hidden_size, config.hidden_dropout_prob,
                                              config.layer_norm_eps));
}

GRAFT_INLINE BertEncoderImpl::BertEncoderImpl(const BertConfig& config) {
  register_module("layer", layers_);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) layers_->push_back(BertLayer(config));
}

GRAFT_INLINE torch::Tensor BertEncoderImpl::forward(const torch::Tensor& hidden, const Offsets& offsets) {
  torch::Tensor state = hidden;
  for (std::size_t i = 0; i < layers_->size(); ++i) state = layer(i).forward(state, offsets);
  return state;
}

GRAFT_INLINE torch::Tensor BertEncoderImpl::first(const torch::Tensor& hidden, const Offsets& offsets) {
  torch::Tensor state = hidden;
  for (std::size_t i = 0; i + 1 < layers_->size(); ++i) state = layer(i).forward(state, offsets);
  return layer(layers_->size() - 1).first(state, offsets);
}

GRAFT_INLINE BertModelImpl::BertModelImpl(const BertConfig& config, bool with_pooler) : config_(config) {
  config_.check();
  embeddings_ = register_module("embeddings", TokenEmbeddings(detail::embeddings_options(config)));
  encoder_ = register_module("encoder", BertEncoder(config));
  if (with_pooler) pooler_ = register_module("pooler", Dense(config.hidden_size, config.hidden_size, Activation::tanh));
  initialize_normal(*this, config.initializer_range);
}

GRAFT_INLINE torch::Tensor BertModelImpl::embed(const PackedBatch& batch) {
  detail::check_batch(batch, config_);
  return embeddings_(
      batch.ids, batch.type_ids,
      config_.is_roberta() ? roberta_positions(batch.ids, batch.positions, *config_.pad_token_id) : batch.positions);
}

GRAFT_INLINE torch::Tensor BertModelImpl::hidden(const PackedBatch& batch) { return encoder_(embed(batch), batch.layout()); }

GRAFT_INLINE torch::Tensor BertModelImpl::first(const PackedBatch& batch) {
  return encoder_->first(embed(batch), batch.layout());
}

GRAFT_INLINE torch::Tensor BertModelImpl::pooled(const PackedBatch& batch) {
  if (!pooler_) throw StateError("this model was made without a pooler");
  return pooler_(first(batch));
}

GRAFT_INLINE BertStates BertModelImpl::forward(const PackedBatch& batch) {
  BertStates states;
  states.hidden = hidden(batch);
  if (pooler_) states.pooled = pooler_(first_tokens(states.hidden, batch.offsets));
  return states;
}

GRAFT_INLINE torch::Tensor roberta_positions(const torch::Tensor& ids, const torch::Tensor& positions, std::int64_t padding) {
  // Padding met in the batch up to and without each token, less what was met before its sequence began.
  const torch::Tensor is_padding = ids.eq(padding).to(torch::kInt64);
  const torch::Tensor before = is_padding.cumsum(0) - is_padding;
  const torch::Tensor start = torch::arange(ids.size(0), positions.options()) - positions;
  const torch::Tensor counted = positions - (before - before.index_select(0, start));
  return (counted + padding + 1).masked_fill(is_padding.to(torch::kBool), padding);
}

}  // namespace graft
