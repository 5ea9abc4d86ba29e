#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/attention.hpp"
#include "graft/layers/embeddings.hpp"
#include "graft/layers/feed_forward.hpp"
#include "graft/layers/init.hpp"
#include "graft/layers/norm.hpp"
#include "graft/layers/pooling.hpp"
#include "graft/models/bert_config.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {

/// Attention and the projection that returns its heads to the residual stream: [T, D] -> [T, D].
/// Children: `self`, `output`.
class BertAttentionImpl : public torch::nn::Module {
 public:
  explicit BertAttentionImpl(const BertConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden, const Offsets& offsets) {
    return output_(self_(hidden, offsets), hidden);
  }

  /// The rows of forward() for each sequence's first token, and no others: [N, D].
  torch::Tensor first(const torch::Tensor& hidden, const Offsets& offsets) {
    return output_(first_tokens(self_(hidden, offsets), offsets.ends), first_tokens(hidden, offsets.ends));
  }

 private:
  SelfAttention self_{nullptr};
  AddNorm output_{nullptr};
};
TORCH_MODULE(BertAttention);

/// One transformer layer, norms after the residuals: [T, D] -> [T, D]. After the attention each row stands alone.
/// Children: `attention`, `intermediate`, `output`.
class BertLayerImpl : public torch::nn::Module {
 public:
  explicit BertLayerImpl(const BertConfig& config);
  torch::Tensor forward(const torch::Tensor& hidden, const Offsets& offsets) {
    return feed_forward(attention_(hidden, offsets));
  }

  /// The rows of forward() for each sequence's first token, and no others: [N, D].
  torch::Tensor first(const torch::Tensor& hidden, const Offsets& offsets) {
    return feed_forward(attention_->first(hidden, offsets));
  }

 private:
  torch::Tensor feed_forward(const torch::Tensor& attended) { return output_(intermediate_(attended), attended); }

  BertAttention attention_{nullptr};
  Dense intermediate_{nullptr};
  AddNorm output_{nullptr};
};
TORCH_MODULE(BertLayer);

/// The layers one after another. Child: `layer`, a list.
class BertEncoderImpl : public torch::nn::Module {
 public:
  explicit BertEncoderImpl(const BertConfig& config);

  /// The hidden state of every token: [T, D] -> [T, D].
  torch::Tensor forward(const torch::Tensor& hidden, const Offsets& offsets);

  /// The hidden state of each sequence's first token: [T, D] -> [N, D]. The last layer computes no other row.
  torch::Tensor first(const torch::Tensor& hidden, const Offsets& offsets);

 private:
  BertLayerImpl& layer(std::size_t i) { return *layers_[i]->as<BertLayerImpl>(); }

  torch::nn::ModuleList layers_;
};
TORCH_MODULE(BertEncoder);

/// What a BERT or an MPNet gives for a batch of T tokens in N sequences.
struct BertStates {
  torch::Tensor hidden;  ///< [T, D]
  torch::Tensor pooled;  ///< [N, D]: tanh of a projection of each sequence's first token; undefined without a pooler
};

/// BERT and RoBERTa encoders on packed tokens, with the modules and parameters of transformers' BertModel and
/// RobertaModel under the same names. A dropped-out BERT draws from LibTorch's default generator of its device.
///
/// Children: `embeddings`, `encoder`, `pooler`.
/// Threads: forward() may run on many at once in evaluation mode, while nothing changes the model.
/// Source: Devlin et al., BERT, arXiv:1810.04805; Liu et al., RoBERTa, arXiv:1907.11692.
class BertModelImpl : public torch::nn::Module {
 public:
  using Config = BertConfig;

  /// A model with fresh weights in float32 on the CPU (initialize_normal()). Throws OptionError as config.check() does.
  explicit BertModelImpl(const BertConfig& config, bool with_pooler = true);

  /// Throws ShapeError for a sequence without tokens or one longer than config().max_tokens(), and OptionError for an
  /// id or type outside the tables; the last two are looked for where the ids lie on the CPU.
  BertStates forward(const PackedBatch& batch);

  torch::Tensor hidden(const PackedBatch& batch);  ///< [T, D]
  torch::Tensor first(const PackedBatch& batch);   ///< [N, D]: hidden states of the first tokens
  torch::Tensor pooled(const PackedBatch& batch);  ///< [N, D]. Throws StateError without a pooler.

  const BertConfig& config() const { return config_; }
  std::string class_name() const { return config_.class_name("BertModel"); }

  /// [V, D]: the weight of the word embeddings, which a language-model head shares.
  const torch::Tensor& word_weight() const { return embeddings_->word_weight(); }

 private:
  torch::Tensor embed(const PackedBatch& batch);

  BertConfig config_;
  TokenEmbeddings embeddings_{nullptr};
  BertEncoder encoder_{nullptr};
  Dense pooler_{nullptr};
};
TORCH_MODULE(BertModel);

/// RoBERTa's positions: tokens other than padding are counted from `padding` + 1, a padding token stands at `padding`.
/// ids, positions (from 0 in each sequence) [T] -> [T].
torch::Tensor roberta_positions(const torch::Tensor& ids, const torch::Tensor& positions, std::int64_t padding);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/bert-inl.hpp"
#endif
