#pragma once

#include <array>

#include <nlohmann/json.hpp>

#include "graft/models/detail/encoder_fields.hpp"
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
    {"hidden_size", &MpnetConfig::hidden_size, 1, max_config_size},
    {"num_hidden_layers", &MpnetConfig::num_hidden_layers, 1, 1024},
    {"num_attention_heads", &MpnetConfig::num_attention_heads, 1, max_config_size},
    {"intermediate_size", &MpnetConfig::intermediate_size, 1, max_config_size},
    {"max_position_embeddings", &MpnetConfig::max_position_embeddings, MpnetConfig::padding + 2, std::int64_t{1} << 22},
}};

/// What is wrong with the numbers of `config`, or nothing.
GRAFT_INLINE std::string fault_of(const MpnetConfig& config) {
  for (const MpnetSize& size : mpnet_sizes) {
    const std::int64_t value = config.*size.member;
    if (value < size.min || value > size.max)
      return message(size.name, " is ", value, "; choose ", size.min, " to ", size.max);
  }
  return encoder_fault(config);
}

}  // namespace detail

GRAFT_INLINE MpnetConfig MpnetConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  std::string missing;
  for (const detail::MpnetSize& size : detail::mpnet_sizes)
    if (!fields.has(size.name)) missing += (missing.empty() ? "" : ", ") + quoted(size.name);
  if (!missing.empty())
    throw FormatError(message(where, ": missing ", missing, "; is this the config.json of an MPNet?"));
  if (fields.text("model_type", "mpnet") != "mpnet") fields.fail("model_type", "\"mpnet\"");
  if (fields.integer("relative_attention_num_buckets", 1, detail::max_config_size, 32) != 32)
    fields.fail("relative_attention_num_buckets", "32, the only number that transformers computes with");
  detail::refuse_unsupported_encoder(fields);

  MpnetConfig config;
  for (const detail::MpnetSize& size : detail::mpnet_sizes)
    config.*size.member = fields.integer(size.name, size.min, size.max);
  detail::read_encoder_fields(fields, config);
  const Json known = config.to_json("", "");
  config.other = json;
  for (const auto& [name, value] : known.items()) config.other.erase(name);
  config.other.erase("torch_dtype");  // the older name of dtype
  if (const std::string fault = detail::fault_of(config); !fault.empty()) throw FormatError(where + ": " + fault);
  return config;
}

GRAFT_INLINE Json MpnetConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = other;
  json["architectures"] = Json::array({architecture});
  json["dtype"] = dtype;
  json["model_type"] = "mpnet";
  for (const detail::MpnetSize& size : detail::mpnet_sizes) json[std::string(size.name)] = this->*size.member;
  detail::write_encoder_fields(*this, json);
  json["relative_attention_num_buckets"] = 32;
  json["pad_token_id"] = padding;
  return json;
}

GRAFT_INLINE void MpnetConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

}  // namespace graft
