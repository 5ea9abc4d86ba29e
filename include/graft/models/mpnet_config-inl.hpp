#pragma once

#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/detail/encoder_fields.hpp"
#include "graft/models/mpnet_config.hpp"

namespace graft {

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
  config.other = detail::other_fields(json, config.to_json("", ""));
  detail::refuse_fault(detail::encoder_fault(config, /*padding=*/true), where);
  return config;
}

GRAFT_INLINE Json MpnetConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = detail::config_json(other, architecture, dtype, "mpnet");
  detail::write_encoder(*this, json);
  json["relative_attention_num_buckets"] = 32;
  json["pad_token_id"] = padding;
  return json;
}

GRAFT_INLINE void MpnetConfig::check() const {
  if (const std::string fault = detail::encoder_fault(*this, /*padding=*/true); !fault.empty())
    throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE WeightNames MpnetConfig::weight_names() const {
  return {.base = base_name(),
          .heads = {"pooler", "classifier", "qa_outputs", "lm_head"},
          .buffers = {"embeddings.position_ids"}};
}

}  // namespace graft
