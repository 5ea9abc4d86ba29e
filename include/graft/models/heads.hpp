#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/activation.hpp"
#include "graft/models/bert.hpp"

namespace graft {

/// RoBERTa's and MPNet's head for whole sequences:  out_proj(dropout(tanh(dense(dropout(x)))))
/// First tokens [N, D] -> logits [N, C]. Children: `dense`, `out_proj`.
class RobertaClassificationHeadImpl : public torch::nn::Module {
 public:
  RobertaClassificationHeadImpl(std::int64_t hidden, std::int64_t labels, double dropout);
  torch::Tensor forward(const torch::Tensor& first);

 private:
  Linear dense_{nullptr}, out_proj_{nullptr};
  double dropout_;
};
TORCH_MODULE(RobertaClassificationHead);

/// One class, or one number, for each sequence: logits [N, C], C = config().num_labels().
/// Children: `bert` with a pooler and `classifier`; or `roberta` without one and its `classifier`.
class BertForSequenceClassificationImpl : public torch::nn::Module {
 public:
  using Config = BertConfig;
  explicit BertForSequenceClassificationImpl(const BertConfig& config);

  /// A fresh head with these labels on an encoder that is there and that other models may share, such as one for each
  /// adapter of a base. The encoder must have a pooler, or be RoBERTa's without one.
  BertForSequenceClassificationImpl(BertModel encoder, std::vector<std::string> labels);

  torch::Tensor forward(const PackedBatch& batch) { return classify(features(batch)); }

  /// The two halves of forward(): what the encoder gives for each sequence, [N, D], and its logits, [N, C].
  torch::Tensor features(const PackedBatch& batch);
  torch::Tensor classify(const torch::Tensor& features);

  const BertConfig& config() const { return config_; }
  const BertModel& encoder() const { return encoder_; }
  std::string class_name() const { return config().class_name("BertForSequenceClassification"); }

 private:
  BertConfig config_;
  BertModel encoder_{nullptr};
  Linear classifier_{nullptr};
  RobertaClassificationHead roberta_classifier_{nullptr};
};
TORCH_MODULE(BertForSequenceClassification);
GRAFT_FAMILY_IS_COMPILED(BertForSequenceClassification)

/// One class for each token: logits [T, C]. Children: `bert` or `roberta`, `classifier`.
class BertForTokenClassificationImpl : public torch::nn::Module {
 public:
  using Config = BertConfig;
  explicit BertForTokenClassificationImpl(const BertConfig& config);

  torch::Tensor forward(const PackedBatch& batch);

  const BertConfig& config() const { return encoder_->config(); }
  std::string class_name() const { return config().class_name("BertForTokenClassification"); }

 private:
  BertModel encoder_{nullptr};
  Linear classifier_{nullptr};
};
TORCH_MODULE(BertForTokenClassification);
GRAFT_FAMILY_IS_COMPILED(BertForTokenClassification)

/// Where an answer starts and ends in each sequence: logits [T, 2], a column for the start and one for the end, to be
/// compared within a sequence. Children: `bert` or `roberta`, `qa_outputs`.
class BertForQuestionAnsweringImpl : public torch::nn::Module {
 public:
  using Config = BertConfig;
  /// Throws OptionError if the configuration does not have two labels.
  explicit BertForQuestionAnsweringImpl(const BertConfig& config);

  torch::Tensor forward(const PackedBatch& batch);

  const BertConfig& config() const { return encoder_->config(); }
  std::string class_name() const { return config().class_name("BertForQuestionAnswering"); }

 private:
  BertModel encoder_{nullptr};
  Linear qa_outputs_{nullptr};
};
TORCH_MODULE(BertForQuestionAnswering);
GRAFT_FAMILY_IS_COMPILED(BertForQuestionAnswering)

/// Which word each token was: logits [T, V], by the word embeddings and a bias of their own.
/// Children: `bert` and `cls.predictions`, or `roberta` and `lm_head`. There is no module for the decoder: an adapter
/// on the word embeddings does not reach it, as in PEFT.
class BertForMaskedLMImpl : public torch::nn::Module, public TiedOutput {
 public:
  using Config = BertConfig;
  /// Throws OptionError if the configuration does not tie the word embeddings.
  explicit BertForMaskedLMImpl(const BertConfig& config);

  torch::Tensor forward(const PackedBatch& batch) { return predict(encoder_->hidden(batch)); }

  /// The logits of chosen tokens only, which saves V products for each of the others: hidden [M, D] -> [M, V].
  torch::Tensor predict(const torch::Tensor& hidden);

  torch::Tensor tied_weight() const override { return encoder_->words()->weight; }

  BertModel encoder() const { return encoder_; }
  const BertConfig& config() const { return encoder_->config(); }
  std::string class_name() const { return config().class_name("BertForMaskedLM"); }

 private:
  BertModel encoder_{nullptr};
  Linear dense_{nullptr};
  std::shared_ptr<torch::nn::LayerNormImpl> norm_;
  torch::Tensor bias_;
  Activation activation_;
};
TORCH_MODULE(BertForMaskedLM);
GRAFT_FAMILY_IS_COMPILED(BertForMaskedLM)

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/heads-inl.hpp"
#endif
