#pragma once

#include "graft/layers/pooling.hpp"
#include "graft/models/bert.hpp"
#include "graft/models/detail/check_ids.hpp"

namespace graft {

GRAFT_INLINE BertAttentionImpl::BertAttentionImpl(const BertConfig& config) {
  self_ = register_module("self", SelfAttention(SelfAttentionOptions{.hidden = config.hidden_size,
                                                                     .heads = config.num_attention_heads,
                                                                     .dropout = config.attention_probs_dropout_prob}));
  output_ = register_module(
      "output", AddNorm(config.hidden_size, config.hidden_size, config.hidden_dropout_prob, config.layer_norm_eps));
}

GRAFT_INLINE torch::Tensor BertAttentionImpl::first(const torch::Tensor& hidden, const Offsets& offsets) {
  return output_(first_tokens(self_(hidden, offsets), offsets.ends), first_tokens(hidden, offsets.ends));
}

GRAFT_INLINE BertLayerImpl::BertLayerImpl(const BertConfig& config) {
  attention_ = register_module("attention", BertAttention(config));
  register_feed_forward(config);
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
  embeddings_ =
      register_module("embeddings", TokenEmbeddings(TokenEmbeddingsOptions{
                                        .vocabulary = config.vocab_size,
                                        .positions = config.max_position_embeddings,
                                        .types = config.type_vocab_size,
                                        .hidden = config.hidden_size,
                                        .padding = config.pad_token_id,
                                        .padding_position = config.is_roberta() ? config.pad_token_id : std::nullopt,
                                        .dropout = config.hidden_dropout_prob,
                                        .eps = config.layer_norm_eps}));
  encoder_ = register_module("encoder", BertEncoder(config));
  finish(config, with_pooler);
}

GRAFT_INLINE torch::Tensor BertModelImpl::embed(const PackedBatch& batch) {
  detail::check_lengths(batch, config_.max_tokens());
  if (batch.limit <= 0) {
    detail::check_in_table(batch.ids, config_.vocab_size, "token id");
    detail::check_in_table(batch.type_ids, config_.type_vocab_size, "type id");
  }
  return embeddings_(
      batch.ids, batch.type_ids,
      config_.is_roberta() ? roberta_positions(batch.ids, batch.positions, *config_.pad_token_id) : batch.positions);
}

GRAFT_INLINE torch::Tensor BertModelImpl::hidden(const PackedBatch& batch) {
  return encoder_(embed(batch), batch.layout());
}

GRAFT_INLINE torch::Tensor BertModelImpl::first(const PackedBatch& batch) {
  return encoder_->first(embed(batch), batch.layout());
}

GRAFT_COMPILE_FAMILY(BertModel)

}  // namespace graft
