#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/causal_config.hpp"
#include "graft/models/detail/causal_config_fields.hpp"
#include "graft/models/detail/config_fields.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE const CausalFamily* find_causal_family(std::string_view CausalFamily::*name, std::string_view that) {
  const auto found = std::ranges::find(causal_families, that, name);
  return found == causal_families.end() ? nullptr : &*found;
}

GRAFT_INLINE std::string causal_families_by(std::string_view CausalFamily::*name, bool quotes) {
  std::array<std::string_view, causal_families.size()> names;
  std::ranges::transform(causal_families, names.begin(), [&](const CausalFamily& family) { return family.*name; });
  return alternatives(names, quotes);
}

/// A size, what config.json calls it, and what a family does.
struct CausalSize {
  std::string_view name;
  std::string_view CausalFields::*field;
  std::int64_t CausalConfig::*member;
  std::int64_t max;
};

inline constexpr std::array<CausalSize, 7> causal_sizes{{
    {"hidden_size", &CausalFields::hidden_size, &CausalConfig::hidden_size, max_config_size},
    {"num_hidden_layers", &CausalFields::num_hidden_layers, &CausalConfig::num_hidden_layers, max_layers},
    {"num_attention_heads", &CausalFields::num_attention_heads, &CausalConfig::num_attention_heads, max_config_size},
    {"max_position_embeddings", &CausalFields::max_position_embeddings, &CausalConfig::max_position_embeddings,
     max_positions},
    {"intermediate_size", &CausalFields::intermediate_size, &CausalConfig::intermediate_size, max_config_size},
    {"num_key_value_heads", &CausalFields::num_key_value_heads, &CausalConfig::num_key_value_heads, max_config_size},
    {"head_dim", &CausalFields::head_dim, &CausalConfig::head_dim, max_config_size},
}};
inline constexpr std::size_t causal_sizes_required = 4;  // the first of them

GRAFT_INLINE std::string rotary_fault(const RotaryOptions& rope) {
  if (!(rope.theta > 0.0 && std::isfinite(rope.theta) && rope.factor > 0.0 && std::isfinite(rope.factor)))
    return message("rotary theta is ", rope.theta, " and its factor ", rope.factor, "; choose numbers above 0");
  if (rope.llama3 && !(rope.llama3->factor > 0.0 && rope.llama3->low_freq_factor > 0.0 &&
                       rope.llama3->high_freq_factor > rope.llama3->low_freq_factor &&
                       rope.llama3->original_max_position_embeddings > 0))
    return "llama3's rotary scaling wants positive numbers, and high_freq_factor above low_freq_factor";
  return {};
}

/// What the joint projection of GPT-2's layers, or the turned heads of Llama's, ask for.
GRAFT_INLINE std::string layer_fault(const CausalConfig& config) {
  if (config.family().layers == CausalFamily::Layers::llama) {
    if (config.head_dim % 2 == 0) return {};
    return message("head_dim is ", config.head_dim, "; rotary positions turn pairs, so choose an even size");
  }
  if (config.num_attention_heads * config.head_dim != config.hidden_size ||
      config.num_key_value_heads != config.num_attention_heads)
    return message("GPT-2's heads share its hidden size evenly, but ", config.num_attention_heads, " heads of ",
                   config.head_dim, " do not make ", config.hidden_size);
  if (!(config.attention_bias && config.attention_output_bias && config.mlp_bias))
    return "GPT-2's projections all have a bias; set attention_bias, attention_output_bias and mlp_bias";
  return {};
}

GRAFT_INLINE std::string size_fault(const CausalConfig& config) {
  if (config.vocab_size < 1 || config.vocab_size > max_words)
    return message("vocab_size is ", config.vocab_size, "; choose 1 to ", max_words);
  for (const CausalSize& size : causal_sizes) {
    const std::int64_t value = config.*size.member;
    if (value < 1 || value > size.max) return message(size.name, " is ", value, "; choose 1 to ", size.max);
  }
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    return message("num_key_value_heads is ", config.num_key_value_heads, ", which does not divide the ",
                   config.num_attention_heads, " attention heads");
  if (config.sliding_window < 0) return message("sliding_window is ", config.sliding_window, "; choose 0 for none");
  if (!config.windowed.empty() && static_cast<std::int64_t>(config.windowed.size()) != config.num_hidden_layers)
    return message("windowed names ", config.windowed.size(), " layers of ", config.num_hidden_layers);
  return {};
}

GRAFT_INLINE std::string fault_of(const CausalConfig& config) {
  if (find_causal_family(&CausalFamily::model_type, config.model_type) == nullptr)
    return message("model_type is ", quoted(config.model_type), "; choose ",
                   causal_families_by(&CausalFamily::model_type, false));
  if (config.attention_scale && !(*config.attention_scale > 0.0 && std::isfinite(*config.attention_scale)))
    return message("attention_scale is ", *config.attention_scale, "; choose a finite number above 0");
  std::string fault = size_fault(config);
  const auto next = [&](std::string other) {
    if (fault.empty()) fault = std::move(other);
  };
  next(layer_fault(config));
  next(dropout_fault({config.attention_dropout, config.hidden_dropout, config.embedding_dropout}));
  next(rotary_fault(config.rope));
  next(rotary_fault(config.local_rope));
  if (config.pad_token_id) next(id_fault("pad_token_id", *config.pad_token_id, config.vocab_size));
  for (const std::int32_t id : config.eos_token_ids) next(id_fault("eos_token_id", id, config.vocab_size));
  return fault;
}

GRAFT_INLINE std::vector<bool> default_windows(const CausalFamily& family, std::int64_t layers, std::int64_t pattern,
                                               std::int64_t first) {
  std::vector<bool> windowed;
  for (std::int64_t i = 0; i < layers; ++i)
    windowed.push_back(family.windows == CausalFamily::Windows::patterned ? (i + 1) % pattern != 0 : i >= first);
  return windowed;
}

GRAFT_INLINE bool read_bias(const JsonFields& fields, CausalFamily::Bias bias, std::string_view field) {
  return bias == CausalFamily::Bias::always || (bias == CausalFamily::Bias::configured && fields.boolean(field, false));
}

GRAFT_INLINE double read_dropout(const JsonFields& fields, std::string_view field, double fallback) {
  return field.empty() ? 0.0 : fields.number(field, 0, std::nextafter(1.0, 0.0), fallback);
}

/// Sizes that follow from others where a file does not have them.
GRAFT_INLINE void read_sizes(const JsonFields& fields, const CausalFamily& family, CausalConfig& config) {
  const auto size = [&](std::string_view field, std::int64_t fallback) {
    return field.empty() ? fallback : fields.integer(field, 1, max_config_size, fallback);
  };
  const CausalFields& names = family.fields;
  config.vocab_size = fields.integer("vocab_size", 1, max_words);
  for (std::size_t i = 0; i < causal_sizes_required; ++i)
    config.*causal_sizes[i].member = fields.integer(names.*causal_sizes[i].field, 1, causal_sizes[i].max);
  config.intermediate_size = size(names.intermediate_size, family.inner * config.hidden_size);
  config.num_key_value_heads = size(names.num_key_value_heads, config.num_attention_heads);
  const bool divides = family.head_dim == 0 && (names.head_dim.empty() || !fields.has(names.head_dim));
  if (divides && config.hidden_size % config.num_attention_heads != 0)
    fields.fail(names.num_attention_heads, message("a divisor of ", names.hidden_size, ", ", config.hidden_size));
  config.head_dim =
      size(names.head_dim, family.head_dim > 0 ? family.head_dim : config.hidden_size / config.num_attention_heads);
}

/// One set of rotary settings, as today's rope_parameters or the older rope_scaling hold it.
GRAFT_INLINE RotaryOptions read_rotary(const JsonFields& fields, double theta, std::int64_t positions) {
  constexpr double tiny = 1e-6, huge = 1e15;
  RotaryOptions rope{.theta = fields.number("rope_theta", tiny, huge, theta)};
  if (fields.number("partial_rotary_factor", 0, 1, 1.0) != 1.0)
    fields.fail("partial_rotary_factor", "1; graft turns whole heads");
  const char* key = fields.has("rope_type") ? "rope_type" : "type";
  const std::string type = fields.text(key, "default");
  if (type == "linear") {
    rope.factor = fields.number("factor", tiny, huge);
  } else if (type == "llama3") {
    rope.llama3 = Llama3Stretch{.factor = fields.number("factor", tiny, huge),
                                .low_freq_factor = fields.number("low_freq_factor", tiny, huge),
                                .high_freq_factor = fields.number("high_freq_factor", tiny, huge),
                                .original_max_position_embeddings = fields.integer(
                                    "original_max_position_embeddings", 1, std::int64_t{1} << 30, positions)};
  } else if (type != "default") {
    fields.fail(key, "\"default\", \"linear\" or \"llama3\"; graft has no other");
  }
  return rope;
}

GRAFT_INLINE void read_rotaries(const JsonFields& fields, const CausalFamily& family, CausalConfig& config) {
  const std::int64_t positions = config.max_position_embeddings;
  const double theta = fields.number("rope_theta", 1e-6, 1e15, family.theta);
  const double local = fields.number("rope_local_base_freq", 1e-6, 1e15, 1e4);
  config.rope.theta = theta;
  if (fields.has("rope_scaling")) config.rope = read_rotary(fields.object("rope_scaling"), theta, positions);
  config.local_rope.theta = local;
  if (fields.has("rope_parameters")) {
    const JsonFields parameters = fields.object("rope_parameters");
    const bool apart = parameters.has("full_attention") || parameters.has("sliding_attention");
    if (!apart) config.rope = read_rotary(parameters, theta, positions);
    if (parameters.has("full_attention"))
      config.rope = read_rotary(parameters.object("full_attention"), theta, positions);
    if (parameters.has("sliding_attention"))
      config.local_rope = read_rotary(parameters.object("sliding_attention"), local, positions);
  }
  if (!family.local_rope) config.local_rope = config.rope;
}

GRAFT_INLINE void read_windows(const JsonFields& fields, const CausalFamily& family, CausalConfig& config) {
  const bool used = family.windows == CausalFamily::Windows::patterned ||
                    (family.windows == CausalFamily::Windows::switched && fields.boolean("use_sliding_window", false));
  if (!used || !fields.has("sliding_window")) return;
  config.sliding_window = fields.integer("sliding_window", 1, std::int64_t{1} << 30);
  if (fields.has("layer_types")) {
    const std::vector<std::string> types = fields.texts("layer_types");
    if (static_cast<std::int64_t>(types.size()) != config.num_hidden_layers)
      fields.fail("layer_types", message("a list of ", config.num_hidden_layers, ", one for each layer"));
    for (const std::string& type : types) {
      if (type != "sliding_attention" && type != "full_attention")
        fields.fail("layer_types", "made of \"full_attention\" and \"sliding_attention\"");
      config.windowed.push_back(type == "sliding_attention");
    }
    return;
  }
  const std::int64_t pattern = fields.integer(
      fields.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern", 1, 1024, 6);
  config.windowed = default_windows(family, config.num_hidden_layers, pattern,
                                    fields.integer("max_window_layers", 0, std::int64_t{1} << 20, 28));
}

GRAFT_INLINE void refuse_unsupported_causal(const JsonFields& fields) {
  for (const auto* name : {"final_logit_softcapping", "attn_logit_softcapping"})
    if (fields.has(name)) fields.fail(name, "null; graft has no soft caps");
  if (fields.has("use_bidirectional_attention") &&
      !(fields.value("use_bidirectional_attention").is_boolean() && !fields.boolean("use_bidirectional_attention")))
    fields.fail("use_bidirectional_attention", "false; graft's decoders look back only");
  for (const auto* name : {"add_cross_attention", "is_encoder_decoder"})
    if (fields.boolean(name, false)) fields.fail(name, "false; graft's causal models are decoders alone");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "absent; graft loads weights of float types, or a GGUF file");
}

GRAFT_INLINE void read_ends(const JsonFields& fields, const CausalFamily& family, CausalConfig& config) {
  const std::int64_t last = config.vocab_size - 1;
  if (fields.has("bos_token_id"))
    config.bos_token_id = static_cast<std::int32_t>(fields.integer("bos_token_id", 0, last));
  // -1 is what some files write for none.
  if (family.padding_row && fields.has("pad_token_id") && fields.integer("pad_token_id", -1, last) >= 0)
    config.pad_token_id = fields.integer("pad_token_id", 0, last);
  if (!fields.has("eos_token_id")) return;
  const Json& ends = fields.value("eos_token_id");
  if (!ends.is_array()) {
    config.eos_token_ids = {static_cast<std::int32_t>(fields.integer("eos_token_id", 0, last))};
    return;
  }
  for (const Json& end : ends) {
    if (!end.is_number_integer() || end.get<std::int64_t>() < 0 || end.get<std::int64_t>() > last)
      fields.fail("eos_token_id", message("an id from 0 to ", last, ", or a list of such"));
    config.eos_token_ids.push_back(end.get<std::int32_t>());
  }
}

GRAFT_INLINE Json rotary_json(const RotaryOptions& rope) {
  Json json{{"rope_theta", rope.theta}, {"rope_type", "default"}};
  if (rope.factor != 1.0) {
    json["rope_type"] = "linear";
    json["factor"] = rope.factor;
  }
  if (rope.llama3) {
    json["rope_type"] = "llama3";
    json["factor"] = rope.llama3->factor;
    json["low_freq_factor"] = rope.llama3->low_freq_factor;
    json["high_freq_factor"] = rope.llama3->high_freq_factor;
    json["original_max_position_embeddings"] = rope.llama3->original_max_position_embeddings;
  }
  return json;
}

GRAFT_INLINE double scale_of_head(const CausalConfig& config) {
  return config.attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}

}  // namespace detail

GRAFT_INLINE const CausalFamily& CausalConfig::family() const {
  if (const CausalFamily* row = detail::find_causal_family(&CausalFamily::model_type, model_type)) return *row;
  throw OptionError(message("model_type is ", quoted(model_type), "; choose ",
                            detail::causal_families_by(&CausalFamily::model_type, false)));
}

GRAFT_INLINE CausalConfig CausalConfig::from_json(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  CausalConfig config;
  config.model_type = fields.text("model_type");
  if (detail::find_causal_family(&CausalFamily::model_type, config.model_type) == nullptr)
    fields.fail("model_type", detail::causal_families_by(&CausalFamily::model_type, true));
  const CausalFamily& family = config.family();
  std::vector<std::string_view> required{"vocab_size"};
  for (std::size_t i = 0; i < detail::causal_sizes_required; ++i)
    required.push_back(family.fields.*detail::causal_sizes[i].field);
  if (family.inner == 0) required.push_back(family.fields.intermediate_size);
  detail::require_fields(fields, required, "a causal language model");
  detail::refuse_unsupported_causal(fields);
  detail::read_sizes(fields, family, config);
  const bool renamed = family.layers == CausalFamily::Layers::llama && !fields.has(family.fields.hidden_act);
  config.hidden_act =
      detail::read_activation(fields, renamed ? "hidden_act" : family.fields.hidden_act, family.hidden_act);
  config.norm_eps = fields.number(family.fields.norm_eps, 0, 1, family.norm_eps);
  config.attention_bias = detail::read_bias(fields, family.qkv_bias, "attention_bias");
  config.attention_output_bias = detail::read_bias(fields, family.output_bias, "attention_bias");
  config.mlp_bias = detail::read_bias(fields, family.mlp_bias, "mlp_bias");
  if (family.query_scalar > 0.0)
    config.attention_scale = 1.0 / std::sqrt(fields.number("query_pre_attn_scalar", 1e-6, 1e9, family.query_scalar));
  if (family.scale_switches) {
    if (!fields.boolean("scale_attn_weights", true)) config.attention_scale = 1.0;
    config.scale_attention_by_layer = fields.boolean("scale_attn_by_inverse_layer_idx", false);
  }
  config.attention_dropout = detail::read_dropout(fields, family.fields.attention_dropout, family.dropout);
  config.hidden_dropout = detail::read_dropout(fields, family.fields.hidden_dropout, family.dropout);
  config.embedding_dropout = detail::read_dropout(fields, family.fields.embedding_dropout, family.dropout);
  if (family.layers == CausalFamily::Layers::llama) detail::read_rotaries(fields, family, config);
  detail::read_windows(fields, family, config);
  config.initializer_range = fields.number("initializer_range", 0, 1000, 0.02);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", family.tied);
  detail::read_ends(fields, family, config);
  config.other =
      detail::other_fields(json, config.to_json("", ""), {"rope_theta", "rope_scaling", "rope_local_base_freq"});
  detail::refuse_fault(detail::fault_of(config), where);
  return config;
}

GRAFT_INLINE Json CausalConfig::to_json(const std::string& architecture, const std::string& dtype) const {
  const CausalFamily& row = family();
  Json json = detail::config_json(other, architecture, dtype, model_type);
  const auto write = [&](std::string_view field, const auto& value) {
    if (!field.empty()) json[std::string(field)] = value;
  };
  write("vocab_size", vocab_size);
  for (const detail::CausalSize& size : detail::causal_sizes) write(row.fields.*size.field, this->*size.member);
  write(row.fields.hidden_act, hidden_act);
  write(row.fields.norm_eps, norm_eps);
  write(row.fields.attention_dropout, attention_dropout);
  write(row.fields.hidden_dropout, hidden_dropout);
  write(row.fields.embedding_dropout, embedding_dropout);
  json["initializer_range"] = initializer_range;
  json["tie_word_embeddings"] = tie_word_embeddings;
  json["bos_token_id"] = bos_token_id ? Json(*bos_token_id) : Json();
  json["eos_token_id"] = eos_token_ids.empty() ? Json() : Json(eos_token_ids);
  if (eos_token_ids.size() == 1) json["eos_token_id"] = eos_token_ids.front();
  if (row.padding_row) json["pad_token_id"] = pad_token_id ? Json(*pad_token_id) : Json();
  if (row.qkv_bias == CausalFamily::Bias::configured) json["attention_bias"] = attention_bias;
  if (row.mlp_bias == CausalFamily::Bias::configured) json["mlp_bias"] = mlp_bias;
  if (row.scale_switches) {
    json["scale_attn_weights"] = !attention_scale.has_value();
    json["scale_attn_by_inverse_layer_idx"] = scale_attention_by_layer;
  }
  if (row.query_scalar > 0.0) {
    // A whole number in every model, and transformers takes no other.
    const double scalar = 1.0 / std::pow(detail::scale_of_head(*this), 2);
    json["query_pre_attn_scalar"] =
        std::abs(scalar - std::round(scalar)) < 1e-9 * scalar ? Json(std::llround(scalar)) : Json(scalar);
  }
  if (row.layers == CausalFamily::Layers::llama) {
    const Json all = detail::rotary_json(rope);
    json["rope_parameters"] =
        row.local_rope ? Json{{"full_attention", all}, {"sliding_attention", detail::rotary_json(local_rope)}} : all;
  }
  if (row.windows == CausalFamily::Windows::never) return json;
  json["sliding_window"] = sliding_window > 0 ? Json(sliding_window) : Json();
  if (row.windows == CausalFamily::Windows::switched) json["use_sliding_window"] = sliding_window > 0;
  json["layer_types"] = Json::array();
  for (std::int64_t i = 0; i < num_hidden_layers; ++i)
    json["layer_types"].push_back(window(i) > 0 ? "sliding_attention" : "full_attention");
  return json;
}

GRAFT_INLINE void CausalConfig::check() const {
  if (const std::string fault = detail::fault_of(*this); !fault.empty()) throw OptionError(fault);
  activation_named(hidden_act);
}

GRAFT_INLINE double CausalConfig::scale(std::int64_t layer) const {
  const double whole = detail::scale_of_head(*this);
  return scale_attention_by_layer ? whole / static_cast<double>(layer + 1) : whole;
}

GRAFT_INLINE WeightNames CausalConfig::weight_names() const {
  const CausalFamily& row = family();
  WeightNames names{.base = base_name(), .buffers = {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"}};
  if (tie_word_embeddings) names.tied = {{"lm_head.weight", std::string(row.words) + ".weight"}};
  for (const std::string_view end : row.transposed)
    if (!end.empty()) names.transposed.emplace_back(end);
  return names;
}

}  // namespace graft
