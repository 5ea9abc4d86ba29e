#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/bert_config.hpp"
#include "graft/models/detail/encoder_fields.hpp"

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

/// The labels in the order of their ids, from id2label, label2id or num_labels, which must not contradict each other.
GRAFT_INLINE std::vector<std::string> read_labels(const JsonFields& fields) {
  const std::int64_t count = fields.integer("num_labels", 1, max_config_size, 0);
  std::vector<std::string> labels;
  if (fields.has("id2label")) {
    const JsonFields names = fields.object("id2label");
    if (names.json().empty()) fields.fail("id2label", "an object with at least one label");
    for (std::size_t id = 0; id < names.json().size(); ++id) {
      if (!names.has(std::to_string(id)))
        throw FormatError(message(names.where(), ": no label ", id, " among ", names.json().size(),
                                  "; the ids must be 0, 1, 2, ..."));
      labels.push_back(names.text(std::to_string(id)));
    }
  } else if (fields.has("label2id")) {
    const JsonFields ids = fields.object("label2id");
    const auto size = static_cast<std::int64_t>(ids.json().size());
    if (size == 0) fields.fail("label2id", "an object with at least one label");
    labels.resize(ids.json().size());
    std::vector<bool> taken(labels.size());
    for (const auto& [label, value] : ids.json().items()) {
      const auto id = static_cast<std::size_t>(ids.integer(label, 0, size - 1));
      if (taken[id])
        throw FormatError(message(ids.where(), ": id ", id, " has two labels, one of them ", quoted(label)));
      taken[id] = true;
      labels[id] = label;
    }
  } else {
    for (std::int64_t id = 0; id < (count ? count : 2); ++id) labels.push_back("LABEL_" + std::to_string(id));
  }
  if (count != 0 && count != static_cast<std::int64_t>(labels.size()))
    throw FormatError(message(fields.where(), ": \"num_labels\" is ", count, ", but ", labels.size(),
                              " labels are named; take one of the two out"));
  if (fields.has("id2label") && fields.has("label2id")) {
    const JsonFields ids = fields.object("label2id");
    for (const auto& [label, value] : ids.json().items()) {
      const std::int64_t id = ids.integer(label, 0, static_cast<std::int64_t>(labels.size()) - 1);
      if (labels[static_cast<std::size_t>(id)] != label)
        throw FormatError(message(ids.where(), ": ", quoted(label), " is ", id, ", but \"id2label\" calls that ",
                                  quoted(labels[static_cast<std::size_t>(id)])));
    }
  }
  for (auto label = labels.begin(); label != labels.end(); ++label) {
    if (std::find(labels.begin(), label, *label) != label)
      throw FormatError(message(fields.where(), ": label ", quoted(*label), " has two ids"));
  }
  return labels;
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
  if (config.labels.empty() || config.num_labels() > max_config_size)
    return message(config.labels.size(), " labels; choose 1 to ", max_config_size);
  std::vector<std::string> labels = config.labels;
  std::ranges::sort(labels);
  if (const auto twice = std::ranges::adjacent_find(labels); twice != labels.end())
    return message("label ", quoted(*twice), " has two ids");
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
  json["id2label"] = Json::object();
  json["label2id"] = Json::object();
  for (std::size_t id = 0; id < labels.size(); ++id) {
    json["id2label"][std::to_string(id)] = labels[id];
    json["label2id"][labels[id]] = id;
  }
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
