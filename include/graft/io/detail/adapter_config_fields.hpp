#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/io/adapter_dir.hpp"

namespace graft::detail {

inline constexpr std::int64_t largest_rank = 1'000'000;
inline constexpr double largest_alpha = 1e9;

inline constexpr std::array<std::string_view, 6> task_types = {"SEQ_CLS",   "SEQ_2_SEQ_LM", "CAUSAL_LM",
                                                               "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"};
inline constexpr std::array<std::string_view, 4> initialisations = {"gaussian", "orthogonal", "eva", "mica"};

/// The fields of PEFT that have no member in AdapterConfig, at the values with which they ask for nothing.
inline const Json& fixed_adapter_fields() {
  static const Json fields = {
      {"alora_invocation_tokens", nullptr}, {"arrow_config", nullptr},      {"corda_config", nullptr},
      {"ensure_weight_tying", false},       {"kasa_config", nullptr},       {"layer_replication", nullptr},
      {"loftq_config", Json::object()},     {"lora_ga_config", nullptr},    {"megatron_config", nullptr},
      {"megatron_core", "megatron.core"},   {"monteclora_config", nullptr}, {"qalora_group_size", 16},
      {"target_parameters", nullptr},       {"use_bdlora", nullptr},        {"use_qalora", false},
      {"velora_config", nullptr},
  };
  return fields;
}

/// Whole numbers as integers, which is how people write them.
inline Json plain_number(double value) {
  const bool whole = std::abs(value) <= largest_alpha && value == std::floor(value);
  return whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

inline Json names_json(const ModuleNames& modules) {
  if (!modules.pattern.empty()) return modules.pattern;
  return modules.names.empty() ? Json() : Json(modules.names);
}

/// Null for an empty list.
inline Json list_or_null(const auto& values) { return values.empty() ? Json() : Json(values); }

/// The fields of every kind of adapter, unchecked.
inline Json common_adapter_fields(const AdapterConfig& config) {
  const auto text = [](const std::optional<std::string>& value) { return value ? Json(*value) : Json(); };
  return {{"base_model_name_or_path", text(config.base_model_name_or_path)},
          {"revision", text(config.revision)},
          {"task_type", text(config.task_type)},
          {"auto_mapping", config.auto_mapping},
          {"peft_version", config.peft_version},
          {"inference_mode", config.inference_mode},
          {"fan_in_fan_out", config.fan_in_fan_out},
          {"target_modules", names_json(config.target_modules)},
          {"exclude_modules", names_json(config.exclude_modules)},
          {"modules_to_save", list_or_null(config.modules_to_save)}};
}

inline Json ia3_fields(const AdapterConfig& config) {
  Json json = common_adapter_fields(config);
  json["peft_type"] = "IA3";
  const ModuleNames& inputs = config.feedforward_modules;  // PEFT wants a list, though it be empty
  json["feedforward_modules"] = inputs.empty() ? Json::array() : names_json(inputs);
  json["init_ia3_weights"] = config.init_ia3_weights;
  return json;
}

/// What "bias" says, by AdapterBias: the last is "lora_only", "vera_only", ...
inline std::array<std::string, 3> bias_names(std::string kind) {
  for (char& c : kind) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return {"none", "all", kind + "_only"};
}

/// What LoRA and the kinds without members of their own have in common.
inline void add_layer_fields(Json& json, const AdapterConfig& config) {
  json["peft_type"] = config.peft_type;
  json["bias"] = bias_names(config.peft_type)[static_cast<std::size_t>(config.bias)];
  json["layers_to_transform"] = config.layers_to_transform ? Json(*config.layers_to_transform) : Json();
  json["layers_pattern"] = list_or_null(config.layers_pattern);
}

inline Json other_fields(const AdapterConfig& config) {
  Json json = common_adapter_fields(config);
  if (config.exclude_modules.empty()) json.erase("exclude_modules");  // not every kind of PEFT's has it
  add_layer_fields(json, config);
  json.update(config.fields);
  return json;
}

inline Json lora_fields(const AdapterConfig& config) {
  Json json = fixed_adapter_fields();
  json.update(common_adapter_fields(config));
  add_layer_fields(json, config);
  json["r"] = config.r;
  json["lora_alpha"] = plain_number(config.lora_alpha);
  json["lora_dropout"] = config.lora_dropout;
  json["use_rslora"] = config.use_rslora;
  json["use_dora"] = config.use_dora;
  json["lora_bias"] = config.lora_bias;
  const std::string& init = config.init_lora_weights;
  json["init_lora_weights"] = init == "true" || init == "false" ? Json(init == "true") : Json(init);
  json["eva_config"] = config.eva_config;
  json["rank_pattern"] = Json::object();
  for (const auto& [key, rank] : config.rank_pattern) json["rank_pattern"][key] = rank;
  json["alpha_pattern"] = Json::object();
  for (const auto& [key, alpha] : config.alpha_pattern) json["alpha_pattern"][key] = plain_number(alpha);
  const auto& rows = config.trainable_token_indices;
  const bool input_only = rows.size() == 1 && rows.begin()->first.empty();
  json["trainable_token_indices"] = input_only ? Json(rows.begin()->second) : list_or_null(rows);
  return json;
}

/// Every field that PEFT writes, unchecked.
inline Json all_adapter_fields(const AdapterConfig& config) {
  if (config.peft_type == "IA3") return ia3_fields(config);
  return config.peft_type == "LORA" ? lora_fields(config) : other_fields(config);
}

}  // namespace graft::detail
