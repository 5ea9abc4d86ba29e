#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/bert_config.hpp"
#include "graft/models/detail/encoder_fields.hpp"
#include "graft/models/detail/label_fields.hpp"

namespace graft {
namespace detail {

inline constexpr std::array<std::string_view, 2> bert_families{"bert", "roberta"};
inline constexpr std::array<std::string_view, 3> problem_types{"regression", "single_label_classification",
                                                               "multi_label_classification"};

template <std::size_t n>
bool is_one_of(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// Settings of transformers that change the result and that graft's encoder does not have.
GRAFT_INLINE void refuse_unsupported_bert(const JsonFields& fields) {
  if (const std::string type = fields.text("position_embedding_type", "absolute"); type != "absolute")
    fields.fail("position_embedding_type", "\"absolute\"; graft has no other");
  for (const auto* name : {"is_decoder", "add_cross_attention", "is_encoder_decoder"})
    if (fields.boolean(name, false)) fields.fail(name, "false; graft's BERT is an encoder");
  if (fields.has("pruned_heads") && !fields.value("pruned_heads").empty())
    fields.fail("pruned_heads", "empty; graft does not prune heads");
}

/// What is wrong with the numbers of `config`, or nothing.
GRAFT_INLINE std::string fault_of(const BertConfig& config) {
  if (!is_one_of(bert_families, config.model_type))
    return message("model_type is ", quoted(config.model_type), "; choose ", alternatives(bert_families, false));
  if (const std::string fault = encoder_fault(config, /*padding=*/false); !fault.empty()) return fault;
  if (config.type_vocab_size < 1 || config.type_vocab_size > max_config_size)
    return message("type_vocab_size is ", config.type_vocab_size, "; choose 1 to ", max_config_size);
  if (const std::string fault = dropout_fault({config.head_dropout()}); !fault.empty()) return fault;
  if (config.pad_token_id) {
    if (const std::string fault = id_fault("pad_token_id", *config.pad_token_id, config.vocab_size); !fault.empty())
      return fault;
  } else if (config.is_roberta()) {
    return "pad_token_id is not set; RoBERTa counts its positions from there";
  }
  if (config.max_tokens() < 1)
    return message("max_position_embeddings is ", config.max_position_embeddings,
                   ", which leaves no room for RoBERTa's positions; they start at ", *config.pad_token_id + 1);
  if (const std::string fault = labels_fault(config.labels); !fault.empty()) return fault;
  if (config.problem_type && !is_one_of(problem_types, *config.problem_type))
    return message("problem_type is ", quoted(*config.problem_type), "; choose ", alternatives(problem_types, false));
  return {};
}

}  // namespace detail

GRAFT_INLINE BertConfig BertConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  std::vector<std::string_view> required{"model_type"};
  for (const detail::EncoderSize& size : detail::encoder_sizes) required.push_back(size.name);
  required.insert(required.end(), {"type_vocab_size", "hidden_act"});
  detail::require_fields(fields, required, "a BERT or RoBERTa");
  detail::refuse_unsupported_bert(fields);

  BertConfig config;
  config.model_type = fields.text("model_type");
  if (!detail::is_one_of(detail::bert_families, config.model_type))
    fields.fail("model_type", detail::alternatives(detail::bert_families, true));
  detail::read_encoder(fields, config, /*padding=*/false);
  config.type_vocab_size = fields.integer("type_vocab_size", 1, detail::max_config_size);
  if (fields.has("classifier_dropout"))
    config.classifier_dropout = fields.number("classifier_dropout", 0, std::nextafter(1.0, 0.0));
  if (fields.has("pad_token_id")) {
    config.pad_token_id = fields.integer("pad_token_id", 0, config.vocab_size - 1);
  } else if (config.is_roberta()) {
    config.pad_token_id = 1;
  } else if (json.contains("pad_token_id")) {
    config.pad_token_id.reset();  // null: no padding row
  }
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  try {
    config.labels = detail::read_labels(fields);
  } catch (const FormatError& error) {
    config.labels_fault = error.what();
  }
  if (fields.has("problem_type")) {
    config.problem_type = fields.text("problem_type");
    if (!detail::is_one_of(detail::problem_types, *config.problem_type))
      fields.fail("problem_type", detail::alternatives(detail::problem_types, false));
  }
  config.other = detail::other_fields(json, config.to_json("", ""), {"num_labels"});  // implied by id2label
  detail::refuse_fault(detail::fault_of(config), where);
  return config;
}

GRAFT_INLINE Json BertConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = detail::config_json(other, architecture, dtype, model_type);
  detail::write_encoder(*this, json);
  json["type_vocab_size"] = type_vocab_size;
  json["classifier_dropout"] = classifier_dropout ? Json(*classifier_dropout) : Json();
  json["pad_token_id"] = pad_token_id ? Json(*pad_token_id) : Json();
  json["tie_word_embeddings"] = tie_word_embeddings;
  detail::write_labels(labels, json);
  json["problem_type"] = problem_type ? Json(*problem_type) : Json();
  return json;
}

GRAFT_INLINE void BertConfig::require_labels() const {
  if (!labels_fault.empty()) throw FormatError(labels_fault);
}

GRAFT_INLINE void BertConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE std::string BertConfig::class_name(const std::string& bert_name) const {
  return (is_roberta() ? "Roberta" : "Bert") + bert_name.substr(std::string_view("Bert").size());
}

GRAFT_INLINE WeightNames BertConfig::weight_names() const {
  return {.base = base_name(),
          .heads = {"pooler", "classifier", "qa_outputs", "cls.predictions", "cls.seq_relationship", "lm_head"},
          .tied = {{"cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"},
                   {"cls.predictions.decoder.bias", "cls.predictions.bias"},
                   {"lm_head.decoder.weight", "embeddings.word_embeddings.weight"},
                   {"lm_head.decoder.bias", "lm_head.bias"}},
          .buffers = {"embeddings.position_ids", "embeddings.token_type_ids"}};
}

}  // namespace graft
