#pragma once

#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/detail/encoder_fields.hpp"
#include "graft/models/detail/label_fields.hpp"
#include "graft/models/mpnet_config.hpp"

namespace graft {
namespace detail {

/// What is wrong with the numbers of `config`, or nothing.
GRAFT_INLINE std::string fault_of(const MpnetConfig& config) {
  if (std::string fault = encoder_fault(config, /*padding=*/true); !fault.empty()) return fault;
  return labels_fault(config.labels);
}

}  // namespace detail

GRAFT_INLINE MpnetConfig MpnetConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  std::vector<std::string_view> required;
  for (const detail::EncoderSize& size : detail::encoder_sizes) required.push_back(size.name);
  detail::require_fields(fields, required, "an MPNet");
  if (fields.text("model_type", "mpnet") != "mpnet") fields.fail("model_type", "\"mpnet\"");
  if (fields.integer("relative_attention_num_buckets", 1, detail::max_config_size, 32) != 32)
    fields.fail("relative_attention_num_buckets", "32, the only number that transformers computes with");
  MpnetConfig config;
  detail::read_encoder(fields, config, /*padding=*/true);
  try {
    config.labels = detail::read_labels(fields);
  } catch (const FormatError& error) {
    config.labels_fault = error.what();
  }
  config.other = detail::other_fields(json, config.to_json("", ""), {"num_labels"});  // implied by id2label
  detail::refuse_fault(detail::fault_of(config), where);
  return config;
}

GRAFT_INLINE Json MpnetConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = detail::config_json(other, architecture, dtype, "mpnet");
  detail::write_encoder(*this, json);
  json["relative_attention_num_buckets"] = 32;
  json["pad_token_id"] = padding;
  detail::write_labels(labels, json);
  return json;
}

GRAFT_INLINE void MpnetConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE void MpnetConfig::require_labels() const {
  if (!labels_fault.empty()) throw FormatError(labels_fault);
}

GRAFT_INLINE WeightNames MpnetConfig::weight_names() const {
  return {.base = base_name(),
          .heads = {"pooler", "classifier", "qa_outputs", "lm_head"},
          .buffers = {"embeddings.position_ids"}};
}

}  // namespace graft
