#pragma once

#include "graft/models/save.hpp"

namespace graft::detail {

GRAFT_INLINE NamedTensors tensors_to_save(const torch::nn::Module& model) {
  std::set<std::string> adapters;
  std::string unmerged;
  for (const auto& module : model.named_modules("", /*include_self=*/false)) {
    const auto* layer = dynamic_cast<const Adaptable*>(module.value().get());
    if (layer == nullptr) continue;
    if (!layer->active().empty() && !layer->merged()) unmerged += (unmerged.empty() ? "" : ", ") + module.key();
    for (const std::string& name : layer->adapters()) adapters.insert(module.key() + ".adapters." + name + ".");
  }
  if (!unmerged.empty())
    throw StateError(
        "adapters are active that are not merged into the weights; merge them, or save them as an adapter. "
        "Layers: " +
        unmerged);
  NamedTensors tensors = named_tensors(model);
  std::erase_if(tensors, [&](const auto& tensor) {
    const auto after = adapters.upper_bound(tensor.first);
    return after != adapters.begin() && tensor.first.starts_with(*std::prev(after));
  });
  return tensors;
}

GRAFT_INLINE std::string common_dtype(const NamedTensors& tensors) {
  const torch::ScalarType type = tensors.front().second.scalar_type();
  for (const auto& [name, tensor] : tensors)
    if (tensor.scalar_type() != type)
      throw OptionError(message(quoted(name), " is ", c10::toString(tensor.scalar_type()), ", ",
                                quoted(tensors.front().first), " is ", c10::toString(type),
                                "; a model is saved in one type: convert it with model->to(...)"));
  switch (type) {
    case torch::kFloat32:
      return "float32";
    case torch::kFloat64:
      return "float64";
    case torch::kBFloat16:
      return "bfloat16";
    case torch::kFloat16:
      return "float16";
    default:
      throw OptionError(message("a model of type ", c10::toString(type), " cannot be saved"));
  }
}

}  // namespace graft::detail
