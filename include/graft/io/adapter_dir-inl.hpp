#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/output.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/io/detail/adapter_config_fields.hpp"
#include "graft/io/detail/adapter_config_reader.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {

GRAFT_INLINE bool detail::asks_nothing(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

GRAFT_INLINE AdapterConfig parse_adapter_config(const Json& json, const std::string& where) {
  return detail::AdapterConfigReader(json, where).read();
}

GRAFT_INLINE Json adapter_config_json(const AdapterConfig& config) {
  Json json = detail::all_adapter_fields(config);
  try {
    parse_adapter_config(json, "adapter config");
  } catch (const FormatError& error) {
    throw OptionError(error.what());
  }
  return json;
}

GRAFT_INLINE std::string adapter_tensor_name(std::string_view name) {
  if (name.starts_with(peft_names::whole_prefix)) return std::string(name);
  return std::string(peft_names::prefix).append(name);
}

/// The weights' file of an adapter's directory that is there and complete.
GRAFT_INLINE std::filesystem::path AdapterDir::weights_of(const std::filesystem::path& directory) {
  if (!path_exists(directory)) {
    throw FileError(message("the adapter's directory ", quoted(directory.native(), 4096),
                            " is not there; give its path, graft downloads no adapter"));
  }
  if (!directory_exists(directory)) {
    throw FileError(
        message(quoted(directory.native(), 4096), " is a file; name the directory that holds adapter_config.json"));
  }
  if (!path_exists(directory / "adapter_config.json")) {
    throw FileError(message(directory.native(), ": holds no adapter_config.json; is it an adapter's directory?"));
  }
  if (path_exists(directory / "adapter_model.safetensors")) return directory / "adapter_model.safetensors";
  throw FileError(message(directory.native(), ": holds no adapter_model.safetensors",
                          path_exists(directory / "adapter_model.bin")
                              ? ", only adapter_model.bin, a pickle that could run code; convert it to safetensors"
                              : ""));
}

GRAFT_INLINE AdapterDir::AdapterDir(std::filesystem::path path, const SafetensorsLimits& limits)
    : path_(std::move(path)), file_(weights_of(path_), limits) {
  const std::filesystem::path config = path_ / "adapter_config.json";
  config_ = parse_adapter_config(read_json(config), config.native());
  // Of several keys that fit a layer the first in the file counts, which Json does not keep.
  const auto in_order = nlohmann::ordered_json::parse(read_file(config, JsonLimits().bytes));
  const auto sort = [&](const char* field, auto& values) {
    std::remove_reference_t<decltype(values)> sorted;
    if (values.empty()) return;
    for (const auto& entry : in_order.at(field).items()) sorted[entry.key()] = values[entry.key()];
    values = std::move(sorted);
  };
  sort("rank_pattern", config_.rank_pattern);
  sort("alpha_pattern", config_.alpha_pattern);
  tensors_ = file_.tensors();
  for (TensorInfo& tensor : tensors_) {
    if (tensor.name.starts_with(peft_names::prefix)) {
      tensor.name.erase(0, peft_names::prefix.size());
    } else if (!tensor.name.starts_with(peft_names::whole_prefix)) {
      warnings_.push_back(message(file_.path().native(), ": tensor ", quoted(tensor.name), " is not named ",
                                  peft_names::prefix, "..."));
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(tensors_.begin(), tensors_.end(),
                                        [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != tensors_.end()) {
    throw FormatError(message(file_.path().native(), ": holds tensor ", quoted(twice->name), " with and without ",
                              peft_names::prefix));
  }
}

GRAFT_INLINE const TensorInfo* AdapterDir::find(std::string_view name) const {
  const auto place = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const TensorInfo& tensor, std::string_view n) { return tensor.name < n; });
  return place != tensors_.end() && place->name == name ? &*place : nullptr;
}

GRAFT_INLINE void write_adapter_dir(const std::filesystem::path& destination, const AdapterConfig& config,
                                    std::span<const TensorBytes> tensors, const AdapterDirOptions& options) {
  std::vector<TensorBytes> named(tensors.begin(), tensors.end());
  for (TensorBytes& tensor : named) tensor.name = adapter_tensor_name(tensor.name);
  std::map<std::string, std::string> metadata = options.metadata;
  metadata["format"] = "pt";
  OutputDirectory directory(destination, options.replace);
  write_file(directory.path() / "adapter_config.json", json_text(adapter_config_json(config)));
  write_safetensors(directory.path() / "adapter_model.safetensors", named, metadata);
  directory.commit();
}

}  // namespace graft
