#pragma once

#include <algorithm>

#include <torch/nn/modules/normalization.h>

#include "graft/layers/pooling.hpp"
#include "graft/layers/relative_position.hpp"
#include "graft/models/detail/check_ids.hpp"
#include "graft/models/mpnet.hpp"
#include "graft/ops/layer_norm.hpp"

namespace graft {

GRAFT_INLINE MpnetAttentionImpl::MpnetAttentionImpl(const MpnetConfig& config)
    : attn_(register_module("attn", SelfAttention(SelfAttentionOptions{.hidden = config.hidden_size,
                                                                       .heads = config.num_attention_heads,
                                                                       .dropout = config.attention_probs_dropout_prob,
                                                                       .query = "q",
                                                                       .key = "k",
                                                                       .value = "v",
                                                                       .output = "o"}))),
      norm_(register_module("LayerNorm", detail::make_layer_norm(config.hidden_size, config.layer_norm_eps))),
      dropout_(config.hidden_dropout_prob) {}

GRAFT_INLINE torch::Tensor MpnetAttentionImpl::forward(const torch::Tensor& x, const torch::Tensor& offsets,
                                                       const torch::Tensor& bias) {
  return add_norm(attn_(x, offsets, bias), x, norm_->weight, norm_->bias, norm_->options.eps(),
                  is_training() ? dropout_ : 0.0);
}

GRAFT_INLINE MpnetLayerImpl::MpnetLayerImpl(const MpnetConfig& config)
    : attention_(register_module("attention", MpnetAttention(config))) {
  register_feed_forward(config);
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
  finish(config, with_pooler);
}

GRAFT_INLINE torch::Tensor MpnetModelImpl::hidden(const PackedBatch& batch) {
  detail::require_no_limit(batch, "MPNet");
  detail::check_lengths(batch, config_.max_tokens());
  detail::check_in_table(batch.ids, config_.vocab_size, "token id");
  const torch::Tensor positions = roberta_positions(batch.ids, batch.positions, MpnetConfig::padding);
  return encoder_(embeddings_(batch.ids, torch::Tensor(), positions), batch.offsets);
}

GRAFT_INLINE torch::Tensor MpnetModelImpl::first(const PackedBatch& batch) {
  return first_tokens(hidden(batch), batch.offsets);
}

GRAFT_COMPILE_FAMILY(MpnetModel)

}  // namespace graft
