#pragma once

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/layers/activation.hpp"

// What the configurations of BERT and MPNet have in common.

namespace graft::detail {

inline constexpr std::int64_t max_config_size = std::int64_t{1} << 20;

inline void refuse_unsupported_encoder(const JsonFields& fields) {
  if (fields.integer("chunk_size_feed_forward", 0, max_config_size, 0) != 0)
    fields.fail("chunk_size_feed_forward", "0; graft does not cut the feed-forward layers");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "absent; graft loads weights of float types only");
}

template <class Config>
void read_encoder_fields(const JsonFields& fields, Config& config) {
  config.hidden_act = fields.text("hidden_act", config.hidden_act);
  try {
    activation_named(config.hidden_act);
  } catch (const OptionError&) {
    fields.fail("hidden_act", "gelu, gelu_new, gelu_pytorch_tanh, relu, silu or tanh");
  }
  const double below_one = std::nextafter(1.0, 0.0);
  config.hidden_dropout_prob = fields.number("hidden_dropout_prob", 0, below_one, config.hidden_dropout_prob);
  config.attention_probs_dropout_prob =
      fields.number("attention_probs_dropout_prob", 0, below_one, config.attention_probs_dropout_prob);
  config.layer_norm_eps = fields.number("layer_norm_eps", 0, 1, config.layer_norm_eps);
  config.initializer_range = fields.number("initializer_range", 0, 1000, config.initializer_range);
}

template <class Config>
void write_encoder_fields(const Config& config, Json& json) {
  json["hidden_act"] = config.hidden_act;
  json["hidden_dropout_prob"] = config.hidden_dropout_prob;
  json["attention_probs_dropout_prob"] = config.attention_probs_dropout_prob;
  json["layer_norm_eps"] = config.layer_norm_eps;
  json["initializer_range"] = config.initializer_range;
}

/// What is wrong with the numbers that both have, or nothing.
template <class Config>
std::string encoder_fault(const Config& config) {
  if (config.hidden_size % config.num_attention_heads != 0)
    return message("num_attention_heads is ", config.num_attention_heads, ", which does not divide hidden_size ",
                   config.hidden_size);
  for (const double dropout : {config.hidden_dropout_prob, config.attention_probs_dropout_prob})
    if (!(dropout >= 0.0 && dropout < 1.0)) return message("dropout is ", dropout, "; choose 0 to below 1");
  return {};
}

}  // namespace graft::detail
