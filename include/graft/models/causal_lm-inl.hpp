#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include <torch/nn/modules/normalization.h>

#include "graft/adapters/selection.hpp"
#include "graft/layers/add_norm.hpp"
#include "graft/layers/init.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/detail/check_ids.hpp"
#include "graft/ops/activation_checkpoint.hpp"
#include "graft/ops/dropout.hpp"
#include "graft/ops/layer_norm.hpp"
#include "graft/ops/linear.hpp"
#include "graft/ops/token_log_probabilities.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE CausalAttentionOptions attention_options(const CausalConfig& config, std::int64_t layer) {
  CausalAttentionOptions options{.layer = layer,
                                 .hidden = config.hidden_size,
                                 .heads = config.num_attention_heads,
                                 .key_heads = config.num_key_value_heads,
                                 .head_size = config.head_dim,
                                 .scale = config.scale(layer),
                                 .window = config.window(layer),
                                 .dropout = config.attention_dropout,
                                 .bias = config.attention_bias,
                                 .output_bias = config.attention_output_bias};
  if (config.family().head_norms) options.head_norm_eps = config.norm_eps;
  options.norm_offset = config.family().norm_offset;
  return options;
}

GRAFT_INLINE RmsNorm make_norm(const CausalConfig& config) {
  return RmsNorm(config.hidden_size, config.norm_eps, config.family().norm_offset);
}

GRAFT_INLINE torch::Tensor apply(const torch::nn::LayerNormImpl& norm, const torch::Tensor& x) {
  return layer_norm(x, norm.weight, norm.bias, norm.options.eps());
}

GRAFT_INLINE void check_causal_batch(const PackedBatch& batch, const CausalConfig& config, const KvCache* cache) {
  require_no_limit(batch, "a causal language model");
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < batch.sequences(); ++n) {
    const std::int64_t length = offsets[n + 1] - offsets[n];
    const std::int64_t held = cache ? cache->length(n) : 0;
    if (length < 1 && !cache) throw ShapeError(message("sequence ", n, " of the batch has no token; leave it out"));
    if (held + length > config.max_position_embeddings)
      throw ShapeError(message("sequence ", n, " of the batch comes to ", held + length, " tokens; the model takes ",
                               config.max_position_embeddings, ". Give it a shorter text"));
  }
  check_in_table(batch.ids, config.vocab_size, "token id");
}

struct LabelledRows {
  torch::Tensor rows, targets;  // [M] int64: where predictions with a label stand, and the labels
  torch::Tensor offsets;        // [N + 1] int64 on the CPU: where those of each sequence end
};

GRAFT_INLINE LabelledRows labelled_rows(const PackedBatch& batch, const torch::Tensor& labels,
                                        std::int64_t vocabulary) {
  require_no_limit(batch, "a causal language model");
  if (labels.dim() != 1 || labels.size(0) != batch.tokens() || labels.scalar_type() != torch::kInt64)
    throw ShapeError(message("labels are ", labels.sizes(), " of type ", c10::toString(labels.scalar_type()), " for ",
                             batch.tokens(), " tokens; give one int64 a token"));
  const torch::Tensor on_cpu = labels.to(torch::kCPU).contiguous();
  const auto* label = on_cpu.const_data_ptr<std::int64_t>();
  const auto* ends = batch.offsets.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> rows, targets, offsets{0};
  for (std::int64_t n = 0; n < batch.sequences(); ++n) {
    for (std::int64_t t = ends[n]; t < ends[n + 1]; ++t) {
      if (label[t] == -100) continue;
      if (label[t] < 0 || label[t] >= vocabulary)
        throw OptionError(message("label ", label[t], " at token ", t, " of the batch; give an id from 0 to ",
                                  vocabulary - 1, ", or -100 where nothing is to be judged"));
      if (t == ends[n]) continue;
      rows.push_back(t - 1);
      targets.push_back(label[t]);
    }
    offsets.push_back(static_cast<std::int64_t>(rows.size()));
  }
  const torch::Device device = labels.device();
  return {torch::tensor(rows, torch::kInt64).to(device), torch::tensor(targets, torch::kInt64).to(device),
          torch::tensor(offsets, torch::kInt64)};
}

/// layer(hidden), keeping for backward all that it needs, or `hidden` alone.
template <class Layer>
torch::Tensor run_layer(const std::shared_ptr<torch::nn::Module>& module, const torch::Tensor& hidden,
                        const DecoderInput& input, bool checkpoints) {
  auto* layer = module->as<Layer>();
  if (!checkpoints || input.cache || !torch::GradMode::is_enabled()) return layer->forward(hidden, input);
  return checkpointed(
      [module, layer, input, selection = AdapterSelection::in_force()](const torch::Tensor& x) {
        const AdapterScope scope(selection);
        return layer->forward(x, input);
      },
      hidden);
}

}  // namespace detail

GRAFT_INLINE LlamaLayerImpl::LlamaLayerImpl(const CausalConfig& config, std::int64_t layer) {
  attention_ = register_module("self_attn", CausalSelfAttention(detail::attention_options(config, layer)));
  mlp_ = register_module("mlp", GatedFeedForward(config.hidden_size, config.intermediate_size,
                                                 activation_named(config.hidden_act), config.mlp_bias));
  input_norm_ = register_module("input_layernorm", detail::make_norm(config));
  const RmsNorm between = register_module("post_attention_layernorm", detail::make_norm(config));
  if (!config.family().norms_behind) {
    before_mlp_ = between;
    return;
  }
  after_attention_ = between;
  before_mlp_ = register_module("pre_feedforward_layernorm", detail::make_norm(config));
  after_mlp_ = register_module("post_feedforward_layernorm", detail::make_norm(config));
}

GRAFT_INLINE torch::Tensor LlamaLayerImpl::forward(const torch::Tensor& hidden, const DecoderInput& input) {
  torch::Tensor half = attention_(input_norm_(hidden), input);
  if (after_attention_) half = after_attention_(half);
  const torch::Tensor attended = hidden + half;
  half = mlp_(before_mlp_(attended));
  if (after_mlp_) half = after_mlp_(half);
  return attended + half;
}

GRAFT_INLINE Gpt2FeedForwardImpl::Gpt2FeedForwardImpl(const CausalConfig& config)
    : c_fc_(register_module(
          "c_fc",
          Linear(torch::nn::LinearOptions(config.hidden_size, config.intermediate_size).bias(config.mlp_bias)))),
      c_proj_(register_module(
          "c_proj",
          Linear(torch::nn::LinearOptions(config.intermediate_size, config.hidden_size).bias(config.mlp_bias)))),
      activation_(activation_named(config.hidden_act)) {}

GRAFT_INLINE Gpt2LayerImpl::Gpt2LayerImpl(const CausalConfig& config, std::int64_t layer)
    : dropout_(config.hidden_dropout) {
  ln_1_ = register_module("ln_1", detail::make_layer_norm(config.hidden_size, config.norm_eps));
  attn_ = register_module("attn", JointSelfAttention(detail::attention_options(config, layer)));
  ln_2_ = register_module("ln_2", detail::make_layer_norm(config.hidden_size, config.norm_eps));
  mlp_ = register_module("mlp", Gpt2FeedForward(config));
}

GRAFT_INLINE torch::Tensor Gpt2LayerImpl::forward(const torch::Tensor& hidden, const DecoderInput& input) {
  const double p = is_training() ? dropout_ : 0.0;
  const torch::Tensor attended = hidden + dropout(attn_(detail::apply(*ln_1_, hidden), input), p);
  return attended + dropout(mlp_(detail::apply(*ln_2_, attended)), p);
}

GRAFT_INLINE LlamaDecoder::LlamaDecoder(const CausalConfig& config) : config_(config) {
  embed_tokens_ = register_module(
      "embed_tokens",
      Embedding(torch::nn::EmbeddingOptions(config.vocab_size, config.hidden_size).padding_idx(config.pad_token_id)));
  register_module("layers", layers_);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) layers_->push_back(LlamaLayer(config, i));
  norm_ = register_module("norm", detail::make_norm(config));
}

GRAFT_INLINE torch::Tensor LlamaDecoder::forward(const torch::Tensor& ids, const torch::Tensor& positions,
                                                 const torch::Tensor& offsets, KvCache* cache) {
  torch::Tensor hidden = embed_tokens_(ids).to(norm_->weight().scalar_type());
  if (config_.family().scaled_embeddings) {
    const double root = std::sqrt(static_cast<double>(config_.hidden_size));
    hidden = hidden * torch::full({}, root, hidden.options().requires_grad(false));  // rounded to the model's type
  }
  DecoderInput input{.offsets = offsets, .cache = cache};
  input.angles = rotary_angles(positions, config_.head_dim, config_.rope, hidden.scalar_type());
  input.window_angles = config_.local_rope == config_.rope
                            ? input.angles
                            : rotary_angles(positions, config_.head_dim, config_.local_rope, hidden.scalar_type());
  for (const auto& layer : *layers_)
    hidden = detail::run_layer<LlamaLayerImpl>(layer, hidden, input, checkpoints_layers());
  return norm_(hidden);
}

GRAFT_INLINE Gpt2Decoder::Gpt2Decoder(const CausalConfig& config) : dropout_(config.embedding_dropout) {
  wte_ = register_module("wte", Embedding(config.vocab_size, config.hidden_size));
  wpe_ = register_module("wpe", Embedding(config.max_position_embeddings, config.hidden_size));
  register_module("h", h_);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) h_->push_back(Gpt2Layer(config, i));
  ln_f_ = register_module("ln_f", detail::make_layer_norm(config.hidden_size, config.norm_eps));
}

GRAFT_INLINE torch::Tensor Gpt2Decoder::forward(const torch::Tensor& ids, const torch::Tensor& positions,
                                                const torch::Tensor& offsets, KvCache* cache) {
  const torch::Tensor words = wte_(ids).to(ln_f_->weight.scalar_type());
  torch::Tensor hidden = dropout(words + wpe_(positions), is_training() ? dropout_ : 0.0);
  const DecoderInput input{.offsets = offsets, .cache = cache};
  for (const auto& layer : *h_) hidden = detail::run_layer<Gpt2LayerImpl>(layer, hidden, input, checkpoints_layers());
  return detail::apply(*ln_f_, hidden);
}

GRAFT_INLINE CausalLMImpl::CausalLMImpl(const CausalConfig& config) : config_(config) {
  config_.check();
  switch (config_.family().layers) {
    case CausalFamily::Layers::llama:
      decoder_ = std::make_shared<LlamaDecoder>(config_);
      break;
    case CausalFamily::Layers::gpt2:
      decoder_ = std::make_shared<Gpt2Decoder>(config_);
  }
  register_module(config_.base_name(), decoder_);
  if (!config_.tie_word_embeddings) {
    lm_head_ = register_module("lm_head",
                               Linear(torch::nn::LinearOptions(config_.hidden_size, config_.vocab_size).bias(false)));
  }
  initialize_normal(*this, config_.initializer_range);
}

GRAFT_INLINE torch::Tensor CausalLMImpl::hidden(const PackedBatch& batch) {
  detail::check_causal_batch(batch, config_, nullptr);
  return decoder_->forward(batch.ids, batch.positions, batch.offsets, nullptr);
}

GRAFT_INLINE torch::Tensor CausalLMImpl::logits(const torch::Tensor& hidden) {
  return lm_head_ ? lm_head_(hidden) : decoder_->words()->tied_output(hidden);
}

GRAFT_INLINE TokenPredictions CausalLMImpl::predictions(const PackedBatch& batch, const torch::Tensor& labels) {
  const detail::LabelledRows labelled = detail::labelled_rows(batch, labels, config_.vocab_size);
  return {logits(hidden(batch).index_select(0, labelled.rows)), labelled.targets};
}

GRAFT_INLINE TokenLogProbabilities CausalLMImpl::log_probabilities(const PackedBatch& batch,
                                                                   const torch::Tensor& labels) {
  const detail::LabelledRows labelled = detail::labelled_rows(batch, labels, config_.vocab_size);
  const torch::Tensor judged = hidden(batch).index_select(0, labelled.rows);
  const LanguageHead head = [this, selection = AdapterSelection::in_force()](const torch::Tensor& part) {
    const AdapterScope scope(selection);
    return logits(part);
  };
  return {token_log_probabilities(judged, labelled.targets, head, rows_of_logits(config_.vocab_size)),
          labelled.offsets};
}

GRAFT_INLINE torch::Tensor CausalLMImpl::next(const PackedBatch& batch, KvCache& cache) {
  const torch::NoGradGuard no_grad;
  if (batch.sequences() != cache.sequences() || cache.layers() != config_.num_hidden_layers)
    throw ShapeError(message("a batch of ", batch.sequences(), " sequences for a model of ", config_.num_hidden_layers,
                             " layers, with a cache of ", cache.sequences(), " and ", cache.layers(), " layers"));
  detail::check_causal_batch(batch, config_, &cache);
  cache.begin(batch.offsets);
  const torch::Tensor hidden =
      decoder_->forward(batch.ids, cache.shifted(batch.positions, batch.offsets), batch.offsets, &cache);
  cache.commit();
  const torch::Tensor ends = batch.offsets.slice(0, 1);
  const torch::Tensor last = ends.masked_select(batch.offsets.diff() > 0) - 1;
  return logits(hidden.index_select(0, last.to(hidden.device())));
}

GRAFT_COMPILE_FAMILY(CausalLM)

}  // namespace graft
