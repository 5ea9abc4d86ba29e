#pragma once

#include <algorithm>
#include <optional>
#include <tuple>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/biases.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/detail/config_targets.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/core/error.hpp"
#include "graft/io/peft_names.hpp"
#include "graft/tensor/dtype.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE bool within_any(std::string_view name, const std::vector<std::string>& modules) {
  return std::any_of(modules.begin(), modules.end(), [&](const std::string& module) { return within(name, module); });
}

GRAFT_INLINE NamedTensors head_tensors(torch::nn::Module& module, const std::vector<std::string>& heads) {
  NamedTensors tensors = base_tensors(module);
  std::erase_if(tensors, [&](const auto& named) {
    return std::none_of(heads.begin(), heads.end(),
                        [&](const std::string& head) { return named.first.starts_with(head + "."); });
  });
  return tensors;
}

GRAFT_INLINE std::vector<std::string> saved_modules(torch::nn::Module& module, const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const TargetCandidate& candidate : target_candidates(module)) {
    const bool wanted = std::any_of(names.begin(), names.end(),
                                    [&](const std::string& name) { return candidate.name.ends_with(name); });
    if (wanted && !within_any(candidate.name, paths)) paths.push_back(candidate.name);
  }
  return paths;
}

GRAFT_INLINE std::string bias_key(const std::string& name, const std::set<std::string>& adapted) {
  constexpr std::string_view ending = ".bias";
  if (!name.ends_with(ending)) return name;
  const std::string layer = name.substr(0, name.size() - ending.size());
  return adapted.count(layer) ? message(layer, ".", peft_names::base_layer, ".bias") : name;
}

GRAFT_INLINE torch::Tensor stored_tensor(const AdapterDir& directory, const TensorInfo& info) {
  torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
  directory.read(info, bytes_of(tensor));
  return tensor;
}

GRAFT_INLINE StoredBytes::StoredBytes(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    bytes.push_back({name, element_type(tensor.scalar_type()), tensor.sizes().vec(), bytes_of(kept.back())});
  }
}

GRAFT_INLINE bool is_beside(const LayerAdapter& adapter) { return adapter.kind() && adapter.kind()->beside(); }

/// The last parts of the layers' paths if they name exactly these layers, else the paths.
GRAFT_INLINE std::vector<std::string> target_names(torch::nn::Module& module, const std::vector<std::string>& layers,
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

}  // namespace detail

// Writing.

GRAFT_INLINE void AdapterWriter::put_whole(std::string_view name, const torch::Tensor& tensor) {
  tensors.emplace_back(std::string(peft_names::whole_prefix).append(name), tensor);
}

GRAFT_INLINE std::vector<std::string> AdapterWriter::paths() const {
  std::vector<std::string> paths;
  for (const AdaptedLayer& one : layers) paths.push_back(one.path);
  return paths;
}

GRAFT_INLINE AdapterWriter written_adapter(torch::nn::Module& module, const std::string& name,
                                           const std::vector<std::string>& heads) {
  std::vector<std::pair<const AdapterKind*, std::vector<AdaptedLayer>>> kinds;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto adapter = layer->adapter(name);
    if (!adapter) continue;
    if (path.empty()) {
      throw OptionError("an adapter's file names layers inside a model; this module is itself the adapted layer");
    }
    const AdapterKind* kind = adapter->kind();
    if (!kind)
      throw OptionError(message("adapter ", quoted(name), " of layer ", quoted(path), " has no form in files"));
    auto group = std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) { return one.first == kind; });
    if (group == kinds.end()) group = kinds.insert(kinds.end(), {kind, {}});
    group->second.push_back({path, layer, adapter.get()});
  }
  const AdapterKind* main = nullptr;
  for (const auto& [kind, layers] : kinds) {
    if (!kind->beside() && !main) main = kind;
  }
  if (!main) {
    throw OptionError(message("adapter ", quoted(name), " is of ", kinds.front().first->title(),
                              " alone, which files hold only beside other layers; attach LoRA with it"));
  }
  for (const auto& [kind, layers] : kinds) {
    if (kind == main || (kind->beside() && kind->peft_type() == main->peft_type())) continue;
    throw OptionError(message("adapter ", quoted(name), " is of ", main->title(), " in some layers and of ",
                              kind->title(),
                              " in others, and adapter_config.json has room for one; save them as two "
                              "adapters"));
  }
  AdapterWriter all;
  all.config.peft_type = main->peft_type();
  for (const auto& [kind, layers] : kinds) {
    all.layers = layers;
    if (kind == main) all.config.target_modules.names = detail::target_names(module, all.paths(), heads);
    kind->write(all);
  }
  all.layers.clear();
  for (const auto& [kind, layers] : kinds) {
    if (kind == main) all.layers = layers;
  }
  return all;
}

// Reading one layer.

GRAFT_INLINE const TensorInfo* LayerReader::find(const std::string& key) const {
  return all_->take((path_.empty() ? "" : path_ + ".") + key);
}

GRAFT_INLINE bool LayerReader::require(const std::vector<std::string>& keys) const {
  bool all = true;
  for (const std::string& key : keys) {
    if (find(key)) continue;
    all_->missing_.push_back(quoted((path_.empty() ? "" : path_ + ".") + key));
    all = false;
  }
  return all;
}

GRAFT_INLINE torch::Tensor LayerReader::read(const std::string& key, torch::IntArrayRef shape) const {
  const TensorInfo* info = find(key);
  const torch::TensorOptions options = layer_->factor_options();
  if (!info || !all_->fits(*info, shape, c10::typeMetaToScalarType(options.dtype()))) return {};
  return detail::stored_tensor(all_->directory_, *info).to(options);
}

GRAFT_INLINE void LayerReader::put(std::shared_ptr<LayerAdapter> adapter) const {
  all_->adapters_[path_] = std::move(adapter);
}

GRAFT_INLINE void LayerReader::fault(std::string text) const { all_->fault(std::move(text)); }

// Reading all.

GRAFT_INLINE AdapterReader::AdapterReader(const AdapterDir& directory, torch::nn::Module& module,
                                          const AdapterKinds& kinds)
    : directory_(directory), module_(module) {
  read_heads();
  const detail::ConfigTargets targets(config());
  std::map<std::string, TargetCandidate> candidates;
  for (TargetCandidate& candidate : target_candidates(module)) candidates.emplace(candidate.name, candidate);
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto found = candidates.find(path);
    const bool targeted = found != candidates.end() && targets.take(found->second) && !detail::within_any(path, heads_);
    layers_.emplace_back(path, layer, targeted);
  }
  read_kinds(kinds);
  read_weights();
  read_biases();
  for (const TensorInfo& tensor : directory.tensors()) {
    if (!used_.count(tensor.name)) extra_.push_back(quoted(tensor.name));
  }
  if (!any_target_) other_.push_back("it holds no adapter for any layer of the model");
  fail_if_faulty();
}

GRAFT_INLINE std::vector<LayerReader> AdapterReader::layers() {
  std::vector<LayerReader> free;
  for (const auto& [path, layer, targeted] : layers_) {
    if (!adapters_.count(path)) free.push_back(LayerReader(*this, path, layer, targeted));
  }
  return free;
}

GRAFT_INLINE torch::Tensor AdapterReader::read_whole(std::string_view name) {
  const TensorInfo* info = take(std::string(peft_names::whole_prefix).append(name));
  return info ? detail::stored_tensor(directory_, *info) : torch::Tensor();
}

GRAFT_INLINE void AdapterReader::read_kinds(const AdapterKinds& kinds) {
  std::vector<std::string> fields;
  bool known = false;
  for (const AdapterKind* kind : kinds) {
    if (!kind->in(config())) continue;
    known = true;
    for (std::string& field : kind->fields()) fields.push_back(std::move(field));
    const std::size_t before = adapters_.size();
    kind->read(*this);
    any_target_ = any_target_ || (!kind->beside() && adapters_.size() > before);
  }
  if (!known) {
    std::set<std::string> types;
    for (const AdapterKind* kind : kinds) types.insert(quoted(kind->peft_type()));
    throw FormatError(message(where(), ": \"peft_type\" is ", quoted(config().peft_type), ", but must be one of ",
                              joined({types.begin(), types.end()}, ", "),
                              ", the kinds of adapters that this call knows"));
  }
  for (const auto& [field, value] : config().fields.items()) {
    if (std::count(fields.begin(), fields.end(), field) == 0 && !detail::asks_nothing(value)) {
      fault(message(quoted(field), " is ", described(value), ", which graft does not do"));
    }
  }
}

GRAFT_INLINE const TensorInfo* AdapterReader::take(const std::string& name) {
  const TensorInfo* tensor = directory_.find(name);
  if (tensor) used_.insert(name);
  return tensor;
}

GRAFT_INLINE bool AdapterReader::fits(const TensorInfo& tensor, torch::IntArrayRef shape, torch::ScalarType type) {
  const auto stored = find_scalar_type(tensor.type);
  if (shape != torch::IntArrayRef(tensor.shape)) {
    misshapen_.push_back(message(quoted(tensor.name), " is ", torch::IntArrayRef(tensor.shape), ", not ", shape));
  } else if (!stored || !convertible(*stored, type)) {
    mistyped_.push_back(message(quoted(tensor.name), " is ", element_type_name(tensor.type),
                                ", which does not convert to ", c10::toString(type)));
  } else {
    return true;
  }
  return false;
}

/// A tensor of the model that the file must hold under `key`.
GRAFT_INLINE bool AdapterReader::read_base(const std::string& key, const torch::Tensor& target) {
  const TensorInfo* tensor = take(key);
  if (!tensor) {
    missing_.push_back(quoted(key));
  } else if (fits(*tensor, target.sizes(), target.scalar_type())) {
    base_tensors_.emplace_back(target, detail::stored_tensor(directory_, *tensor));
    return true;
  }
  return false;
}

GRAFT_INLINE void AdapterReader::read_heads() {
  heads_ = detail::saved_modules(module_, config().modules_to_save);
  for (const auto& [name, target] : detail::head_tensors(module_, heads_)) read_base(name, target);
}

/// The weights that PEFT stores with an adapted embedding.
GRAFT_INLINE void AdapterReader::read_weights() {
  for (const auto& [path, layer, targeted] : layers_) {
    const std::string key = message(path, path.empty() ? "" : ".", peft_names::base_layer, ".weight");
    if (!adapters_.count(path) || !directory_.find(key)) continue;
    if (read_base(key, layer->main_weight())) weights_.push_back(path.empty() ? "weight" : path + ".weight");
  }
}

GRAFT_INLINE void AdapterReader::read_biases() {
  const AdapterBias which = config().bias;
  if (which == AdapterBias::none) return;
  // With "all" PEFT also writes both of its copies of a head's biases, under their names in memory.
  for (const TensorInfo& tensor : directory_.tensors()) {
    for (const std::string& head : heads_) {
      for (const std::string_view copy : {peft_names::original_module, peft_names::modules_to_save}) {
        if (tensor.name.starts_with(message(head, ".", copy, "."))) used_.insert(tensor.name);
      }
    }
  }
  std::set<std::string> adapted;
  for (const auto& [path, adapter] : adapters_) {
    if (!detail::is_beside(*adapter)) adapted.insert(path);
  }
  for (const auto& [name, bias] : detail::biases(module_)) {
    const std::string key = detail::bias_key(name, adapted);
    if (detail::within_any(name, heads_)) continue;
    if ((which == AdapterBias::all || key != name) && read_base(key, bias)) biases_.push_back(name);
  }
}

GRAFT_INLINE void AdapterReader::fail_if_faulty() {
  if (missing_.empty() && extra_.empty() && misshapen_.empty() && mistyped_.empty() && other_.empty()) return;
  std::string text = message(where(),
                             ": this adapter does not fit the model; nothing was changed. "
                             "Check that both are of one architecture");
  detail::list_faults(text, "missing in the file", missing_);
  detail::list_faults(text, "not in the model", extra_);
  detail::list_faults(text, "of another shape", misshapen_);
  detail::list_faults(text, "of another type", mistyped_);
  for (const std::string& fault : other_) text += "\n  " + fault;
  throw FormatError(text);
}

}  // namespace graft
