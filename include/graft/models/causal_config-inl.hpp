#pragma once

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "graft/models/causal_config.hpp"
#include "graft/models/detail/causal_config_fields.hpp"

namespace graft {

GRAFT_INLINE CausalConfig CausalConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  CausalConfig config;
  config.model_type = fields.text("model_type");
  if (std::ranges::find(detail::causal_families, config.model_type) == detail::causal_families.end())
    fields.fail("model_type", "\"llama\", \"qwen2\", \"qwen3\", \"gemma3_text\" or \"gpt2\"");
  std::string missing;
  const auto require = [&](std::string_view name) {
    if (!fields.has(name)) missing += (missing.empty() ? "" : ", ") + quoted(name);
  };
  for (std::size_t i = 0; i < detail::causal_sizes_required; ++i)
    require(config.is_gpt2() ? detail::causal_sizes[i].gpt2_name : detail::causal_sizes[i].name);
  if (!config.is_gpt2()) require("intermediate_size");
  if (!missing.empty())
    throw FormatError(message(where, ": missing ", missing, "; is this the config.json of a causal language model?"));
  detail::refuse_unsupported_causal(fields);
  for (std::size_t i = 0; i < detail::causal_sizes_required; ++i) {
    const detail::CausalSize& size = detail::causal_sizes[i];
    config.*size.member = fields.integer(config.is_gpt2() ? size.gpt2_name : size.name, 1, size.max);
  }
  config.is_gpt2() ? detail::read_gpt2(fields, config) : detail::read_llama(fields, config);
  try {
    activation_named(config.hidden_act);
  } catch (const OptionError& error) {
    throw FormatError(message(where, ": ", error.what()));
  }
  config.initializer_range = fields.number("initializer_range", 0, 1000, 0.02);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", config.is_gpt2() || config.is_gemma());
  detail::read_ends(fields, config);
  const Json known = config.to_json("", "");
  config.other = json;
  for (const auto& [name, value] : known.items()) config.other.erase(name);
  for (const auto* old : {"torch_dtype", "rope_theta", "rope_scaling", "rope_local_base_freq"}) config.other.erase(old);
  if (const std::string fault = detail::fault_of(config); !fault.empty()) throw FormatError(where + ": " + fault);
  return config;
}

GRAFT_INLINE Json CausalConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  Json json = other;
  json["architectures"] = Json::array({architecture});
  json["dtype"] = dtype;
  json["model_type"] = model_type;
  for (std::size_t i = 0; i < detail::causal_sizes.size(); ++i) {
    const detail::CausalSize& size = detail::causal_sizes[i];
    const std::string_view name = is_gpt2() ? size.gpt2_name : size.name;
    if (!name.empty()) json[std::string(name)] = this->*size.member;
  }
  json["initializer_range"] = initializer_range;
  json["tie_word_embeddings"] = tie_word_embeddings;
  json["bos_token_id"] = bos_token_id ? Json(*bos_token_id) : Json();
  json["eos_token_id"] = eos_token_ids.empty() ? Json() : Json(eos_token_ids);
  if (eos_token_ids.size() == 1) json["eos_token_id"] = eos_token_ids.front();
  if (is_gpt2()) {
    json["n_inner"] = intermediate_size;
    json["activation_function"] = hidden_act;
    json["layer_norm_epsilon"] = norm_eps;
    json["attn_pdrop"] = attention_dropout;
    json["resid_pdrop"] = hidden_dropout;
    json["embd_pdrop"] = embedding_dropout;
    json["scale_attn_weights"] = !attention_scale.has_value();
    json["scale_attn_by_inverse_layer_idx"] = scale_attention_by_layer;
    return json;
  }
  json[is_gemma() ? "hidden_activation" : "hidden_act"] = hidden_act;
  json["rms_norm_eps"] = norm_eps;
  json["pad_token_id"] = pad_token_id ? Json(*pad_token_id) : Json();
  if (model_type != "qwen2") json["attention_bias"] = attention_bias;
  if (model_type == "llama") json["mlp_bias"] = mlp_bias;
  json["attention_dropout"] = attention_dropout;
  json["rope_parameters"] = detail::rotary_json(rope);
  if (is_gemma()) {
    json["rope_parameters"] = {{"full_attention", detail::rotary_json(rope)},
                               {"sliding_attention", detail::rotary_json(local_rope)}};
    const double scale = attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(head_dim)));
    // A whole number in every model, and transformers takes no other.
    const double scalar = 1.0 / (scale * scale);
    json["query_pre_attn_scalar"] =
        std::abs(scalar - std::round(scalar)) < 1e-9 * scalar ? Json(std::llround(scalar)) : Json(scalar);
  }
  if (model_type != "llama") {
    json["sliding_window"] = sliding_window > 0 ? Json(sliding_window) : Json();
    if (!is_gemma()) json["use_sliding_window"] = sliding_window > 0;
    json["layer_types"] = Json::array();
    for (std::int64_t i = 0; i < num_hidden_layers; ++i)
      json["layer_types"].push_back(window(i) > 0 ? "sliding_attention" : "full_attention");
  }
  return json;
}

GRAFT_INLINE void CausalConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE double CausalConfig::scale(std::int64_t layer) const {
  const double whole = attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(head_dim)));
  return scale_attention_by_layer ? whole / static_cast<double>(layer + 1) : whole;
}

GRAFT_INLINE std::string CausalConfig::class_name() const {
  if (is_gpt2()) return "GPT2LMHeadModel";
  if (is_gemma()) return "Gemma3ForCausalLM";
  if (model_type == "qwen2") return "Qwen2ForCausalLM";
  return model_type == "qwen3" ? "Qwen3ForCausalLM" : "LlamaForCausalLM";
}

GRAFT_INLINE const std::vector<std::string>& CausalConfig::head_names() {
  static const std::vector<std::string> none;
  return none;
}

GRAFT_INLINE std::vector<std::pair<std::string, std::string>> CausalConfig::tied_names() const {
  if (!tie_word_embeddings) return {};
  return {{"lm_head.weight", is_gpt2() ? "wte.weight" : "embed_tokens.weight"}};
}

GRAFT_INLINE bool CausalConfig::is_buffer(std::string_view name) {
  return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

GRAFT_INLINE bool CausalConfig::is_transposed(std::string_view name) const {
  return is_gpt2() &&
         (name.ends_with(".c_attn.weight") || name.ends_with(".c_proj.weight") || name.ends_with(".c_fc.weight"));
}

}  // namespace graft
