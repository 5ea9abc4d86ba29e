#pragma once

#include <array>
#include <cmath>

#include "graft/models/mpnet_config.hpp"

namespace graft {
namespace detail {

struct MpnetSize {
  std::string_view name;
  std::int64_t MpnetConfig::*member;
  std::int64_t min, max;
};

/// Limits that no real model reaches and that keep every product of two below 2^63.
inline constexpr std::array<MpnetSize, 6> mpnet_sizes{{
    {"vocab_size", &MpnetConfig::vocab_size, MpnetConfig::padding + 1, std::int64_t{1} << 24},
    {"hidden_size", &MpnetConfig::hidden_size, 1, std::int64_t{1} << 20},
    {"num_hidden_layers", &MpnetConfig::num_hidden_layers, 1, 1024},
    {"num_attention_heads", &MpnetConfig::num_attention_heads, 1, std::int64_t{1} << 20},
    {"intermediate_size", &MpnetConfig::intermediate_size, 1, std::int64_t{1} << 20},
    {"max_position_embeddings", &MpnetConfig::max_position_embeddings, MpnetConfig::padding + 2, std::int64_t{1} << 22},
}};

/// What is wrong with the numbers of `config`, or nothing.
inline std::string fault_of(const MpnetConfig& config) {
  for (const MpnetSize& size : mpnet_sizes) {
    const std::int64_t value = config.*size.member;
    if (value < size.min || value > size.max)
      return message(size.name, " is ", value, "; choose ", size.min, " to ", size.max);
  }
  if (config.hidden_size % config.num_attention_heads != 0)
    return message("num_attention_heads is ", config.num_attention_heads, ", which does not divide hidden_size ",
                   config.hidden_size);
  for (const double dropout : {config.hidden_dropout_prob, config.attention_probs_dropout_prob})
    if (!(dropout >= 0.0 && dropout < 1.0)) return message("dropout is ", dropout, "; choose 0 to below 1");
  return {};
}

}  // namespace detail

inline MpnetConfig MpnetConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  std::string missing;
  for (const detail::MpnetSize& size : detail::mpnet_sizes)
    if (!fields.has(size.name)) missing += (missing.empty() ? "" : ", ") + quoted(size.name);
  if (!missing.empty())
    throw FormatError(message(where, ": missing ", missing, "; is this the config.json of an MPNet?"));
  if (fields.text("model_type", "mpnet") != "mpnet") fields.fail("model_type", "\"mpnet\"");
  if (fields.integer("relative_attention_num_buckets", 1, std::int64_t{1} << 20, 32) != 32)
    fields.fail("relative_attention_num_buckets", "32, the only number that transformers computes with");
  if (fields.integer("chunk_size_feed_forward", 0, std::int64_t{1} << 20, 0) != 0)
    fields.fail("chunk_size_feed_forward", "0; graft does not cut the feed-forward layers");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "absent; graft loads weights of float types only");

  MpnetConfig config;
  for (const detail::MpnetSize& size : detail::mpnet_sizes)
    config.*size.member = fields.integer(size.name, size.min, size.max);
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
  const Json known = config.to_json("", "");
  config.other = json;
  for (const auto& [name, value] : known.items()) config.other.erase(name);
  config.other.erase("torch_dtype");  // the older name of dtype
  if (const std::string fault = detail::fault_of(config); !fault.empty()) throw FormatError(where + ": " + fault);
  return config;
}

inline Json MpnetConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = other;
  json["architectures"] = Json::array({architecture});
  json["dtype"] = dtype;
  json["model_type"] = "mpnet";
  for (const detail::MpnetSize& size : detail::mpnet_sizes) json[std::string(size.name)] = this->*size.member;
  json["hidden_act"] = hidden_act;
  json["hidden_dropout_prob"] = hidden_dropout_prob;
  json["attention_probs_dropout_prob"] = attention_probs_dropout_prob;
  json["layer_norm_eps"] = layer_norm_eps;
  json["initializer_range"] = initializer_range;
  json["relative_attention_num_buckets"] = 32;
  json["pad_token_id"] = padding;
  return json;
}

inline void MpnetConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

}  // namespace graft
