#pragma once

#include <torch/nn/modules/normalization.h>

#include "graft/core/error.hpp"
#include "graft/layers/init.hpp"
#include "graft/models/heads.hpp"
#include "graft/ops/dropout.hpp"

namespace graft {

GRAFT_INLINE RobertaClassificationHeadImpl::RobertaClassificationHeadImpl(std::int64_t hidden, std::int64_t labels,
                                                                          double dropout)
    : dropout_(dropout) {
  dense_ = register_module("dense", Linear(hidden, hidden));
  out_proj_ = register_module("out_proj", Linear(hidden, labels));
}

GRAFT_INLINE torch::Tensor RobertaClassificationHeadImpl::forward(const torch::Tensor& first) {
  const double p = is_training() ? dropout_ : 0.0;
  return out_proj_(dropout(torch::tanh(dense_(dropout(first, p))), p));
}

GRAFT_INLINE BertForSequenceClassificationImpl::BertForSequenceClassificationImpl(const BertConfig& config)
    : BertForSequenceClassificationImpl(BertModel(config, /*with_pooler=*/!config.is_roberta()), config.labels) {
  config.require_labels();
}

GRAFT_INLINE BertForSequenceClassificationImpl::BertForSequenceClassificationImpl(BertModel encoder,
                                                                                  std::vector<std::string> labels)
    : config_(encoder->config()) {
  config_.labels = std::move(labels);
  encoder_ = register_module(config_.base_name(), std::move(encoder));
  if (config_.is_roberta()) {
    roberta_classifier_ = register_module(
        "classifier", RobertaClassificationHead(config_.hidden_size, config_.num_labels(), config_.head_dropout()));
    initialize_normal(*roberta_classifier_, config_.initializer_range);
  } else {
    classifier_ = register_module("classifier", Linear(config_.hidden_size, config_.num_labels()));
    initialize_normal(*classifier_, config_.initializer_range);
  }
}

GRAFT_INLINE torch::Tensor BertForSequenceClassificationImpl::features(const PackedBatch& batch) {
  return roberta_classifier_ ? encoder_->first(batch) : encoder_->pooled(batch);
}

GRAFT_INLINE torch::Tensor BertForSequenceClassificationImpl::classify(const torch::Tensor& features) {
  if (roberta_classifier_) return roberta_classifier_(features);
  return classifier_(dropout(features, is_training() ? config().head_dropout() : 0.0));
}

GRAFT_INLINE BertForTokenClassificationImpl::BertForTokenClassificationImpl(const BertConfig& config) {
  config.require_labels();
  encoder_ = register_module(config.base_name(), BertModel(config, /*with_pooler=*/false));
  classifier_ = register_module("classifier", Linear(config.hidden_size, config.num_labels()));
  initialize_normal(*classifier_, config.initializer_range);
}

GRAFT_INLINE torch::Tensor BertForTokenClassificationImpl::forward(const PackedBatch& batch) {
  return classifier_(dropout(encoder_->hidden(batch), is_training() ? config().head_dropout() : 0.0));
}

GRAFT_INLINE BertForQuestionAnsweringImpl::BertForQuestionAnsweringImpl(const BertConfig& config) {
  if (config.num_labels() != 2)
    throw OptionError(message("question answering has a start and an end, but the configuration has ",
                              config.num_labels(), " labels; set two"));
  encoder_ = register_module(config.base_name(), BertModel(config, /*with_pooler=*/false));
  qa_outputs_ = register_module("qa_outputs", Linear(config.hidden_size, 2));
  initialize_normal(*qa_outputs_, config.initializer_range);
}

GRAFT_INLINE torch::Tensor BertForQuestionAnsweringImpl::forward(const PackedBatch& batch) {
  return qa_outputs_(encoder_->hidden(batch));
}

GRAFT_INLINE BertForMaskedLMImpl::BertForMaskedLMImpl(const BertConfig& config)
    // RoBERTa's head has the exact gelu, whatever its layers have.
    : activation_(config.is_roberta() ? Activation::gelu : activation_named(config.hidden_act)) {
  if (!config.tie_word_embeddings)
    throw OptionError("tie_word_embeddings is false; graft's masked language model decodes with the word embeddings");
  encoder_ = register_module(config.base_name(), BertModel(config, /*with_pooler=*/false));
  dense_ = Linear(config.hidden_size, config.hidden_size);
  norm_ = detail::make_layer_norm(config.hidden_size, config.layer_norm_eps);
  initialize_normal(*dense_, config.initializer_range);

  const auto group = [](torch::nn::Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>());
  };
  std::shared_ptr<torch::nn::Module> head;
  if (config.is_roberta()) {
    head = group(*this, "lm_head");
    head->register_module("dense", dense_);
    head->register_module("layer_norm", norm_);
  } else {
    head = group(*group(*this, "cls"), "predictions");
    const auto transform = group(*head, "transform");
    transform->register_module("dense", dense_);
    transform->register_module("LayerNorm", norm_);
  }
  bias_ = head->register_parameter("bias", torch::zeros({config.vocab_size}));
}

GRAFT_INLINE torch::Tensor BertForMaskedLMImpl::predict(const torch::Tensor& hidden) {
  return encoder_->words()->tied_output(norm_->forward(activate(activation_, dense_(hidden)))) + bias_;
}

GRAFT_COMPILE_FAMILY(BertForSequenceClassification)
GRAFT_COMPILE_FAMILY(BertForTokenClassification)
GRAFT_COMPILE_FAMILY(BertForQuestionAnswering)
GRAFT_COMPILE_FAMILY(BertForMaskedLM)

}  // namespace graft
