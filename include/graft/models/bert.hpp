#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/attention.hpp"
#include "graft/models/bert_config.hpp"
#include "graft/models/detail/instances.hpp"
#include "graft/models/encoder.hpp"

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
  torch::Tensor first(const torch::Tensor& hidden, const Offsets& offsets);

 private:
  SelfAttention self_{nullptr};
  AddNorm output_{nullptr};
};
TORCH_MODULE(BertAttention);

/// One transformer layer: [T, D] -> [T, D]. After the attention each row stands alone. First child: `attention`.
class BertLayerImpl : public EncoderLayer {
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
  BertAttention attention_{nullptr};
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

/// BERT and RoBERTa encoders on packed tokens, with the modules and parameters of transformers' BertModel and
/// RobertaModel under the same names. A dropped-out BERT draws from LibTorch's default generator of its device.
///
/// Children: `embeddings`, `encoder`, `pooler`.
/// Threads: forward() may run on many at once in evaluation mode, while nothing changes the model.
/// Source: Devlin et al., BERT, arXiv:1810.04805; Liu et al., RoBERTa, arXiv:1907.11692.
class BertModelImpl : public EncoderModel {
 public:
  using Config = BertConfig;

  /// A model with fresh weights in float32 on the CPU (initialize_normal()). Throws OptionError as config.check() does.
  explicit BertModelImpl(const BertConfig& config, bool with_pooler = true);

  GRAFT_INLINE torch::Tensor hidden(const PackedBatch& batch) override;
  GRAFT_INLINE torch::Tensor first(const PackedBatch& batch) override;

  const BertConfig& config() const { return config_; }
  std::string class_name() const { return config_.class_name("BertModel"); }

 private:
  torch::Tensor embed(const PackedBatch& batch);

  BertConfig config_;
  BertEncoder encoder_{nullptr};
};
TORCH_MODULE(BertModel);
GRAFT_FAMILY_IS_COMPILED(BertModel)

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/bert-inl.hpp"
#endif
