#pragma once

#include <cmath>

#include <nlohmann/json.hpp>

#include "graft/models/detail/encoder_fields.hpp"

namespace graft::detail {

GRAFT_INLINE void read_encoder(const JsonFields& fields, EncoderConfig& config, bool padding) {
  if (fields.integer("chunk_size_feed_forward", 0, max_config_size, 0) != 0)
    fields.fail("chunk_size_feed_forward", "0; graft does not cut the feed-forward layers");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "absent; graft loads weights of float types only");
  for (const EncoderSize& size : encoder_sizes)
    config.*size.member = fields.integer(size.name, padding ? size.least_beside_padding : 1, size.max);
  config.hidden_act = read_activation(fields, "hidden_act", config.hidden_act);
  const double below_one = std::nextafter(1.0, 0.0);
  config.hidden_dropout_prob = fields.number("hidden_dropout_prob", 0, below_one, config.hidden_dropout_prob);
  config.attention_probs_dropout_prob =
      fields.number("attention_probs_dropout_prob", 0, below_one, config.attention_probs_dropout_prob);
  config.layer_norm_eps = fields.number("layer_norm_eps", 0, 1, config.layer_norm_eps);
  config.initializer_range = fields.number("initializer_range", 0, 1000, config.initializer_range);
}

GRAFT_INLINE void write_encoder(const EncoderConfig& config, Json& json) {
  for (const EncoderSize& size : encoder_sizes) json[std::string(size.name)] = config.*size.member;
  json["hidden_act"] = config.hidden_act;
  json["hidden_dropout_prob"] = config.hidden_dropout_prob;
  json["attention_probs_dropout_prob"] = config.attention_probs_dropout_prob;
  json["layer_norm_eps"] = config.layer_norm_eps;
  json["initializer_range"] = config.initializer_range;
}

GRAFT_INLINE std::string encoder_fault(const EncoderConfig& config, bool padding) {
  for (const EncoderSize& size : encoder_sizes) {
    const std::int64_t value = config.*size.member, least = padding ? size.least_beside_padding : 1;
    if (value < least || value > size.max)
      return message(size.name, " is ", value, "; choose ", least, " to ", size.max);
  }
  if (config.hidden_size % config.num_attention_heads != 0)
    return message("num_attention_heads is ", config.num_attention_heads, ", which does not divide hidden_size ",
                   config.hidden_size);
  return dropout_fault({config.hidden_dropout_prob, config.attention_probs_dropout_prob});
}

}  // namespace graft::detail
