#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/regular_expression.hpp"
#include "graft/io/detail/adapter_config_fields.hpp"

namespace graft::detail {

/// Reads the fields one by one and collects their faults.
class AdapterConfigReader {
 public:
  AdapterConfigReader(const Json& json, const std::string& where) : fields_(json, where) {}

  AdapterConfig read();

 private:
  /// Runs `step`; a FormatError of it becomes one more fault.
  template <class Step>
  void collect(Step step) {
    try {
      step();
    } catch (const FormatError& error) {
      const std::string fault = error.what(), where = fields_.where() + ": ";
      faults_.push_back(fault.starts_with(where) ? fault.substr(where.size()) : fault);
    }
  }

  void read_base(AdapterConfig& config);
  void read_update(AdapterConfig& config);
  void read_which_layers(AdapterConfig& config);
  void read_patterns(AdapterConfig& config);
  void refuse_others(const std::string& type);
  void check_together(const AdapterConfig& config);

  std::optional<std::string> optional_text(std::string_view field) const {
    return fields_.has(field) ? std::optional(fields_.text(field)) : std::nullopt;
  }
  /// Throws FormatError for a regular expression that graft does not understand.
  void check_pattern(std::string_view expression, std::string_view field) const {
    try {
      RegularExpression{expression};
    } catch (const OptionError& error) {
      throw FormatError(message(fields_.where(), ": ", quoted(field), " has the ", error.what()));
    }
  }

  ModuleNames module_names(std::string_view field) const;
  std::vector<std::string> text_or_texts(std::string_view field) const;
  std::vector<std::int64_t> integers(const JsonFields& fields, std::string_view field) const;
  Json structured(std::string_view field) const;
  void read_token_indices(AdapterConfig& config) const;

  JsonFields fields_;
  std::vector<std::string> faults_;
};

inline AdapterConfig AdapterConfigReader::read() {
  const bool named = fields_.has("peft_type") && fields_.value("peft_type").is_string();
  if (!named || fields_.text("peft_type").empty()) {
    fields_.fail("peft_type", "the name of a kind of adapters, such as \"LORA\" or \"IA3\"");
  }
  AdapterConfig config;
  config.peft_type = fields_.text("peft_type");
  read_base(config);
  if (config.peft_type == "IA3") {
    collect([&] { config.feedforward_modules = module_names("feedforward_modules"); });
    collect([&] { config.init_ia3_weights = fields_.boolean("init_ia3_weights", true); });
  } else {
    const bool lora = config.peft_type == "LORA";
    if (lora) read_update(config);
    read_which_layers(config);
    if (lora) read_patterns(config);
  }
  if (config.peft_type == "LORA" || config.peft_type == "IA3") {
    refuse_others(config.peft_type);
  } else {
    const Json known = all_adapter_fields({.peft_type = config.peft_type});
    for (const auto& [field, value] : fields_.json().items()) {
      if (!known.contains(field) && field != "exclude_modules") config.fields[field] = value;
    }
  }
  if (faults_.empty()) check_together(config);
  if (faults_.size() == 1) throw FormatError(message(fields_.where(), ": ", faults_[0]));
  if (faults_.empty()) return config;
  std::string all =
      message(fields_.where(), ": ", faults_.size(), " fields are wrong or ask for what graft does not do:");
  for (const std::string& fault : faults_) all += "\n  " + fault;
  throw FormatError(all);
}

inline void AdapterConfigReader::read_base(AdapterConfig& config) {
  collect([&] { config.base_model_name_or_path = optional_text("base_model_name_or_path"); });
  collect([&] { config.revision = optional_text("revision"); });
  collect([&] {
    config.task_type = optional_text("task_type");
    if (!config.task_type) return;
    const bool known = std::find(task_types.begin(), task_types.end(), *config.task_type) != task_types.end();
    if (!known)
      fields_.fail("task_type",
                   "null, SEQ_CLS, SEQ_2_SEQ_LM, CAUSAL_LM, TOKEN_CLS, QUESTION_ANS or FEATURE_EXTRACTION");
  });
  collect([&] { config.auto_mapping = structured("auto_mapping"); });
  collect([&] { config.peft_version = fields_.text("peft_version", config.peft_version); });
  collect([&] { config.inference_mode = fields_.boolean("inference_mode", false); });
  collect([&] { config.fan_in_fan_out = fields_.boolean("fan_in_fan_out", false); });
  collect([&] { config.target_modules = module_names("target_modules"); });
  collect([&] { config.exclude_modules = module_names("exclude_modules"); });
  collect([&] { config.modules_to_save = fields_.texts_or_none("modules_to_save"); });
}

inline void AdapterConfigReader::read_update(AdapterConfig& config) {
  collect([&] { config.r = fields_.integer("r", 1, largest_rank, config.r); });
  collect([&] { config.lora_alpha = fields_.number("lora_alpha", 0, largest_alpha, config.lora_alpha); });
  collect([&] {
    config.lora_dropout = fields_.number("lora_dropout", 0, 1, config.lora_dropout);
    if (config.lora_dropout == 1) fields_.fail("lora_dropout", "a number from 0 to less than 1");
  });
  collect([&] { config.use_rslora = fields_.boolean("use_rslora", false); });
  collect([&] { config.use_dora = fields_.boolean("use_dora", false); });
  collect([&] { config.lora_bias = fields_.boolean("lora_bias", false); });
  collect([&] {
    if (!fields_.has("init_lora_weights")) return;
    const Json& init = fields_.value("init_lora_weights");
    const bool known =
        init.is_boolean() || (init.is_string() && std::find(initialisations.begin(), initialisations.end(),
                                                            init.get<std::string>()) != initialisations.end());
    if (!known) {
      fields_.fail("init_lora_weights",
                   "true, false, \"gaussian\", \"orthogonal\", \"eva\" or \"mica\"; others change the base, and "
                   "are to be saved as ordinary LoRA (PEFT: path_initial_model_for_weight_conversion)");
    }
    config.init_lora_weights = init.is_string() ? init.get<std::string>() : init.dump();
  });
  collect([&] { config.eva_config = structured("eva_config"); });
}

inline void AdapterConfigReader::read_which_layers(AdapterConfig& config) {
  collect([&] {
    const auto names = bias_names(config.peft_type);
    const auto found = std::find(names.begin(), names.end(), fields_.text("bias", "none"));
    if (found == names.end()) fields_.fail("bias", message("\"none\", \"all\" or ", quoted(names[2])));
    config.bias = static_cast<AdapterBias>(found - names.begin());
  });
  collect([&] {
    if (!fields_.has("layers_to_transform")) return;
    const bool one = fields_.value("layers_to_transform").is_number();
    config.layers_to_transform = one ? std::vector{fields_.integer("layers_to_transform", 0, largest_rank)}
                                     : integers(fields_, "layers_to_transform");
  });
  collect([&] { config.layers_pattern = text_or_texts("layers_pattern"); });
}

inline void AdapterConfigReader::read_patterns(AdapterConfig& config) {
  collect([&] {
    if (!fields_.has("rank_pattern")) return;
    const JsonFields ranks = fields_.object("rank_pattern");
    for (const auto& [key, value] : ranks.json().items()) {
      check_pattern(key, "rank_pattern");
      config.rank_pattern[key] = ranks.integer(key, 1, largest_rank);
    }
  });
  collect([&] {
    if (!fields_.has("alpha_pattern")) return;
    const JsonFields alphas = fields_.object("alpha_pattern");
    for (const auto& [key, value] : alphas.json().items()) {
      check_pattern(key, "alpha_pattern");
      config.alpha_pattern[key] = alphas.number(key, 0, largest_alpha);
    }
  });
  collect([&] { read_token_indices(config); });
}

/// Faults for fields that ask for what AdapterConfig cannot express.
inline void AdapterConfigReader::refuse_others(const std::string& type) {
  const Json known = all_adapter_fields({.peft_type = type});
  for (const auto& [field, value] : fields_.json().items()) {
    const bool fixed = type == "LORA" && fixed_adapter_fields().contains(field);
    if (fixed ? value == fixed_adapter_fields()[field] : known.contains(field)) continue;
    // PEFT ignores runtime_config in a file, the group size without use_qalora and the module's name without
    // megatron_config.
    if (asks_nothing(value) || field == "runtime_config" || field == "qalora_group_size" || field == "megatron_core")
      continue;
    faults_.push_back(message(quoted(field), " is ", described(value), ", which graft does not do"));
  }
}

inline void AdapterConfigReader::check_together(const AdapterConfig& config) {
  if (config.lora_bias && config.use_dora) faults_.push_back("\"lora_bias\" and \"use_dora\" exclude each other");
  if (!config.target_modules.pattern.empty() && config.layers_to_transform) {
    faults_.push_back("\"layers_to_transform\" needs \"target_modules\" to be a list");
  }
  if (!config.layers_pattern.empty() && !config.layers_to_transform) {
    faults_.push_back("\"layers_pattern\" is given without \"layers_to_transform\"");
  }
}

inline ModuleNames AdapterConfigReader::module_names(std::string_view field) const {
  if (!fields_.has(field)) return {};
  if (!fields_.value(field).is_string()) return {.names = fields_.texts(field)};
  const std::string pattern = fields_.text(field);
  if (pattern != "all-linear") check_pattern(pattern, field);
  return {.pattern = pattern};
}

inline std::vector<std::string> AdapterConfigReader::text_or_texts(std::string_view field) const {
  if (fields_.has(field) && fields_.value(field).is_string()) return {fields_.text(field)};
  return fields_.texts_or_none(field);
}

inline std::vector<std::int64_t> AdapterConfigReader::integers(const JsonFields& fields, std::string_view field) const {
  std::vector<std::int64_t> result;
  const Json& list = fields.value(field);
  const auto fits = [](const Json& n) {
    return n.is_number_integer() && n.get<double>() >= 0 && n.get<double>() <= INT32_MAX;
  };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), fits)) {
    fields.fail(field, "an array of integers from 0 to 2147483647");
  }
  for (const Json& number : list) result.push_back(number.get<std::int64_t>());
  return result;
}

inline Json AdapterConfigReader::structured(std::string_view field) const {
  if (!fields_.has(field)) return nullptr;
  return fields_.object(field).json();
}

inline void AdapterConfigReader::read_token_indices(AdapterConfig& config) const {
  if (!fields_.has("trainable_token_indices")) return;
  if (fields_.value("trainable_token_indices").is_array()) {
    config.trainable_token_indices[""] = integers(fields_, "trainable_token_indices");
    return;
  }
  const JsonFields embeddings = fields_.object("trainable_token_indices");
  for (const auto& [name, rows] : embeddings.json().items()) {
    config.trainable_token_indices[name] = integers(embeddings, name);
  }
}

}  // namespace graft::detail
