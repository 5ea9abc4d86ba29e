#pragma once

#include <nlohmann/json.hpp>

#include "graft/layers/activation.hpp"
#include "graft/models/detail/config_fields.hpp"

namespace graft::detail {

GRAFT_INLINE std::string alternatives(std::span<const std::string_view> names, bool quotes) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += i == 0 ? "" : i + 1 < names.size() ? ", " : " or ";
    text += quotes ? quoted(names[i]) : std::string(names[i]);
  }
  return text;
}

GRAFT_INLINE void require_fields(const JsonFields& fields, std::span<const std::string_view> names,
                                 std::string_view whose) {
  std::string missing;
  for (const std::string_view name : names)
    if (!fields.has(name)) missing += (missing.empty() ? "" : ", ") + quoted(name);
  if (!missing.empty())
    throw FormatError(message(fields.where(), ": missing ", missing, "; is this the config.json of ", whose, "?"));
}

GRAFT_INLINE std::string read_activation(const JsonFields& fields, std::string_view field, std::string_view fallback) {
  const std::string name = fields.text(field, fallback);
  try {
    activation_named(name);
  } catch (const OptionError&) {
    fields.fail(field, "gelu, gelu_new, gelu_pytorch_tanh, relu, silu or tanh");
  }
  return name;
}

GRAFT_INLINE std::string other_fields(const Json& json, const Json& known, std::initializer_list<const char*> older) {
  Json other = json;
  for (const auto& [name, value] : known.items()) other.erase(name);
  other.erase("torch_dtype");  // the older name of dtype
  for (const char* name : older) other.erase(name);
  return other.dump();
}

GRAFT_INLINE Json config_json(const std::string& other, const std::string& architecture, const std::string& dtype,
                              const std::string& model_type) {
  Json json = parse_json(other, "the configuration's other fields");
  json["architectures"] = Json::array({architecture});
  json["dtype"] = dtype;
  json["model_type"] = model_type;
  return json;
}

GRAFT_INLINE void refuse_fault(const std::string& fault, const std::string& where) {
  if (!fault.empty()) throw FormatError(where + ": " + fault);
}

GRAFT_INLINE std::string dropout_fault(std::initializer_list<double> chances) {
  for (const double chance : chances)
    if (!(chance >= 0.0 && chance < 1.0)) return message("dropout is ", chance, "; choose 0 to below 1");
  return {};
}

GRAFT_INLINE std::string id_fault(std::string_view field, std::int64_t id, std::int64_t words) {
  return id >= 0 && id < words ? "" : message(field, " is ", id, ", but vocab_size is ", words);
}

}  // namespace graft::detail
