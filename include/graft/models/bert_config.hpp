#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/models/encoder_config.hpp"
#include "graft/models/family.hpp"

namespace graft {

/// The sizes and settings of a BERT or RoBERTa encoder, named as in its config.json.
///
/// The two differ in where positions start, in the names of the heads and in the classification head; `model_type` says
/// which it is, everything else is shared. A struct filled in by hand is checked by the model that takes it.
struct BertConfig : EncoderConfig {
  std::string model_type = "bert";  ///< "bert" or "roberta"
  std::int64_t type_vocab_size = 2;
  std::optional<double> classifier_dropout{};    ///< before a head; hidden_dropout_prob if not set
  std::optional<std::int64_t> pad_token_id = 0;  ///< its embedding is never trained; RoBERTa counts positions from it
  bool tie_word_embeddings = true;               ///< whether a masked language model decodes with the word embeddings
  std::vector<std::string> labels{"LABEL_0", "LABEL_1"};  ///< what a classifier's outputs mean, in their order
  std::string labels_fault{};  ///< what is wrong with the labels of a config.json, if anything: no classifier has them
  std::optional<std::string> problem_type{};  ///< regression, single_label_classification or multi_label_classification

  /// Reads a config.json. `where` names it in errors. The sizes and hidden_act must be there; the rest has the defaults
  /// above (pad_token_id 1 for RoBERTa). Throws FormatError: missing fields, all at once; a value outside its range
  /// (sizes as check() has them); a setting that graft does not have: relative positions, decoder, cross attention,
  /// chunking, pruned heads, quantisation. Labels that are not 0, 1, ... in id2label and label2id alike are a fault
  /// only for who asks for them: see labels_fault.
  static BertConfig from_json(const Json& json, const std::string& where);

  /// What from_json() reads, with `architecture` (BertForSequenceClassification, ...) and `dtype` ("float32", ...).
  Json to_json(const std::string& architecture, const std::string& dtype) const;

  /// Throws OptionError if a field leaves its range: sizes 1 to 2^20, but at most 1,024 layers, 2^24 words and 2^22
  /// positions.
  void check() const;

  /// Throws FormatError if there is a labels_fault.
  void require_labels() const;

  bool is_roberta() const { return model_type == "roberta"; }
  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels.size()); }
  double head_dropout() const { return classifier_dropout.value_or(hidden_dropout_prob); }
  /// Longest text that the position table serves.
  std::int64_t max_tokens() const {
    return max_position_embeddings - (is_roberta() ? pad_token_id.value_or(0) + 1 : 0);
  }

  /// Name of the encoder inside a model with a head: "bert" or "roberta".
  const std::string& base_name() const { return model_type; }
  /// "BertForX" as RoBERTa calls it, if it is one.
  std::string class_name(const std::string& bert_name) const;
  WeightNames weight_names() const;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/bert_config-inl.hpp"
#endif
