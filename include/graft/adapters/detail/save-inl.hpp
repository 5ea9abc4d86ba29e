#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "graft/adapters/biases.hpp"
#include "graft/adapters/detail/adapter_reader.hpp"
#include "graft/adapters/dora.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/save.hpp"
#include "graft/core/pattern.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft {
namespace detail {

/// Paths of the outermost modules whose own and inner parameters are all trained, adapters aside, and of the usual
/// heads.
inline std::vector<std::string> trained_modules(torch::nn::Module& module) {
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
    const bool usual = matches_suffix(child.key(), "classifier") || matches_suffix(child.key(), "score") ||
                       matches_suffix(child.key(), "qa_outputs");
    if (own > 0 && (trained == own || usual)) heads.push_back(child.key());
  }
  return heads;
}

/// The last parts of the layers' paths if they name exactly these layers, else the paths.
inline std::vector<std::string> target_names(torch::nn::Module& module, const std::vector<std::string>& layers,
                                             const std::vector<std::string>& heads) {
  std::set<std::string> endings;
  for (const std::string& layer : layers) endings.emplace(last_parts(layer, 1));
  std::size_t taken = 0;
  for (const TargetCandidate& candidate : target_candidates(module)) {
    const bool named = endings.count(std::string(last_parts(candidate.name, 1))) > 0;
    if (candidate.adaptable && named && !within_any(candidate.name, heads)) ++taken;
  }
  if (taken == layers.size()) return {endings.begin(), endings.end()};
  return layers;
}

template <class Value>
Value most_common(const std::vector<Value>& values) {
  return *std::max_element(values.begin(), values.end(), [&](const Value& a, const Value& b) {
    return std::count(values.begin(), values.end(), a) < std::count(values.begin(), values.end(), b);
  });
}

inline torch::Tensor read_tensor(const AdapterDir& directory, const TensorInfo& info) {
  torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
  directory.read(info, bytes_of(tensor));
  return tensor;
}

/// The config of an adapter of these layers.
inline AdapterConfig config_of(const std::vector<std::pair<std::string, std::shared_ptr<LowRankAdapter>>>& layers,
                               const AdapterInfo& info) {
  std::vector<std::int64_t> ranks;
  std::vector<double> alphas;
  const LoraOptions& first = layers.front().second->options;
  const auto is_dora = [](const auto& adapter) { return std::dynamic_pointer_cast<DoraAdapter>(adapter) != nullptr; };
  const bool dora = is_dora(layers.front().second);
  for (const auto& [path, adapter] : layers) {
    const LoraOptions& options = adapter->options;
    ranks.push_back(options.rank);
    alphas.push_back(options.alpha);
    if (options.dropout != first.dropout || options.divisor != first.divisor || options.bias != first.bias ||
        is_dora(adapter) != dora) {
      throw OptionError(message("layers ", quoted(layers.front().first), " and ", quoted(path),
                                " differ in dropout, divisor, bias on B or DoRA, and adapter_config.json has room for "
                                "one; save them as two adapters"));
    }
  }
  AdapterConfig config;
  config.base_model_name_or_path = info.base_model;
  config.task_type = info.task_type;
  config.fan_in_fan_out = info.fan_in_fan_out;
  config.r = most_common(ranks);
  config.lora_alpha = most_common(alphas);
  config.lora_dropout = first.dropout;
  config.use_rslora = first.divisor == LowRankScale::root_of_rank;
  config.lora_bias = first.bias;
  config.use_dora = dora;
  config.init_lora_weights = first.start == LowRankStart::gaussian ? "gaussian" : "true";
  for (const auto& [path, adapter] : layers) {
    const LoraOptions& options = adapter->options;
    if (options.rank != config.r) config.rank_pattern["^" + pattern_of(path)] = options.rank;
    if (options.alpha != config.lora_alpha) config.alpha_pattern["^" + pattern_of(path)] = options.alpha;
  }
  return config;
}

/// The trained parameters that are of no adapter and no head.
inline NamedTensors others_trained(torch::nn::Module& module, const std::vector<std::string>& heads) {
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
inline AdapterBias bias_mode(torch::nn::Module& module, const NamedTensors& trained,
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
  for (const std::string& name : names) lost += " " + quoted(name);
  throw OptionError(message("trained parameters of no adapter and no head would be lost:", lost,
                            "; freeze them, or name their modules as heads"));
}

}  // namespace detail

inline void save_adapter(const std::filesystem::path& directory, torch::nn::Module& module, const std::string& name,
                         const AdapterInfo& info) {
  detail::require_adapter(module, name);
  std::vector<std::string> heads = info.heads ? *info.heads : detail::trained_modules(module);
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& head : heads) {
    if (!modules.contains(head)) throw OptionError(message("the model has no head ", quoted(head)));
  }
  heads = detail::saved_modules(module, heads);

  NamedTensors tensors = detail::head_tensors(module, heads);
  std::vector<std::pair<std::string, std::shared_ptr<LowRankAdapter>>> layers;
  std::vector<std::string> paths;
  bool bias_is_merged = false;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto adapter = layer->adapter(name);
    if (!adapter) continue;
    if (path.empty()) {
      throw OptionError("an adapter's file names layers inside a model; this module is itself the adapted layer");
    }
    const auto [key_A, key_B] = layer->factor_keys();
    tensors.emplace_back(path + "." + key_A, adapter->lora_A);
    tensors.emplace_back(path + "." + key_B, adapter->lora_B);
    if (adapter->lora_B_bias.defined()) tensors.emplace_back(path + ".lora_B.bias", adapter->lora_B_bias);
    if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
      tensors.emplace_back(path + ".lora_magnitude_vector", dora->lora_magnitude_vector);
    }
    bias_is_merged = bias_is_merged || (layer->merged() && adapter->lora_B_bias.defined());
    layers.emplace_back(path, adapter);
    paths.push_back(path);
  }

  AdapterConfig config = detail::config_of(layers, info);
  config.target_modules.names = detail::target_names(module, paths, heads);
  config.modules_to_save = heads;
  const std::set<std::string> adapted(paths.begin(), paths.end());
  const NamedTensors biases = detail::others_trained(module, heads);
  config.bias = detail::bias_mode(module, biases, heads, adapted);
  if (bias_is_merged && !biases.empty()) {
    throw StateError("the biases of the base hold those of merged adapters; unmerge before they are saved");
  }
  for (const auto& [key, tensor] : biases) tensors.emplace_back(detail::bias_key(key, adapted), tensor);

  std::vector<torch::Tensor> kept;
  std::vector<TensorBytes> bytes;
  for (const auto& [key, tensor] : tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    bytes.push_back({key, element_type(tensor.scalar_type()), tensor.sizes().vec(), detail::bytes_of(kept.back())});
  }
  write_adapter_dir(directory, config, bytes, {.metadata = info.metadata, .replace = info.replace});
}

inline LoadedAdapter load_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                                  const std::string& name) {
  const AdapterDir files(directory);
  const detail::AdapterReader reader(files, module);

  // All is read before the model is touched.
  std::map<std::string, LoraOptions> layers;
  std::map<std::string, std::vector<torch::Tensor>> values;
  for (const auto& [path, stored] : reader.adapters()) {
    layers.emplace(path, stored.options);
    for (const TensorInfo* info : {stored.A, stored.B, stored.bias, stored.magnitude}) {
      values[path].push_back(info ? detail::read_tensor(files, *info) : torch::Tensor());
    }
  }
  std::vector<torch::Tensor> base_values;
  for (const auto& [target, info] : reader.base_tensors()) base_values.push_back(detail::read_tensor(files, *info));

  if (files.config().use_dora) {
    attach_dora(module, layers, reader.heads(), name);
  } else {
    attach(module, layers, reader.heads(), name);
  }
  const torch::NoGradGuard no_grad;
  LoadedAdapter loaded{{}, reader.heads(), reader.biases(), reader.weights(), files.config(), files.warnings()};
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto found = values.find(path);
    if (found == values.end()) continue;
    const auto adapter = layer->adapter(name);
    adapter->lora_A.copy_(found->second[0]);
    adapter->lora_B.copy_(found->second[1]);
    if (found->second[2].defined()) adapter->lora_B_bias.copy_(found->second[2]);
    if (const auto dora = std::dynamic_pointer_cast<DoraAdapter>(adapter)) {
      dora->lora_magnitude_vector.copy_(found->second[3]);
    }
    loaded.layers.push_back(path);
  }
  for (std::size_t i = 0; i < base_values.size(); ++i) {
    torch::Tensor target = reader.base_tensors()[i].first;
    target.copy_(base_values[i]);
  }
  for (auto& [bias, tensor] : detail::biases(module)) {
    const auto& read = reader.biases();
    if (std::find(read.begin(), read.end(), bias) != read.end()) tensor.set_requires_grad(true);
  }
  return loaded;
}

}  // namespace graft
