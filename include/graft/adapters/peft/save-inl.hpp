#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/biases.hpp"
#include "graft/adapters/head_copies.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/detail/base_fingerprint.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {
namespace detail {

/// Paths of the outermost modules whose own and inner parameters are all trained, adapters aside, and of the usual
/// heads.
GRAFT_INLINE std::vector<std::string> trained_modules(torch::nn::Module& module) {
  const auto factors = factor_tensors(module);
  std::vector<std::string> heads;
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    if (within_any(child.key(), heads)) continue;
    std::size_t own = 0;
    std::size_t trained = 0;
    for (const torch::Tensor& parameter : child.value()->parameters()) {
      if (factors.count(parameter.unsafeGetTensorImpl())) continue;
      ++own;
      trained += parameter.requires_grad() ? 1 : 0;
    }
    const bool usual = std::any_of(std::begin(peft_names::usual_heads), std::end(peft_names::usual_heads),
                                   [&](std::string_view head) { return matches_suffix(child.key(), head); });
    if (own > 0 && (trained == own || usual)) heads.push_back(child.key());
  }
  return heads;
}

/// The trained parameters that are of no adapter and no head.
GRAFT_INLINE NamedTensors others_trained(torch::nn::Module& module, const std::vector<std::string>& heads) {
  const auto factors = factor_tensors(module);
  NamedTensors others;
  for (const auto& parameter : module.named_parameters()) {
    const torch::Tensor& tensor = parameter.value();
    if (!tensor.requires_grad() || factors.count(tensor.unsafeGetTensorImpl())) continue;
    if (!within_any(parameter.key(), heads)) others.emplace_back(parameter.key(), tensor);
  }
  return others;
}

/// Which of PEFT's biases these parameters are; throws OptionError if they are none of its choices.
GRAFT_INLINE AdapterBias bias_mode(torch::nn::Module& module, const NamedTensors& trained,
                                   const std::vector<std::string>& heads, const std::set<std::string>& adapted) {
  if (trained.empty()) return AdapterBias::none;
  std::set<std::string> names, all, of_layers;
  for (const auto& [name, tensor] : trained) names.insert(name);
  for (const auto& [name, tensor] : biases(module)) {
    if (within_any(name, heads)) continue;
    all.insert(name);
    if (adapted.count(name.substr(0, name.size() - std::min(name.size(), std::string_view(".bias").size())))) {
      of_layers.insert(name);
    }
  }
  if (names == of_layers) return AdapterBias::lora_only;
  if (names == all) return AdapterBias::all;
  std::string lost;
  for (const std::string& name : names) lost.append(" ").append(quoted(name));
  throw OptionError(message("trained parameters of no adapter and no head would be lost:", lost,
                            "; freeze them, or name their modules as heads"));
}

GRAFT_INLINE BaseFingerprint base_of(torch::nn::Module& module, const std::vector<std::string>& layers) {
  BaseFingerprint base;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (std::find(layers.begin(), layers.end(), path) != layers.end()) base.add(path, layer->base_weight());
  }
  return base;
}

}  // namespace detail

GRAFT_INLINE void save_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                               const std::string& name, const AdapterInfo& info) {
  detail::require_adapter(module, name);
  std::vector<std::string> heads = info.heads ? *info.heads : detail::trained_modules(module);
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& head : heads) {
    if (!modules.contains(head)) throw OptionError(message("the model has no head ", quoted(head)));
  }
  heads = detail::saved_modules(module, heads);

  AdapterWriter content = written_adapter(module, name, heads);
  AdapterConfig& config = content.config;
  config.base_model_name_or_path = info.base_model;
  config.task_type = info.task_type;
  config.fan_in_fan_out = info.fan_in_fan_out;
  config.modules_to_save = heads;
  NamedTensors tensors = detail::head_tensors(module, heads);
  if (const auto own = HeadCopies::of(module, name)) {
    for (auto& [path, tensor] : tensors) {
      if (const torch::Tensor value = own->value(module, path); value.defined()) tensor = value;
    }
  }
  tensors.insert(tensors.end(), content.tensors.begin(), content.tensors.end());

  const std::vector<std::string> paths = content.paths();
  const std::set<std::string> adapted(paths.begin(), paths.end());
  const NamedTensors biases = detail::others_trained(module, heads);
  config.bias = detail::bias_mode(module, biases, heads, adapted);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (biases.empty() || !layer->bias_is_merged()) continue;
    throw StateError("the biases of the base hold those of merged adapters; unmerge before they are saved");
  }
  if (config.bias != AdapterBias::none && !adapter_config_json(config).contains("bias")) {
    throw OptionError(message("trained biases of the base would be lost: ", config.peft_type,
                              "'s files have no place for them; freeze them"));
  }
  for (const auto& [key, tensor] : biases) tensors.emplace_back(detail::bias_key(key, adapted), tensor);
  const detail::StoredBytes stored(tensors);
  std::map<std::string, std::string> metadata = info.metadata;
  const detail::BaseFingerprint base = detail::base_of(module, paths);
  metadata.emplace(detail::base_key, base.text());
  metadata.emplace(detail::rounded_base_key, base.rounded_text());
  if (info.data) metadata.emplace(detail::data_key, *info.data);
  write_adapter_dir(directory, config, stored.bytes, {.metadata = std::move(metadata), .replace = info.replace});
}

GRAFT_INLINE LoadedAdapter load_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                                        const std::string& name, const AdapterKinds& kinds) {
  const AdapterDir files(directory);
  const AdapterReader reader(files, module, kinds);  // all is read before the model is touched

  std::vector<std::string> paths, faults, targets;
  for (const auto& [path, adapter] : reader.adapters()) paths.push_back(path);
  detail::Attachment attachment(module, paths, reader.heads());
  LoadedAdapter loaded{
      {}, reader.heads(), reader.biases(), reader.weights(), files.config(), files.metadata(), files.warnings()};
  std::vector<std::shared_ptr<LayerAdapter>> adapters;
  for (const auto& [path, layer] : attachment.layers()) {
    for (std::string& one : layer->name_faults(name, "layer " + quoted(path))) faults.push_back(std::move(one));
    adapters.push_back(reader.adapters().at(path));
    loaded.layers.push_back(path);
    if (!detail::is_beside(*adapters.back())) targets.push_back(path);
  }
  attachment.check(std::move(faults));
  const std::string fault = detail::base_of(module, targets).fault(files.metadata(), directory.string());
  loaded.other_base = fault;
  if (!fault.empty()) loaded.warnings.push_back(fault);
  loaded.warnings.insert(loaded.warnings.end(), reader.warnings().begin(), reader.warnings().end());

  attachment.finish(name, adapters);
  const torch::NoGradGuard no_grad;
  for (auto& [target, value] : reader.base_tensors()) torch::Tensor(target).copy_(value);
  for (auto& [bias, tensor] : detail::biases(module)) {
    const auto& read = reader.biases();
    if (std::find(read.begin(), read.end(), bias) != read.end()) tensor.set_requires_grad(true);
  }
  return loaded;
}

}  // namespace graft
