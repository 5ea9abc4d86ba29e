#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "graft/adapters/biases.hpp"
#include "graft/adapters/peft/detail/adapter_reader.hpp"
#include "graft/adapters/peft/detail/adapter_writer.hpp"
#include "graft/adapters/peft/detail/base_fingerprint.hpp"
#include "graft/adapters/dora.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

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
    const bool usual = matches_suffix(child.key(), "classifier") || matches_suffix(child.key(), "score") ||
                       matches_suffix(child.key(), "qa_outputs");
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
  for (const std::string& name : names) lost += " " + quoted(name);
  throw OptionError(message("trained parameters of no adapter and no head would be lost:", lost,
                            "; freeze them, or name their modules as heads"));
}

GRAFT_INLINE torch::Tensor read_tensor(const AdapterDir& directory, const TensorInfo& info) {
  torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
  directory.read(info, bytes_of(tensor));
  return tensor;
}

/// The values of an adapter's layers, read whole.
class AdapterValues {
 public:
  AdapterValues(const AdapterDir& files, const AdapterReader& reader)
      : reader_(reader), dora_(files.config().use_dora) {
    const auto read = [&](const TensorInfo* info) { return info ? read_tensor(files, *info) : torch::Tensor(); };
    for (const auto& [path, stored] : reader.adapters()) {
      options_.emplace(path, stored.options);
      values_[path] = {read(stored.A), read(stored.B), read(stored.bias), read(stored.magnitude)};
    }
    for (const auto& [path, stored] : reader.ia3()) {
      sides_.emplace(path, stored.side);
      values_[path] = {read(stored.factors)};
    }
    for (const auto& [path, stored] : reader.token_rows()) {
      rows_[path] = read(stored.values);
    }
  }

  /// Paths of the layers, in the model's order.
  std::vector<std::string> layers(torch::nn::Module& module) const {
    std::vector<std::string> paths;
    for (const auto& [path, layer] : adaptable_layers(module)) {
      if (values_.count(path) || rows_.count(path)) paths.push_back(path);
    }
    return paths;
  }

  void attach_to(torch::nn::Module& module, const std::string& name) const {
    if (!sides_.empty()) {
      attach_ia3(module, sides_, reader_.heads(), name);
    } else if (dora_) {
      attach_dora(module, options_, reader_.heads(), name);
    } else {
      attach(module, options_, reader_.heads(), name);
    }
    const torch::NoGradGuard no_grad;
    for (const auto& [path, layer] : adaptable_layers(module)) {
      const auto found = values_.find(path);
      if (const auto rows = rows_.find(path); rows != rows_.end()) {
        layer->add_token_rows(name, reader_.token_rows().at(path).tokens);
        layer->slot(name)->parameters()[0].copy_(rows->second);
      }
      if (found == values_.end()) continue;
      // In the order in which the kinds register them.
      std::vector<torch::Tensor> parameters = layer->slot(name)->parameters();
      std::size_t next = 0;
      for (const torch::Tensor& value : found->second) {
        if (value.defined()) parameters.at(next++).copy_(value);
      }
    }
  }

 private:
  const AdapterReader& reader_;
  bool dora_;
  std::map<std::string, LoraOptions> options_;
  std::map<std::string, Ia3Side> sides_;
  std::map<std::string, std::vector<torch::Tensor>> values_;
  std::map<std::string, torch::Tensor> rows_;
};

GRAFT_INLINE BaseFingerprint base_of(torch::nn::Module& module, const std::vector<std::string>& layers) {
  BaseFingerprint base;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (std::find(layers.begin(), layers.end(), path) != layers.end()) base.add(path, layer->base_weight());
  }
  return base;
}

}  // namespace detail

GRAFT_INLINE void save_adapter(const std::filesystem::path& directory, torch::nn::Module& module, const std::string& name,
                         const AdapterInfo& info) {
  detail::require_adapter(module, name);
  std::vector<std::string> heads = info.heads ? *info.heads : detail::trained_modules(module);
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& head : heads) {
    if (!modules.contains(head)) throw OptionError(message("the model has no head ", quoted(head)));
  }
  heads = detail::saved_modules(module, heads);

  detail::AdapterContent content = detail::AdapterWriter(module, name).finish(module, heads);
  AdapterConfig& config = content.config;
  config.base_model_name_or_path = info.base_model;
  config.task_type = info.task_type;
  config.fan_in_fan_out = info.fan_in_fan_out;
  config.modules_to_save = heads;
  NamedTensors tensors = detail::head_tensors(module, heads);
  tensors.insert(tensors.end(), content.tensors.begin(), content.tensors.end());

  const std::set<std::string> adapted(content.paths.begin(), content.paths.end());
  const NamedTensors biases = detail::others_trained(module, heads);
  config.bias = detail::bias_mode(module, biases, heads, adapted);
  if (content.bias_is_merged && !biases.empty()) {
    throw StateError("the biases of the base hold those of merged adapters; unmerge before they are saved");
  }
  if (config.bias != AdapterBias::none && config.peft_type == AdapterType::ia3) {
    throw OptionError("trained biases of the base would be lost: IA3's files have no place for them; freeze them");
  }
  for (const auto& [key, tensor] : biases) tensors.emplace_back(detail::bias_key(key, adapted), tensor);

  std::vector<torch::Tensor> kept;
  std::vector<TensorBytes> bytes;
  for (const auto& [key, tensor] : tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    bytes.push_back({key, element_type(tensor.scalar_type()), tensor.sizes().vec(), detail::bytes_of(kept.back())});
  }
  std::map<std::string, std::string> metadata = info.metadata;
  metadata.emplace(detail::base_key, detail::base_of(module, content.paths).text());
  if (info.data) metadata.emplace(detail::data_key, *info.data);
  write_adapter_dir(directory, config, bytes, {.metadata = std::move(metadata), .replace = info.replace});
}

GRAFT_INLINE LoadedAdapter load_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                                  const std::string& name) {
  const AdapterDir files(directory);
  const detail::AdapterReader reader(files, module);

  // All is read before the model is touched.
  std::vector<torch::Tensor> base_values;
  for (const auto& [target, info] : reader.base_tensors()) base_values.push_back(detail::read_tensor(files, *info));
  const detail::AdapterValues values(files, reader);
  const std::string fault = detail::base_of(module, values.layers(module)).fault(files.metadata(), directory.string());

  values.attach_to(module, name);
  const torch::NoGradGuard no_grad;
  LoadedAdapter loaded{values.layers(module), reader.heads(),   reader.biases(), reader.weights(),
                       files.config(),        files.metadata(), files.warnings()};
  if (!fault.empty()) loaded.warnings.push_back(fault);
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
