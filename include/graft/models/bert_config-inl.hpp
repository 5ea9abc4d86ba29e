#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/models/bert_config.hpp"
#include "graft/models/detail/encoder_fields.hpp"

namespace graft {
namespace detail {

struct SizeField {
  std::string_view name;
  std::int64_t BertConfig::*member;
  std::int64_t max;
};

/// Limits that no real model reaches and that keep every product of two below 2^63.
inline constexpr std::array<SizeField, 7> size_fields{{
    {"vocab_size", &BertConfig::vocab_size, std::int64_t{1} << 24},
    {"hidden_size", &BertConfig::hidden_size, max_config_size},
    {"num_hidden_layers", &BertConfig::num_hidden_layers, 1024},
    {"num_attention_heads", &BertConfig::num_attention_heads, max_config_size},
    {"intermediate_size", &BertConfig::intermediate_size, max_config_size},
    {"max_position_embeddings", &BertConfig::max_position_embeddings, std::int64_t{1} << 22},
    {"type_vocab_size", &BertConfig::type_vocab_size, max_config_size},
}};

GRAFT_INLINE void require_fields(const JsonFields& fields) {
  std::string missing;
  const auto require = [&](std::string_view name) {
    if (!fields.has(name)) missing += (missing.empty() ? "" : ", ") + quoted(name);
  };
  require("model_type");
  for (const SizeField& field : size_fields) require(field.name);
  require("hidden_act");
  if (!missing.empty())
    throw FormatError(
        message(fields.where(), ": missing ", missing, "; is this the config.json of a BERT or RoBERTa?"));
}

/// Settings of transformers that change the result and that graft's encoder does not have.
GRAFT_INLINE void refuse_unsupported(const JsonFields& fields) {
  if (const std::string type = fields.text("position_embedding_type", "absolute"); type != "absolute")
    fields.fail("position_embedding_type", "\"absolute\"; graft has no other");
  for (const auto* name : {"is_decoder", "add_cross_attention", "is_encoder_decoder"})
    if (fields.boolean(name, false)) fields.fail(name, "false; graft's BERT is an encoder");
  if (fields.has("pruned_heads") && !fields.value("pruned_heads").empty())
    fields.fail("pruned_heads", "empty; graft does not prune heads");
  refuse_unsupported_encoder(fields);
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
  return labels;
}

inline constexpr std::array<std::string_view, 3> problem_types{"regression", "single_label_classification",
                                                               "multi_label_classification"};

GRAFT_INLINE std::string comma_separated(const auto& names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

/// What is wrong with the numbers of `config`, or nothing.
GRAFT_INLINE std::string fault_of(const BertConfig& config) {
  if (config.model_type != "bert" && config.model_type != "roberta")
    return message("model_type is ", quoted(config.model_type), "; choose bert or roberta");
  for (const SizeField& field : size_fields) {
    const std::int64_t value = config.*field.member;
    if (value < 1 || value > field.max) return message(field.name, " is ", value, "; choose 1 to ", field.max);
  }
  if (const std::string fault = encoder_fault(config); !fault.empty()) return fault;
  if (const double dropout = config.head_dropout(); !(dropout >= 0.0 && dropout < 1.0))
    return message("dropout is ", dropout, "; choose 0 to below 1");
  if (config.pad_token_id && (*config.pad_token_id < 0 || *config.pad_token_id >= config.vocab_size))
    return message("pad_token_id is ", *config.pad_token_id, ", but vocab_size is ", config.vocab_size);
  if (config.is_roberta() && !config.pad_token_id)
    return "pad_token_id is not set; RoBERTa counts its positions from there";
  if (config.max_tokens() < 1)
    return message("max_position_embeddings is ", config.max_position_embeddings,
                   ", which leaves no room for RoBERTa's positions; they start at ", *config.pad_token_id + 1);
  if (config.labels.empty() || config.num_labels() > max_config_size)
    return message(config.labels.size(), " labels; choose 1 to ", max_config_size);
  std::vector<std::string> labels = config.labels;
  std::ranges::sort(labels);
  if (const auto twice = std::ranges::adjacent_find(labels); twice != labels.end())
    return message("label ", quoted(*twice), " has two ids");
  if (config.problem_type && std::ranges::find(problem_types, *config.problem_type) == problem_types.end())
    return message("problem_type is ", quoted(*config.problem_type), "; choose ", comma_separated(problem_types));
  return {};
}

}  // namespace detail

GRAFT_INLINE BertConfig BertConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  detail::require_fields(fields);
  detail::refuse_unsupported(fields);

  BertConfig config;
  config.model_type = fields.text("model_type");
  if (config.model_type != "bert" && config.model_type != "roberta")
    fields.fail("model_type", "\"bert\" or \"roberta\"");
  for (const detail::SizeField& field : detail::size_fields)
    config.*field.member = fields.integer(field.name, 1, field.max);
  detail::read_encoder_fields(fields, config);
  if (fields.has("classifier_dropout"))
    config.classifier_dropout = fields.number("classifier_dropout", 0, std::nextafter(1.0, 0.0));
  if (fields.has("pad_token_id")) {
    config.pad_token_id = fields.integer("pad_token_id", 0, config.vocab_size - 1);
  } else if (json.contains("pad_token_id") && !config.is_roberta()) {
    config.pad_token_id.reset();  // null: no padding row
  } else if (config.is_roberta()) {
    config.pad_token_id = 1;
  }
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", true);
  config.labels = detail::read_labels(fields);
  if (fields.has("problem_type")) {
    config.problem_type = fields.text("problem_type");
    if (std::ranges::find(detail::problem_types, *config.problem_type) == detail::problem_types.end())
      fields.fail("problem_type", detail::comma_separated(detail::problem_types));
  }
  const Json known = config.to_json("", "");
  config.other = json;
  for (const auto& [name, value] : known.items()) config.other.erase(name);
  config.other.erase("torch_dtype");  // the older name of dtype
  config.other.erase("num_labels");   // implied by id2label
  if (const std::string fault = detail::fault_of(config); !fault.empty()) throw FormatError(where + ": " + fault);
  return config;
}

GRAFT_INLINE Json BertConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = other;
  json["architectures"] = Json::array({architecture});
  json["dtype"] = dtype;
  json["model_type"] = model_type;
  for (const detail::SizeField& field : detail::size_fields) json[std::string(field.name)] = this->*field.member;
  detail::write_encoder_fields(*this, json);
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

GRAFT_INLINE void BertConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE std::string BertConfig::class_name(const std::string& bert_name) const {
  return (is_roberta() ? "Roberta" : "Bert") + bert_name.substr(std::string_view("Bert").size());
}

GRAFT_INLINE const std::vector<std::string>& BertConfig::head_names() {
  static const std::vector<std::string> names{"pooler",          "classifier",           "qa_outputs",
                                              "cls.predictions", "cls.seq_relationship", "lm_head"};
  return names;
}

GRAFT_INLINE const std::vector<std::pair<std::string, std::string>>& BertConfig::tied_names() {
  static const std::vector<std::pair<std::string, std::string>> names{
      {"cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"},
      {"cls.predictions.decoder.bias", "cls.predictions.bias"},
      {"lm_head.decoder.weight", "embeddings.word_embeddings.weight"},
      {"lm_head.decoder.bias", "lm_head.bias"}};
  return names;
}

}  // namespace graft
