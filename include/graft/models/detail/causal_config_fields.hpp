#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/models/causal_config.hpp"

namespace graft::detail {

/// A size, what config.json calls it, and what GPT-2's does; without a name there, it follows from the others.
struct CausalSize {
  std::string_view name, gpt2_name;
  std::int64_t CausalConfig::*member;
  std::int64_t max;
};

/// Limits that no real model reaches and that keep every product of two below 2^63.
inline constexpr std::array<CausalSize, 8> causal_sizes{{
    {"vocab_size", "vocab_size", &CausalConfig::vocab_size, std::int64_t{1} << 24},
    {"hidden_size", "n_embd", &CausalConfig::hidden_size, std::int64_t{1} << 20},
    {"num_hidden_layers", "n_layer", &CausalConfig::num_hidden_layers, 1024},
    {"num_attention_heads", "n_head", &CausalConfig::num_attention_heads, std::int64_t{1} << 20},
    {"max_position_embeddings", "n_positions", &CausalConfig::max_position_embeddings, std::int64_t{1} << 22},
    {"intermediate_size", "", &CausalConfig::intermediate_size, std::int64_t{1} << 20},
    {"num_key_value_heads", "", &CausalConfig::num_key_value_heads, std::int64_t{1} << 20},
    {"head_dim", "", &CausalConfig::head_dim, std::int64_t{1} << 20},
}};
inline constexpr std::size_t causal_sizes_required = 5;  // the first of them, and Llama's intermediate_size

inline constexpr std::array<std::string_view, 5> causal_families{"llama", "qwen2", "qwen3", "gemma3_text", "gpt2"};

/// What is wrong with the numbers of `config`, or nothing.
inline std::string fault_of(const CausalConfig& config) {
  if (std::ranges::find(causal_families, config.model_type) == causal_families.end())
    return message("model_type is ", quoted(config.model_type), "; choose llama, qwen2, qwen3, gemma3_text or gpt2");
  for (const CausalSize& size : causal_sizes) {
    const std::int64_t value = config.*size.member;
    if (value < 1 || value > size.max) return message(size.name, " is ", value, "; choose 1 to ", size.max);
  }
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    return message("num_key_value_heads is ", config.num_key_value_heads, ", which does not divide the ",
                   config.num_attention_heads, " attention heads");
  if (config.is_gpt2() && (config.num_attention_heads * config.head_dim != config.hidden_size ||
                           config.num_key_value_heads != config.num_attention_heads))
    return message("GPT-2's heads share its hidden size evenly, but ", config.num_attention_heads, " heads of ",
                   config.head_dim, " do not make ", config.hidden_size);
  if (config.is_gpt2() && !(config.attention_bias && config.attention_output_bias && config.mlp_bias))
    return "GPT-2's projections all have a bias; set attention_bias, attention_output_bias and mlp_bias";
  if (!config.is_gpt2() && config.head_dim % 2 != 0)
    return message("head_dim is ", config.head_dim, "; rotary positions turn pairs, so choose an even size");
  for (const double dropout : {config.attention_dropout, config.hidden_dropout, config.embedding_dropout})
    if (!(dropout >= 0.0 && dropout < 1.0)) return message("dropout is ", dropout, "; choose 0 to below 1");
  if (config.attention_scale && !(*config.attention_scale > 0.0 && std::isfinite(*config.attention_scale)))
    return message("attention_scale is ", *config.attention_scale, "; choose a finite number above 0");
  if (config.sliding_window < 0) return message("sliding_window is ", config.sliding_window, "; choose 0 for none");
  if (!config.windowed.empty() && static_cast<std::int64_t>(config.windowed.size()) != config.num_hidden_layers)
    return message("windowed names ", config.windowed.size(), " layers of ", config.num_hidden_layers);
  for (const RotaryOptions* rope : {&config.rope, &config.local_rope}) {
    if (!(rope->theta > 0.0 && std::isfinite(rope->theta) && rope->factor > 0.0 && std::isfinite(rope->factor)))
      return message("rotary theta is ", rope->theta, " and its factor ", rope->factor, "; choose numbers above 0");
    if (rope->llama3 && !(rope->llama3->factor > 0.0 && rope->llama3->low_freq_factor > 0.0 &&
                          rope->llama3->high_freq_factor > rope->llama3->low_freq_factor &&
                          rope->llama3->original_max_position_embeddings > 0))
      return "llama3's rotary scaling wants positive numbers, and high_freq_factor above low_freq_factor";
  }
  if (config.pad_token_id && (*config.pad_token_id < 0 || *config.pad_token_id >= config.vocab_size))
    return message("pad_token_id is ", *config.pad_token_id, ", but vocab_size is ", config.vocab_size);
  for (const std::int32_t id : config.eos_token_ids)
    if (id < 0 || id >= config.vocab_size)
      return message("eos_token_id is ", id, ", but vocab_size is ", config.vocab_size);
  return {};
}

/// One set of rotary settings, as today's rope_parameters or the older rope_scaling hold it.
inline RotaryOptions read_rotary(const JsonFields& fields, double theta, std::int64_t positions) {
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

inline void read_rotaries(const JsonFields& fields, CausalConfig& config) {
  const std::int64_t positions = config.max_position_embeddings;
  const double theta = fields.number("rope_theta", 1e-6, 1e15, config.is_gemma() ? 1e6 : 1e4);
  const double local = fields.number("rope_local_base_freq", 1e-6, 1e15, 1e4);
  config.rope.theta = theta;
  if (fields.has("rope_scaling")) config.rope = read_rotary(fields.object("rope_scaling"), theta, positions);
  if (config.is_gemma()) config.local_rope.theta = local;
  if (fields.has("rope_parameters")) {
    const JsonFields parameters = fields.object("rope_parameters");
    if (parameters.has("full_attention") || parameters.has("sliding_attention")) {
      if (parameters.has("full_attention"))
        config.rope = read_rotary(parameters.object("full_attention"), theta, positions);
      if (parameters.has("sliding_attention"))
        config.local_rope = read_rotary(parameters.object("sliding_attention"), local, positions);
    } else {
      config.rope = read_rotary(parameters, theta, positions);
    }
  }
  if (!config.is_gemma()) config.local_rope = config.rope;
}

inline void read_windows(const JsonFields& fields, CausalConfig& config) {
  const bool used = config.is_gemma() || (config.model_type != "llama" && fields.boolean("use_sliding_window", false));
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
  const std::int64_t first = fields.integer("max_window_layers", 0, std::int64_t{1} << 20, 28);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
    config.windowed.push_back(config.is_gemma() ? (i + 1) % pattern != 0 : i >= first);
}

inline void refuse_unsupported_causal(const JsonFields& fields) {
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

/// Fields of GPT-2 that the others do not have, or have under other names.
inline void read_gpt2(const JsonFields& fields, CausalConfig& config) {
  const double below_one = std::nextafter(1.0, 0.0);
  config.num_key_value_heads = config.num_attention_heads;
  if (config.hidden_size % config.num_attention_heads != 0)
    fields.fail("n_head", message("a divisor of n_embd, ", config.hidden_size));
  config.head_dim = config.hidden_size / config.num_attention_heads;
  config.intermediate_size = fields.integer("n_inner", 1, std::int64_t{1} << 20, 4 * config.hidden_size);
  config.hidden_act = fields.text("activation_function", "gelu_new");
  config.norm_eps = fields.number("layer_norm_epsilon", 0, 1, 1e-5);
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  if (!fields.boolean("scale_attn_weights", true)) config.attention_scale = 1.0;
  config.scale_attention_by_layer = fields.boolean("scale_attn_by_inverse_layer_idx", false);
  config.attention_dropout = fields.number("attn_pdrop", 0, below_one, 0.1);
  config.hidden_dropout = fields.number("resid_pdrop", 0, below_one, 0.1);
  config.embedding_dropout = fields.number("embd_pdrop", 0, below_one, 0.1);
}

/// Fields of all but GPT-2.
inline void read_llama(const JsonFields& fields, CausalConfig& config) {
  config.intermediate_size = fields.integer("intermediate_size", 1, std::int64_t{1} << 20);
  config.num_key_value_heads =
      fields.integer("num_key_value_heads", 1, std::int64_t{1} << 20, config.num_attention_heads);
  std::int64_t size = config.hidden_size / config.num_attention_heads;
  if (config.is_gemma()) size = 256;
  if (config.model_type == "qwen3") size = 128;
  if (!fields.has("head_dim") && (config.model_type == "llama" || config.model_type == "qwen2") &&
      config.hidden_size % config.num_attention_heads != 0)
    fields.fail("num_attention_heads", message("a divisor of hidden_size, ", config.hidden_size));
  config.head_dim = fields.integer("head_dim", 1, std::int64_t{1} << 20, size);
  const char* act = config.is_gemma() && fields.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  config.hidden_act = fields.text(act, config.is_gemma() ? "gelu_pytorch_tanh" : "silu");
  config.norm_eps = fields.number("rms_norm_eps", 0, 1, 1e-6);
  config.attention_bias = config.model_type == "qwen2" || fields.boolean("attention_bias", false);
  config.attention_output_bias = config.model_type != "qwen2" && config.attention_bias;
  config.mlp_bias = config.model_type == "llama" && fields.boolean("mlp_bias", false);
  if (config.is_gemma())
    config.attention_scale = 1.0 / std::sqrt(fields.number("query_pre_attn_scalar", 1e-6, 1e9, 256.0));
  config.attention_dropout = fields.number("attention_dropout", 0, std::nextafter(1.0, 0.0), 0.0);
  read_rotaries(fields, config);
  read_windows(fields, config);
}

inline void read_ends(const JsonFields& fields, CausalConfig& config) {
  const std::int64_t last = config.vocab_size - 1;
  if (fields.has("bos_token_id"))
    config.bos_token_id = static_cast<std::int32_t>(fields.integer("bos_token_id", 0, last));
  // -1 is what some files write for none.
  if (!config.is_gpt2() && fields.has("pad_token_id") && fields.integer("pad_token_id", -1, last) >= 0)
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

inline Json rotary_json(const RotaryOptions& rope) {
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

}  // namespace graft::detail
