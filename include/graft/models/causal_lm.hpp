#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/causal_attention.hpp"
#include "graft/layers/gated_feed_forward.hpp"
#include "graft/layers/kv_cache.hpp"
#include "graft/models/causal_config.hpp"
#include "graft/models/detail/instances.hpp"
#include "graft/tensor/packed.hpp"

namespace torch::nn {
class LayerNormImpl;
}

namespace graft {

/// One layer of Llama, Qwen or Gemma, norms before each half, and in Gemma behind it too: [T, D] -> [T, D].
/// Children: `self_attn`, `mlp`, `input_layernorm`, `post_attention_layernorm`, and in Gemma
/// `pre_feedforward_layernorm`, `post_feedforward_layernorm`.
class LlamaLayerImpl : public torch::nn::Module {
 public:
  LlamaLayerImpl(const CausalConfig& config, std::int64_t layer);
  torch::Tensor forward(const torch::Tensor& hidden, const DecoderInput& input);

 private:
  CausalSelfAttention attention_{nullptr};
  GatedFeedForward mlp_{nullptr};
  RmsNorm input_norm_{nullptr}, after_attention_{nullptr}, before_mlp_{nullptr}, after_mlp_{nullptr};
};
TORCH_MODULE(LlamaLayer);

/// The feed-forward half of a GPT-2 layer: [T, D] -> [T, D]. Children: `c_fc`, `c_proj`.
class Gpt2FeedForwardImpl : public torch::nn::Module {
 public:
  explicit Gpt2FeedForwardImpl(const CausalConfig& config);
  torch::Tensor forward(const torch::Tensor& x) { return c_proj_(activate(activation_, c_fc_(x))); }

 private:
  Linear c_fc_, c_proj_;
  Activation activation_;
};
TORCH_MODULE(Gpt2FeedForward);

/// One layer of GPT-2, norms before each half: [T, D] -> [T, D]. Children: `ln_1`, `attn`, `ln_2`, `mlp`.
class Gpt2LayerImpl : public torch::nn::Module {
 public:
  Gpt2LayerImpl(const CausalConfig& config, std::int64_t layer);
  torch::Tensor forward(const torch::Tensor& hidden, const DecoderInput& input);

 private:
  std::shared_ptr<torch::nn::LayerNormImpl> ln_1_, ln_2_;
  JointSelfAttention attn_{nullptr};
  Gpt2FeedForward mlp_{nullptr};
  double dropout_;
};
TORCH_MODULE(Gpt2Layer);

/// A model's layers between token ids and the last hidden states. The families differ in their children's names.
class CausalDecoder : public torch::nn::Module {
 public:
  /// Whether each layer keeps its input alone for backward; see CausalLMImpl::checkpoint_layers().
  void checkpoint_layers(bool on) { checkpoints_ = on; }
  bool checkpoints_layers() const { return checkpoints_; }

  /// ids, positions [T] int64 -> [T, D], after the last norm, in the type of the norms' weights.
  virtual torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& positions, const torch::Tensor& offsets,
                                KvCache* cache) = 0;
  virtual const Embedding& words() const = 0;  ///< its weight is [V, D]

 private:
  bool checkpoints_ = false;
};

/// Children: `embed_tokens`, `layers`, `norm`.
class LlamaDecoder : public CausalDecoder {
 public:
  explicit LlamaDecoder(const CausalConfig& config);
  GRAFT_INLINE torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& positions,
                                     const torch::Tensor& offsets, KvCache* cache) override;
  const Embedding& words() const override { return embed_tokens_; }

 private:
  CausalConfig config_;
  Embedding embed_tokens_{nullptr};
  torch::nn::ModuleList layers_;
  RmsNorm norm_{nullptr};
};

/// Children: `wte`, `wpe`, `h`, `ln_f`.
class Gpt2Decoder : public CausalDecoder {
 public:
  explicit Gpt2Decoder(const CausalConfig& config);
  GRAFT_INLINE torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& positions,
                                     const torch::Tensor& offsets, KvCache* cache) override;
  const Embedding& words() const override { return wte_; }

 private:
  double dropout_;
  Embedding wte_{nullptr}, wpe_{nullptr};
  torch::nn::ModuleList h_;
  std::shared_ptr<torch::nn::LayerNormImpl> ln_f_;
};

/// Predictions that training judges, ready for cross_entropy(logits, targets).
struct TokenPredictions {
  torch::Tensor logits;   ///< [M, V]
  torch::Tensor targets;  ///< [M] int64
};

/// How likely a model holds tokens that have a label, in the order of the batch.
struct TokenLogProbabilities {
  torch::Tensor values;   ///< [M] natural logarithms, differentiable; float32 for models of 16 bits too
  torch::Tensor offsets;  ///< [N + 1] int64 on the CPU: sequence n has those from offsets[n] to offsets[n + 1] - 1
};

/// A causal language model on packed tokens: Llama, Qwen 2 and 3, Gemma 3 (text), GPT-2, with the modules and
/// parameters of transformers' classes under the same names. graft's linear layers hold [out, in]; GPT-2's files do
/// not, and are turned as they are read and written.
///
/// Children: `model` (GPT-2: `transformer`), and `lm_head` unless its weight is the embeddings'. An adapter on tied
/// embeddings does not reach the head, but for rows of tokens, as in PEFT. Training drops out with LibTorch's default
/// generator. Threads: the functions without a cache may run on many at once in evaluation mode, while nothing changes
/// the model; those with one too, each with its own.
class CausalLMImpl : public torch::nn::Module, public TiedOutput {
 public:
  using Config = CausalConfig;

  /// A model with fresh weights in float32 on the CPU (initialize_normal()). Throws OptionError as config.check() does.
  explicit CausalLMImpl(const CausalConfig& config);

  // All that take a batch throw ShapeError for a sequence without tokens or one longer than
  // config().max_position_embeddings, and OptionError for an id outside the vocabulary, if the ids lie on the CPU.

  /// What follows each token: logits [T, V].
  torch::Tensor forward(const PackedBatch& batch) { return logits(hidden(batch)); }

  /// Hidden states after the last norm, [T, D].
  torch::Tensor hidden(const PackedBatch& batch);

  /// The logits of chosen hidden states only: [M, D] -> [M, V].
  torch::Tensor logits(const torch::Tensor& hidden);

  /// Predictions of the tokens that have a label: labels [T] int64, each the id that stands there, or -100 where the
  /// prediction is not to be judged. Token t is predicted from those before it in its sequence, so the first label of a
  /// sequence never counts. Logits are made of nothing else. Throws ShapeError if labels and batch differ in length,
  /// OptionError for a label that is neither -100 nor an id.
  TokenPredictions predictions(const PackedBatch& batch, const torch::Tensor& labels);

  /// The logarithm of the probability of each token that has a label, as predictions() understands labels, without the
  /// logits of more than a few of them at a time (token_log_probabilities()): what negative_log_likelihood() and the
  /// losses of preferences judge. Throws as predictions() does.
  TokenLogProbabilities log_probabilities(const PackedBatch& batch, const torch::Tensor& labels);

  /// From now on each layer keeps nothing for backward but its input [T, D], and is computed once more when the
  /// gradient comes: see checkpointed(). Gradients stay bit for bit the same, dropout's too; a step takes one forward
  /// pass of the layers more. Adapters chosen by a scope are those of the forward pass. Off at first; without
  /// gradients, and with a cache, it changes nothing.
  void checkpoint_layers(bool on) { decoder_->checkpoint_layers(on); }
  bool checkpoints_layers() const { return decoder_->checkpoints_layers(); }

  /// Runs new tokens of a cache's sequences, whose positions count on from what the cache holds, and keeps them there:
  /// the logits of what follows the last new token of each sequence that has any, [M, V], in their order. Takes no
  /// gradients. Throws ShapeError if batch and cache differ in sequences.
  torch::Tensor next(const PackedBatch& batch, KvCache& cache);

  /// An empty cache for this model.
  KvCache make_cache(std::int64_t sequences, std::int64_t rows = 0) const {
    return KvCache(sequences, config_.num_hidden_layers, rows);
  }

  /// The embeddings' weight [V, D] where it is the head's too; else undefined.
  torch::Tensor tied_weight() const override { return lm_head_ ? torch::Tensor() : decoder_->words()->weight; }

  const CausalConfig& config() const { return config_; }
  std::string class_name() const { return config_.class_name(); }

 private:
  CausalConfig config_;
  std::shared_ptr<CausalDecoder> decoder_;
  Linear lm_head_{nullptr};
};
TORCH_MODULE(CausalLM);
GRAFT_FAMILY_IS_COMPILED(CausalLM)

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/causal_lm-inl.hpp"
#endif
