#pragma once

#include <algorithm>
#include <vector>

#include "graft/models/mpnet.hpp"

namespace graft {

GRAFT_INLINE MpnetSelfAttentionImpl::MpnetSelfAttentionImpl(const MpnetConfig& config)
    : heads_(config.num_attention_heads),
      dropout_(config.attention_probs_dropout_prob),
      q_(register_module("q", Linear(config.hidden_size, config.hidden_size))),
      k_(register_module("k", Linear(config.hidden_size, config.hidden_size))),
      v_(register_module("v", Linear(config.hidden_size, config.hidden_size))),
      o_(register_module("o", Linear(config.hidden_size, config.hidden_size))) {}

GRAFT_INLINE torch::Tensor MpnetSelfAttentionImpl::forward(const torch::Tensor& x, const torch::Tensor& offsets,
                                                     const torch::Tensor& bias) {
  const auto split = [&](const torch::Tensor& projected) { return projected.unflatten(-1, {heads_, -1}); };
  const AttentionOptions options{.dropout = is_training() ? dropout_ : 0.0};
  const std::vector<torch::Tensor> projected = forward_together(x, q_, k_, v_);
  return o_(
      attention(split(projected[0]), split(projected[1]), split(projected[2]), offsets, options, bias).flatten(-2));
}

GRAFT_INLINE MpnetAttentionImpl::MpnetAttentionImpl(const MpnetConfig& config)
    : attn_(register_module("attn", MpnetSelfAttention(config))),
      norm_(register_module(
          "LayerNorm",
          torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.hidden_size}).eps(config.layer_norm_eps)))),
      dropout_(config.hidden_dropout_prob) {}

GRAFT_INLINE torch::Tensor MpnetAttentionImpl::forward(const torch::Tensor& x, const torch::Tensor& offsets,
                                                 const torch::Tensor& bias) {
  return add_norm(attn_(x, offsets, bias), x, norm_->weight, norm_->bias, norm_->options.eps(),
                  is_training() ? dropout_ : 0.0);
}

GRAFT_INLINE MpnetLayerImpl::MpnetLayerImpl(const MpnetConfig& config)
    : attention_(register_module("attention", MpnetAttention(config))),
      intermediate_(register_module(
          "intermediate", Dense(config.hidden_size, config.intermediate_size, activation_named(config.hidden_act)))),
      output_(register_module("output", AddNorm(config.intermediate_size, config.hidden_size,
                                                config.hidden_dropout_prob, config.layer_norm_eps))) {}

GRAFT_INLINE torch::Tensor MpnetLayerImpl::forward(const torch::Tensor& x, const torch::Tensor& offsets,
                                             const torch::Tensor& bias) {
  const torch::Tensor attended = attention_(x, offsets, bias);
  return output_(intermediate_(attended), attended);
}

GRAFT_INLINE MpnetEncoderImpl::MpnetEncoderImpl(const MpnetConfig& config)
    : layers_(register_module("layer", torch::nn::ModuleList())),
      biases_(register_module("relative_attention_bias",
                              Embedding(torch::nn::EmbeddingOptions(32, config.num_attention_heads)))) {
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) layers_->push_back(MpnetLayer(config));
}

GRAFT_INLINE torch::Tensor MpnetEncoderImpl::forward(const torch::Tensor& x, const torch::Tensor& offsets) {
  const std::int64_t longest = offsets.size(0) > 1 ? offsets.diff().max().item<std::int64_t>() : 1;
  const torch::Tensor buckets = relative_position_buckets(std::max<std::int64_t>(longest, 1)).to(x.device());
  const torch::Tensor bias = biases_(buckets).t();  // [H, 2 R - 1]
  torch::Tensor state = x;
  for (const auto& layer : *layers_) state = layer->as<MpnetLayerImpl>()->forward(state, offsets, bias);
  return state;
}

GRAFT_INLINE MpnetModelImpl::MpnetModelImpl(const MpnetConfig& config, bool with_pooler) : config_(config) {
  config_.check();
  embeddings_ =
      register_module("embeddings", TokenEmbeddings(TokenEmbeddingsOptions{.vocabulary = config.vocab_size,
                                                                           .positions = config.max_position_embeddings,
                                                                           .hidden = config.hidden_size,
                                                                           .padding = MpnetConfig::padding,
                                                                           .padding_position = MpnetConfig::padding,
                                                                           .dropout = config.hidden_dropout_prob,
                                                                           .eps = config.layer_norm_eps}));
  encoder_ = register_module("encoder", MpnetEncoder(config));
  if (with_pooler) pooler_ = register_module("pooler", Dense(config.hidden_size, config.hidden_size, Activation::tanh));
  initialize_normal(*this, config.initializer_range);
}

GRAFT_INLINE torch::Tensor MpnetModelImpl::hidden(const PackedBatch& batch) {
  detail::require_no_limit(batch, "MPNet");
  detail::check_lengths(batch, config_.max_tokens());
  detail::check_in_table(batch.ids, config_.vocab_size, "token id");
  const torch::Tensor positions = roberta_positions(batch.ids, batch.positions, MpnetConfig::padding);
  return encoder_(embeddings_(batch.ids, torch::Tensor(), positions), batch.offsets);
}

GRAFT_INLINE torch::Tensor MpnetModelImpl::pooled(const PackedBatch& batch) {
  if (!pooler_) throw StateError("this model was made without a pooler");
  return pooler_(first_tokens(hidden(batch), batch.offsets));
}

GRAFT_INLINE BertStates MpnetModelImpl::forward(const PackedBatch& batch) {
  BertStates states;
  states.hidden = hidden(batch);
  if (pooler_) states.pooled = pooler_(first_tokens(states.hidden, batch.offsets));
  return states;
}

}  // namespace graft
